"""Every verb of the Makefile is listed, and runs the command that documents and other tests expect."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from tests.repo.repository import ROOT, text


def make(*arguments: str) -> str:
    """Return the output of make, run without the variables that a calling make passes on."""
    clean = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, timeout=60, check=True).stdout


def verbs() -> list[str]:
    """Return the targets that are no files."""
    found = re.search(r"^\.PHONY: (.+)$", text("Makefile"), flags=re.MULTILINE)
    assert found is not None
    return found[1].split()


@pytest.mark.parametrize("verb", verbs())
def test_make_lists_every_verb(verb: str) -> None:
    """`make` alone shows every verb with a line of meaning."""
    assert re.search(rf"^make {verb} +\S.*$", make(), flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "does"),
    [
        (["up", "CLIENTS=3"], "CLIENTS=3 docker compose up --scale client=3"),
        (["wait"], "docker compose exec -T collector python -m services.collector wait"),
        (["local", "CLIENTS=3"], "CLIENTS=3 .*/python -m services$"),
        (["test"], r"/python -m pytest -n \d+ --timeout \d+ *$"),
        (["test", "ARGS=-k resume"], r"/python -m pytest -n \d+ --timeout \d+ -k resume$"),
        (["test", "WORKERS=7"], "/python -m pytest -n 7 "),
        (["unit"], r"/python -m pytest -n \d+ --timeout \d+ tests/unit *$"),
        (["coverage"], "/python -m pytest .*--cov .*tests/unit *$"),
        (["format"], "/ruff check --fix$"),
        (["format"], "/ruff format$"),
        (["house"], "/python -m tools.house *$"),
        (["faults"], "/python -m chaos *$"),
        (["faults", "ARGS=chaos/wire"], "/python -m chaos chaos/wire$"),
        (["foreign"], "/python -m chaos.external *$"),
        (["bench"], "/python -m benchmarks"),
        (["screenshots"], "/python -m tools.screenshots$"),
        (["check"], "/ruff check$"),
        (["check"], "/ruff format --check$"),
        (["check"], "/mypy$"),
        (["check"], "/lint-imports$"),
        (["check"], "tests/repo/test_sizes.py$"),
        (["check"], "/codespell$"),
        (["check"], "/shellcheck .*docs/conformance/check.sh$"),
        (["javascript"], "/eslint .*services"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_verb_does(arguments: list[str], does: str) -> None:
    """A verb runs the very command that the tests run without make."""
    assert re.search(does, make("--dry-run", *arguments), flags=re.MULTILINE)


def test_clean_keeps_the_runs() -> None:
    """`make clean` leaves the files of runs."""
    assert "volumes" not in make("--dry-run", "clean")
