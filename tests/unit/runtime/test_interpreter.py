"""Tests of the line that a Python without the packages ends with."""

from __future__ import annotations

import subprocess
import sys

import pytest

from services.runtime.interpreter import PROGRAMS, fault
from tests.repo.repository import ROOT


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_python_without_the_packages_names_the_right_one(program: str) -> None:
    """Each program ends with 104 and one line that names the Python to use, without a traceback."""
    # -S leaves out the packages of the environment; a Python of the system has none either.
    ended = subprocess.run(
        [sys.executable, "-S", "-m", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    (line,) = ended.stderr.splitlines()

    assert (104, "") == (ended.returncode, ended.stdout)
    assert line.endswith(f"lacks the packages: run `make venv` once, then `.venv/bin/python -m {program} …`")


@pytest.mark.parametrize(
    ("command", "version", "has_packages", "expected"),
    [
        (["python3", "-m", "services.collector", "verify"], (3, 11), True, None),
        (["python3", "-m", "services.collector", "verify"], (3, 10), True, "is 3.10, and 3.11 is needed"),
        (["python3", "-m", "services.runtime.heartbeat"], (3, 11), False, None),
        (["python3", "-m", "pytest", "services"], (3, 11), False, None),
        ([], (3, 11), False, None),
    ],
)
def test_only_programs_are_held_up(
    command: list[str], version: tuple[int, int], has_packages: bool, expected: str | None
) -> None:
    """An old Python is named too; what needs no packages runs without them."""
    found = fault(command, version, lambda _: has_packages)

    assert found is None if expected is None else expected in (found or "")
