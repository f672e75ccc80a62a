"""The README is short, and every command in it is run by a test."""

from __future__ import annotations

import ast
import re

import pytest

from tests.repo.markdown import commands
from tests.repo.repository import ROOT, text

RUN_BY = {
    "docker compose up --scale client=5": "tests/integration/test_graceful_stop.py::test_ctrl_c_leaves_sealed_logs",
    "docker compose --profile verdict up --exit-code-from verdict --scale client=5": (
        "tests/integration/test_up_with_verdict.py::test_the_exit_code_is_the_verdict"
    ),
    "docker compose exec -T collector python -m services.collector verify /volumes": (
        "tests/integration/test_run_cannot_end_by_accident.py::test_the_unchanged_run_passes"
    ),
    "docker compose exec -T collector python -m services.collector prove /volumes": (
        "tests/integration/test_run_cannot_end_by_accident.py::test_a_container_proves_that_damage_is_caught"
    ),
    "jq -c 'select(.kind==\"block\") | [.client, .block, .first, .last, .duration_ns]' volumes/logs/*/*/*.jsonl": (
        "tests/integration/test_logs_read_everywhere.py::test_jq_counts_the_messages"
    ),
    "make local CLIENTS=5": "tests/repo/test_makefile.py::test_verb_does",
    ".venv/bin/python -m services.client feeds check --url wss://feed.example/stream": (
        "tests/integration/test_feed_profiles.py::test_check_proposes_what_a_feed_needs"
    ),
    "make judge URL=wss://feed.example/stream FEED=feeds/mine.toml SECONDS=60 CLIENTS=3": (
        "tests/repo/test_makefile.py::test_judge_reaches_the_services"
    ),
    "SERVER_URL=wss://feed.example/stream FEED=feeds/mine.toml CLIENTS=3"
    " docker compose -f deploy/judge.yml run --rm verdict": (
        "tests/integration/test_external_containers.py::test_one_line_judges_a_profile"
    ),
    "make check": ".ci/run",
    "make test": ".ci/run",
    "make faults": "tests/repo/test_makefile.py::test_verb_does",
    "make foreign": "tests/repo/test_makefile.py::test_verb_does",
    "make bench": "tests/repo/test_makefile.py::test_verb_does",
}
"""Every command in the README, and the test function or script that runs it."""

README = text("README.md")


def test_every_command_is_run() -> None:
    """Every command in the README has a row in `RUN_BY`."""
    assert not [command for command in commands(README) if command not in RUN_BY]


def test_no_row_is_stale() -> None:
    """Every row is of a command that is still in the README."""
    assert not RUN_BY.keys() - set(commands(README))


@pytest.mark.parametrize("command", RUN_BY)
def test_what_runs_it_exists(command: str) -> None:
    """The file that runs a command exists, and has the function that is named."""
    name, _, function = RUN_BY[command].partition("::")
    assert (ROOT / name).is_file(), f"{name} is not there"

    if name.endswith(".py"):
        tree = ast.parse(text(name))
        assert function in {
            node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }


def test_is_short() -> None:
    """The README has at most 200 lines."""
    assert len(README.splitlines()) <= 200


def test_nothing_is_left_to_fill_in() -> None:
    """No placeholder is left in it."""
    assert not re.findall(r"@@\w+@@|TODO|TBD|FIXME", README)


def test_pastes_no_file() -> None:
    """The README contains no copy of the compose file or of a Dockerfile, which would become outdated."""
    assert "services:\n" not in README
    assert not re.search(r"^FROM \S+", README, flags=re.MULTILINE)
