"""The steps of the example workflow judge a user's feed in real containers."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.processes import ROOT, environment, free_port
from tests.integration.stack import UP_SECONDS
from tests.readers import Volumes

pytestmark = pytest.mark.containers

WORKFLOW = ROOT / "deploy" / "ci" / "github-actions.yml"
(JOB,) = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"].values()
STEPS: dict[str, dict[str, str]] = {step["name"]: step for step in JOB["steps"] if "run" in step}


class Runner:
    """Runs steps like GitHub's runner, in a Compose project and folders of the test's own."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.page, self._repository = folder / "page.md", folder / "repository"
        self._repository.mkdir()
        shutil.copy(ROOT / "docs" / "examples" / "feed.py", self._repository)
        # The feed needs the libraries of the tests' Python.
        (folder / "python3").symlink_to(sys.executable)
        self._groups: list[int] = []
        port = free_port()
        self._environment = environment({
            **JOB["env"], "SERVER_URL": f"ws://host.docker.internal:{port}", "PORT": port,
            "COMPOSE_PROJECT_NAME": f"sgtest{secrets.token_hex(4)}", "VOLUMES": folder / "volumes",
            "GITHUB_STEP_SUMMARY": self.page, "PATH": f"{folder}:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(sys.path), **settings,
        })  # fmt: skip

    def step(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run a step of the workflow; what it leaves in the background ends with the job."""
        command = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", STEPS[name]["run"]]
        folder = ROOT if STEPS[name].get("working-directory") == "streamgauge" else self._repository
        process = subprocess.Popen(
            command, cwd=folder, env=self._environment, stdout=-1, stderr=-1, text=True, start_new_session=True
        )
        self._groups.append(process.pid)
        output, errors = process.communicate(timeout=UP_SECONDS)
        return subprocess.CompletedProcess(command, process.returncode, output, errors)

    def end(self) -> None:
        """End what the steps have left in the background."""
        for group in self._groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)


@pytest.fixture
def runner(engine: None, tmp_path: Path) -> Iterator[Runner]:
    """A runner with settings for a short run; everything is removed afterwards."""
    made = Runner(tmp_path, CLIENTS=2, FEED_SECONDS=5, THRESHOLDS="missing==0, clients==3")
    yield made
    made.step("Remove the containers")
    made.end()


def test_the_steps_show_the_verdict(runner: Runner, tmp_path: Path) -> None:
    """An exceeded threshold fails the job at the step that judges; job summary and artefact are complete."""
    assert 0 == runner.step("Start your feed").returncode

    judged = runner.step("Judge it")
    assert 99 == judged.returncode, judged.stdout + judged.stderr
    assert "FAIL" in judged.stdout

    assert 0 == runner.step("Show the summary on the job's page").returncode
    assert "clients==3" in runner.page.read_text(encoding="utf-8")
    assert 0 == runner.step("Remove the containers").returncode

    volumes = Volumes(tmp_path / "volumes")
    (junit,) = volumes.root.glob("summary/*/junit.xml")
    assert b"clients==3" in junit.read_bytes()
    assert ["client-1", "client-2"] == volumes.clients()


def test_every_step_is_run() -> None:
    """The test runs every step of the workflow."""
    assert ["Start your feed", "Judge it", "Show the summary on the job's page", "Remove the containers"] == list(STEPS)
