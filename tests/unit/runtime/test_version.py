"""Tests of the version of the software."""

from __future__ import annotations

import tomllib
from pathlib import Path

from services.runtime.version import SOFTWARE


def test_is_the_projects() -> None:
    """The version in every log is the project's own."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert f"{project['name']}/{project['version']}" == SOFTWARE
