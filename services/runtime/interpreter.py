"""Ends a program with one line, instead of a traceback, if its Python is too old or lacks the packages.

Imported before anything else, by any Python: no syntax and no module that an old one lacks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec

PROGRAMS = ("services", "services.server", "services.client", "services.collector")
_OLDEST = (3, 11)
_EXIT_BAD_SETTINGS = 104


def fault(command: Sequence[str], version: tuple[int, ...], has_package: Callable[[str], bool]) -> str | None:
    """Return what is wrong with this Python for one of the programs; None if nothing is. Pure.

    Args:
        command: the command line, with the interpreter: ``python3 -m services.collector verify volumes``.
        version: of this Python.
        has_package: whether a package can be imported.
    """
    program = next((after for option, after in zip(command, command[1:]) if option == "-m"), "")  # noqa: RUF007, B905
    if program not in PROGRAMS:
        return None
    if version >= _OLDEST and has_package("msgspec"):
        return None
    reason = "lacks the packages" if version >= _OLDEST else f"is {version[0]}.{version[1]}, and 3.11 is needed"
    return f"{command[0]} {reason}: run `make venv` once, then `.venv/bin/python -m {program} …`"


def require() -> None:
    """Exit with 104 after one line if this process is one of the programs and its Python cannot run it."""
    # Without -m, or in an embedded interpreter, the list may be empty.
    problem = fault(getattr(sys, "orig_argv", ()), sys.version_info[:2], lambda name: find_spec(name) is not None)
    if problem is not None:
        sys.stderr.write(f"error: {problem}\n")
        sys.exit(_EXIT_BAD_SETTINGS)
