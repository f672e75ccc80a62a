"""The workflows have few permissions and use existing targets, files and settings, and so does the example."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.runtime.settings import BY_NAME
from tests.repo.repository import ROOT, compose, relative, text

EXAMPLE, RELEASE = "deploy/ci/github-actions.yml", ".github/workflows/release.yml"
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


PUBLISHING = {
    "images": {"contents": "read", "packages": "write"},
    "attest": {"packages": "write", "id-token": "write", "attestations": "write"},
    "release": {"contents": "write", "packages": "read", "id-token": "write", "attestations": "write"},
}
"""What the jobs of the release need besides reading the repository."""


@every_workflow
def test_jobs_ask_for_little(name: str) -> None:
    """A workflow has only the permissions that a job requests, and every job has a time limit."""
    found = workflow(name)
    publishing = PUBLISHING if name == RELEASE else {}

    assert found["permissions"] == {}
    for job, about in found["jobs"].items():
        expected = [publishing[job]] if job in publishing else [{}, {"contents": "read"}]
        assert about.get("permissions", {}) in expected
        assert about["timeout-minutes"] <= 60


def test_an_action_has_one_version() -> None:
    """An action is the same commit in every workflow."""
    used = {action for name in WORKFLOWS for action in re.findall(r"uses: (\S+)", text(name))}

    assert len({action.partition("@")[0] for action in used}) == len(used)


def test_only_a_tag_publishes() -> None:
    """A release is tested before its images are built; without a tag nothing is pushed, attested or published."""
    jobs, of_tag = workflow(RELEASE)["jobs"], "github.ref_type == 'tag'"

    assert ("test", "images", ["images", "attest"]) == tuple(
        jobs[name]["needs"] for name in ("images", "attest", "release")
    )
    publishing = re.compile(r"docker login|attest-build-provenance|gh release")
    for job in jobs.values():
        for step in job["steps"]:
            if publishing.search(f"{step.get('run', '')}{step.get('uses', '')}"):
                assert of_tag in (step.get("if"), job.get("if"))
    (build,) = [step for step in steps(RELEASE) if "docker buildx bake" in step.get("run", "")]
    assert f"${{{{ {of_tag} && '--push' || '' }}}}" == build["env"]["PUSH"]
    assert "--push" not in build["run"]


def test_a_release_has_what_it_promises() -> None:
    """A release has the changelog, compose files, bills of materials and checksums, and its images were run."""
    commands = "\n".join(step.get("run", "") for step in workflow(RELEASE)["jobs"]["release"]["steps"])

    for part in (
        "make sbom ARGS='--out dist'",
        'make release-file ARGS="--images $PREFIX --out dist"',
        "-m tools.release notes",
        "sha256sum -- *.yml *.json > SHA256SUMS",
        "-f compose.release.yml --profile verdict up --exit-code-from verdict",
        "--notes-file notes.md dist/*",
    ):
        assert part in commands


@every_workflow
def test_scripts_are_correct_shell(name: str) -> None:
    """shellcheck finds nothing in the scripts of a workflow, which its runner ends at the first command that fails."""
    for step in steps(name):
        script = re.sub(r"\$\{\{.*?\}\}", "value", step.get("run", ""))
        command = [str(Path(sys.executable).with_name("shellcheck")), "--shell", "bash", "-"]
        done = subprocess.run(command, input=f"set -e\n{script}", capture_output=True, text=True, check=False)
        assert 0 == done.returncode, f"{step.get('name')}: {done.stdout}"


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
