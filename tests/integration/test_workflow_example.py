"""The steps of the example workflow work against real containers."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.processes import ROOT, environment
from tests.integration.stack import UP_SECONDS
from tests.readers import Volumes

pytestmark = pytest.mark.containers

WORKFLOW = ROOT / "deploy" / "ci" / "github-actions.yml"
(JOB,) = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"].values()
STEPS: dict[str, str] = {step["name"]: step["run"] for step in JOB["steps"] if "run" in step}


class Runner:
    """Runs steps like GitHub's runner, in a Compose project and a folder of the test's own."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.page = folder / "page.md"
        self._environment = environment({
            **JOB["env"], "COMPOSE_PROJECT_NAME": f"sgtest{secrets.token_hex(4)}", "PAGE_PORT": 0,
            "VOLUMES": folder / "volumes", "GITHUB_STEP_SUMMARY": self.page, **settings,
        })  # fmt: skip

    def step(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run a step of the workflow."""
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", STEPS[name]],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=UP_SECONDS,
            check=False,
        )


@pytest.fixture
def runner(engine: None, tmp_path: Path) -> Iterator[Runner]:
    """A runner with settings for a short run; everything is removed afterwards."""
    (tmp_path / "volumes").mkdir()
    made = Runner(tmp_path, CLIENTS=2, RATE=500, RECORDS=500, THRESHOLDS="missing==0, received==2000")
    yield made
    made.step("Let every client seal its log")


def test_the_steps_show_the_verdict(runner: Runner, tmp_path: Path) -> None:
    """An exceeded threshold fails the job at its second step; job summary and artefact are complete."""
    started = runner.step("Play a run")
    assert 0 == started.returncode, started.stderr

    judged = runner.step("Wait for its verdict")
    assert 99 == judged.returncode, judged.stderr
    assert "FAIL" in judged.stdout

    assert 0 == runner.step("Show the summary on the job's page").returncode
    assert "received==2000" in runner.page.read_text(encoding="utf-8")
    assert "collector-1" in runner.step("Show the services' logs").stdout
    assert 0 == runner.step("Let every client seal its log").returncode

    volumes = Volumes(tmp_path / "volumes")
    (junit,) = volumes.root.glob("summary/*/junit.xml")
    assert b"received==2000" in junit.read_bytes()
    assert ["client-1", "client-2"] == volumes.clients()


def test_every_step_is_run() -> None:
    """The test runs every step of the workflow."""
    assert [
        "Play a run",
        "Wait for its verdict",
        "Show the summary on the job's page",
        "Show the services' logs",
        "Let every client seal its log",
    ] == list(STEPS)
