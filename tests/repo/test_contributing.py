"""CONTRIBUTING names files and make targets that exist."""

from __future__ import annotations

import re

import pytest

from tests.repo.repository import ROOT, text

PAGE = text("CONTRIBUTING.md")
PATHS = sorted(set(re.findall(r"`((?:services|tests|chaos|benchmarks|tools|deploy|docs)/[\w/.-]*)`", PAGE)))
TARGETS = sorted(set(re.findall(r"`make (\w+)`", PAGE)))


@pytest.mark.parametrize("path", PATHS)
def test_path_exists(path: str) -> None:
    """A file or folder that the page names exists."""
    assert (ROOT / path).exists()


@pytest.mark.parametrize("target", TARGETS)
def test_target_exists(target: str) -> None:
    """A target of make that the page names is in the Makefile."""
    assert re.search(rf"^{target}:", text("Makefile"), flags=re.MULTILINE)


def test_glossary_is_in_order() -> None:
    """The glossary is sorted, so that a reader finds a word."""
    glossary = PAGE.partition("## Glossary")[2].partition("\n## ")[0]
    words = [row.split("|")[1].strip().lower() for row in glossary.splitlines() if row.startswith("| ")][1:]

    assert sorted(words) == words
