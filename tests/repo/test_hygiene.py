"""Nothing in the repository leads elsewhere: it is built with what the machine it is on is set up with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.repo.repository import ROOT, relative

BUILD_FILES = [
    *(
        ROOT / name
        for name in ("Dockerfile.server", "Dockerfile.client", "docker-compose.yml", "Makefile", "pyproject.toml")
    ),
    *sorted(path for folder in (".ci", "requirements") for path in (ROOT / folder).iterdir() if path.is_file()),
]
_ADDRESS = re.compile(r"https?://(?!localhost\b|127\.0\.0\.1\b)[\w\[][^\s\"'`]*")


@pytest.mark.parametrize("path", BUILD_FILES, ids=relative)
def test_no_address(path: Path) -> None:
    """What builds, tests or deploys the system names no address but this machine's own."""
    assert not _ADDRESS.findall(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", BUILD_FILES, ids=relative)
def test_lines_end_well(path: Path) -> None:
    """Every file ends in one newline and no line in white space, so that diffs show what was changed."""
    found = path.read_text(encoding="utf-8")

    assert found.endswith("\n")
    assert not found.endswith("\n\n")
    assert not [line for line in found.split("\n") if line != line.rstrip()]
