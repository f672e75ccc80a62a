"""Nothing in the repository leads elsewhere: it is built with what the machine it is on is set up with."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.repo.repository import ROOT, relative

BUILD_FILES = [
    *(
        ROOT / name
        for name in ("Dockerfile.server", "Dockerfile.client", "docker-compose.yml", "Makefile", "pyproject.toml")
    ),
    *sorted(path for folder in (".ci", "requirements") for path in (ROOT / folder).iterdir() if path.is_file()),
]
_TEXTS = [
    *BUILD_FILES,
    *sorted(path for pattern in ("*.md", ".*.yaml", ".*.yml", ".github/**/*.yml") for path in ROOT.glob(pattern)),
    *sorted(
        path
        for folder in ("benchmarks", "chaos", "deploy", "docs", "services", "tests", "tools")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".md", ".py", ".js", ".css", ".html", ".toml", ".yaml", ".yml"}
        and "node_modules" not in path.parts
    ),
]
"""The files that people edit."""
_ADDRESS = re.compile(r"https?://(?!localhost\b|127\.0\.0\.1\b)[\w\[][^\s\"'`]*")


@pytest.mark.parametrize("path", BUILD_FILES, ids=relative)
def test_no_address(path: Path) -> None:
    """What builds, tests or deploys the system names no address but this machine's own."""
    assert not _ADDRESS.findall(path.read_text(encoding="utf-8"))


def test_lines_end_well() -> None:
    """Every file ends in one newline and no line in white space, so that diffs show real changes only."""
    texts = {relative(path): path.read_text(encoding="utf-8") for path in _TEXTS}

    assert not [name for name, text in texts.items() if text and (not text.endswith("\n") or text.endswith("\n\n"))]
    assert not [name for name, text in texts.items() if any(line != line.rstrip() for line in text.split("\n"))]


def test_toml_and_yaml_are_valid() -> None:
    """Every TOML and YAML file can be parsed."""
    for path in _TEXTS:
        if path.suffix == ".toml":
            tomllib.loads(path.read_text(encoding="utf-8"))
        elif path.suffix in {".yaml", ".yml"}:
            list(yaml.compose_all(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader))
