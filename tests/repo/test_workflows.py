"""The workflows need few permissions and call commands that exist; so does the example for other projects."""

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
    """An action of others is named by its commit, with the version beside it, and is the same everywhere."""
    used = re.findall(r"uses: (\S+)(.*)", text(name))

    assert used
    assert not [action for action, about in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)]
    assert not [action for action, about in used if not re.fullmatch(r" # v\d+\.\d+\.\d+", about)]


@every_workflow
def test_jobs_ask_for_little(name: str) -> None:
    """A workflow has no power but what a job asks for, and no job runs for hours."""
    found = workflow(name)

    assert found["permissions"] == {}
    assert all(job.get("permissions", {}) in ({}, {"contents": "read"}) for job in found["jobs"].values())
    assert all(job["timeout-minutes"] <= 60 for job in found["jobs"].values())


def test_the_example_sets_what_exists() -> None:
    """Every variable of the example is a setting."""
    (job,) = workflow(EXAMPLE)["jobs"].values()

    assert job["env"].keys() <= BY_NAME.keys()


def test_the_example_names_services() -> None:
    """The example starts and asks services that the compose file has, and waits as the README does."""
    commands = "\n".join(step.get("run", "") for step in steps(EXAMPLE))

    assert {"client", "collector"} <= compose()["services"].keys()
    assert "docker compose exec -T collector python -m services.collector wait" in text("README.md")
    assert "docker compose exec -T collector python -m services.collector wait" in commands


def test_the_example_keeps_what_it_found() -> None:
    """After any verdict the summary is shown, the stack is stopped, and then the folder is stored."""
    *_, summary, _, down, upload = steps(EXAMPLE)

    assert ["always()"] * 3 == [step["if"] for step in (summary, down, upload)]
    assert (ROOT / upload["with"]["path"]).is_dir()
