"""Reads Markdown as far as the documents' tests need it: sections, tables, fenced blocks."""

from __future__ import annotations

import re
from typing import NamedTuple

_FENCE = re.compile(r"^```(\S*)[ ]*(.*?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_CELL = re.compile(r"(?<!\\)\|")


class Fence(NamedTuple):
    """A fenced block: its language, what follows the language, and its lines."""

    language: str
    about: str
    text: str


def fences(text: str, *languages: str) -> list[Fence]:
    """Return the fenced blocks in these languages, in the order of the document."""
    return [Fence(*found) for found in _FENCE.findall(text) if found[0] in languages]


def prose(text: str) -> str:
    """Return a document without its fenced blocks."""
    return _FENCE.sub("", text)


def sections(text: str) -> dict[str, str]:
    """Return the text under each heading, up to the next heading of any level."""
    parts = _HEADING.split(_FENCE.sub(lambda found: found[0].replace("\n#", "\n\0"), text))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def section_of(text: str, word: str) -> str:
    """Return the one section whose heading names ``word`` in backticks.

    Raises:
        LookupError: no section does, or several do.
    """
    found = [body for heading, body in sections(text).items() if f"`{word}`" in heading]
    if len(found) != 1:
        raise LookupError(f"{len(found)} sections are headed `{word}`, not one")
    return found[0]


def rows(text: str) -> list[list[str]]:
    """Return the rows of all tables, cell by cell, without heads and rules."""
    found: list[list[str]] = []
    for line in map(str.strip, prose(text).splitlines()):
        cells = [cell.strip().replace("\\|", "|") for cell in _CELL.split(line)[1:-1]] if line.startswith("|") else []
        if cells and all(re.fullmatch(r":?-+:?", cell) for cell in cells):
            found.pop()  # what stands above the rule is the head
        elif cells:
            found.append(cells)
    return found


def plain(cell: str) -> str:
    """Return a cell's text without marks of emphasis and code."""
    return cell.strip("`*_() ")


def commands(text: str) -> list[str]:
    """Return the commands of all shell blocks, continued lines joined, comments and output left out."""
    found = []
    for fence in fences(text, "sh", "bash", "shell", "console"):
        for line in fence.text.replace("\\\n", " ").splitlines():
            prompted = line.startswith("$ ")
            if fence.language == "console" and not prompted:
                continue
            command = " ".join(line.removeprefix("$ ").split(" #")[0].split())
            if command and not command.startswith("#"):
                found.append(command)
    return found
