"""Distributes tests over workers: those that share a fixture on the same worker, timing-sensitive ones at the end.

Integration tests come before unit tests: they mostly wait, each for a different time, and unit tests, which are short,
then occupy all workers until the end. A browser starts after them, since Chromium aborts all its requests when a
network interface appears or vanishes, as it does whenever a container test starts or stops a stack.

xdist has groups of its own (``--dist loadgroup``), but appends their names to the tests' names and knows no group that
runs alone.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from pathlib import Path

    from xdist.workermanage import WorkerController

ALONE = "alone"
"""Group of the tests that run while no other test does."""
_SHORT = ("tests/unit/", "tests/repo/")
_BROWSER = "::browser"
"""End of the name of the group of tests that share a browser."""


def group(item: pytest.Item) -> str | None:
    """Return the group of a test, which one worker runs in order; None for a test that any worker may run.

    Tests with the marker ``serial`` form the group `ALONE`. Unit and repository tests are short, so a file is a group.
    Other tests share a group if they share a fixture that is set up once per session or module, such as a whole stack.
    """
    if item.get_closest_marker("serial") is not None:
        return ALONE
    if item.nodeid.startswith(_SHORT):
        return item.nodeid.partition("::")[0]
    fixtures = item._fixtureinfo.name2fixturedefs if isinstance(item, pytest.Function) else {}
    shared = [
        f"{definitions[-1].baseid}::{name}"
        for name, definitions in fixtures.items()
        if definitions[-1].scope != "function" and definitions[-1].baseid.startswith(("tests/", "chaos/"))
    ]
    # The engine is only asked whether it answers: no reason to put all container tests on one worker.
    return min((name for name in shared if not name.endswith("::engine")), default=None)


class SerialLastScheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
    """Runs groups in parallel, in the order of `_place`; then the last worker left runs the group `ALONE`."""

    workqueue: OrderedDict[str, dict[str, bool]]

    def __init__(self, config: pytest.Config, log: Any, groups: Path) -> None:
        super().__init__(config, log)
        self._file = groups

    @cached_property
    def _groups(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self._file.read_text(encoding="utf-8"))
        return found

    def remove_node(self, node: WorkerController) -> str | None:
        """Forget a worker that has ended; the last one left gets the group that runs alone."""
        crashed: str | None = super().remove_node(node)
        if len(self.nodes) == 1 and self._is_only_alone_left():
            self._reschedule(self.nodes[0])
        return crashed

    def _split_scope(self, nodeid: str) -> str:
        return self._groups.get(nodeid, nodeid)

    def _is_only_alone_left(self) -> bool:
        return list(self.workqueue) == [ALONE]

    def _assign_work_unit(self, node: WorkerController) -> None:
        if len(self.nodes) == 1 or not self._is_only_alone_left():
            # The first of the earliest, so xdist's own order, by the number of tests, is kept among them.
            self.workqueue.move_to_end(min(self.workqueue, key=_place), last=False)
            super()._assign_work_unit(node)

    def _reschedule(self, node: WorkerController) -> None:
        if len(self.nodes) > 1 and node is not self.nodes[0] and self._is_only_alone_left():
            # Its last test starts only now, since a worker holds one back until it knows what follows.
            node.shutdown()
        else:
            super()._reschedule(node)


def _place(group_name: str) -> int:
    """Return the place of a group in the order: tests that wait, short tests, those with a browser, those alone."""
    if group_name == ALONE:
        return 3
    return 2 if group_name.endswith(_BROWSER) else int(group_name.startswith(_SHORT))
