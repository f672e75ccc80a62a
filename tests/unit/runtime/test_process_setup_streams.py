"""Tests of the set-up of the standard streams."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os, sys
from services.runtime import process_setup
process_setup.make_streams_usable()
print("a \\u00b7 b", flush=True)
print("c \\u00b7 d", file=sys.stderr)
os.fstat(0), os.fstat(1), os.fstat(2)
"""


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"PYTHONIOENCODING": "latin-1"}, b"a \xb7 b\n"),
        ({"PYTHONIOENCODING": "ascii"}, b"a ? b\n"),
        ({"LC_ALL": "C", "PYTHONUTF8": "0"}, b"a ? b\n"),
        ({"PYTHONUTF8": "1"}, "a · b\n".encode()),
    ],
    ids=["latin-1", "ascii", "C", "utf-8"],
)
def test_no_locale_refuses_a_character(given: dict[str, str], expected: bytes) -> None:
    """Characters that the encoding lacks are printed as question marks."""
    names = {"LC_ALL", "LC_CTYPE", "LANG", "PYTHONIOENCODING", "PYTHONUTF8"}
    kept = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env={**kept, **given}, capture_output=True, check=False)

    assert (0, expected) == (done.returncode, done.stdout), done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_leads_to_the_null_device(closed: str) -> None:
    """A program that was started with a closed stream still prints, and no file gets the number of that stream."""
    command = ["sh", "-c", f'"$0" -c "$1" {closed}', sys.executable, PROGRAM]

    assert 0 == subprocess.run(command, capture_output=True, check=False).returncode
