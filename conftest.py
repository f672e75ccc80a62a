"""Settings of all tests: how Hypothesis works, and how tests are distributed over parallel workers."""

from __future__ import annotations

import gc
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from tests import scheduling

if TYPE_CHECKING:
    from xdist.scheduler import Scheduling
    from xdist.workermanage import WorkerController

# A machine that is busy with containers must not fail a property for being slow.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The contract has some 150 properties, many of them run for every kind of frame or line: fifty examples of each are
# ten thousand.
settings.register_profile("contract", settings.get_profile("tests"), max_examples=50)

_GROUPS = pytest.StashKey[Path]()


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Load the profile before a module is imported: a property takes its settings when it is defined."""
    settings.load_profile("contract" if collector.nodeid.startswith("tests/unit/contract/") else "tests")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the file through which workers report the groups of the tests that they collected."""
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        folder = tempfile.TemporaryDirectory(prefix="test-groups-")
        config.add_cleanup(folder.cleanup)
        config.stash[_GROUPS] = Path(folder.name) / "groups.json"


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """Pass the file's path to a worker."""
    node.workerinput["groups"] = str(node.config.stash[_GROUPS])


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Report the groups, in a worker: the process that distributes the tests knows no more of them than their names.

    Modules and tests live until the end, so the garbage collector no longer has to search them after that.
    """
    gc.freeze()
    workerinput = getattr(session.config, "workerinput", None)
    if workerinput is not None:
        groups = {item.nodeid: name for item in session.items if (name := scheduling.group(item))}
        Path(workerinput["groups"]).write_text(json.dumps(groups), encoding="utf-8")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    """Let `tests.scheduling` distribute the tests."""
    return scheduling.SerialLastScheduling(config, log, config.stash[_GROUPS])
