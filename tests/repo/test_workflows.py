"""The workflows have few permissions and use existing targets, files and settings, and so does the example."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from services.runtime.settings import BY_NAME
from tests.repo.repository import ROOT, compose, relative, text

EXAMPLE = "deploy/ci/github-actions.yml"
WORKFLOWS = [*(relative(path) for path in sorted((ROOT / ".github" / "workflows").iterdir())), EXAMPLE]
every_workflow = pytest.mark.parametrize("name", WORKFLOWS)


def workflow(name: str) -> dict[str, Any]:
    """Return a workflow."""
    found: dict[str, Any] = yaml.safe_load(text(name))
    return found


def steps(name: str) -> list[dict[str, Any]]:
    """Return the steps of all jobs of a workflow."""
    return [step for job in workflow(name)["jobs"].values() for step in job["steps"]]


@every_workflow
def test_actions_are_pinned(name: str) -> None:
    """A third-party action is pinned to a commit, with its version in a comment, and the same in every workflow."""
    used = re.findall(r"uses: (\S+)(.*)", text(name))

    assert used
    assert not [action for action, about in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)]
    assert not [action for action, about in used if not re.fullmatch(r" # v\d+\.\d+\.\d+", about)]


@every_workflow
def test_jobs_ask_for_little(name: str) -> None:
    """A workflow has only the permissions that a job requests, and every job has a time limit."""
    found = workflow(name)

    assert found["permissions"] == {}
    assert all(job.get("permissions", {}) in ({}, {"contents": "read"}) for job in found["jobs"].values())
    assert all(job["timeout-minutes"] <= 60 for job in found["jobs"].values())


def test_the_example_sets_what_exists() -> None:
    """Every variable of the example is a setting."""
    (job,) = workflow(EXAMPLE)["jobs"].values()

    assert job["env"].keys() <= BY_NAME.keys()


def test_the_example_judges_the_users_feed() -> None:
    """The example checks out the user's repository, and Streamgauge beside it, whose verdict ends the job."""
    checkouts = [step.get("with", {}) for step in steps(EXAMPLE) if "checkout" in step.get("uses", "")]
    commands = "\n".join(step.get("run", "") for step in steps(EXAMPLE))

    assert [None, "streamgauge"] == [found.get("path") for found in checkouts]
    assert "repository" not in checkouts[0]
    assert {"client", "verdict"} <= compose()["services"].keys()
    assert "docker compose -f deploy/judge.yml --profile verdict up --exit-code-from verdict" in commands
    assert "docker compose --profile verdict up --exit-code-from verdict --scale client=5" in text(EXAMPLE)


def test_the_example_keeps_what_it_found() -> None:
    """With every verdict the example shows the summary, stops the stack, and then keeps the folder."""
    *_, summary, down, upload = steps(EXAMPLE)

    assert ["always()"] * 3 == [step["if"] for step in (summary, down, upload)]
    assert (ROOT / upload["with"]["path"].removeprefix("streamgauge/")).is_dir()
