"""Writes measured figures and their conditions into documents, between two marks."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

MARK = "measured"
"""Name of the marks in a document with a single table of figures."""


def conditions() -> dict[str, str]:
    """Return the conditions that figures depend on, without naming the machine."""
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "processor": _processor(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        **{name: version(name) for name in ("websockets", "msgspec", "python-json-logger", "Faker")},
    }


def sentence(**more: str) -> str:
    """Return these and further conditions as the line under a table."""
    return "Measured on: " + ", ".join(f"{name} {value}" for name, value in {**conditions(), **more}.items()) + "."


def write(document: Path, text: str, mark: str = MARK) -> None:
    """Replace the text between a document's two marks of this name."""
    begin, end = (f"<!-- {mark}: {edge} -->" for edge in ("begin", "end"))
    before, _, rest = document.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(end)
    document.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
