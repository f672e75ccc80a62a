"""Tests of services/collector/commands/verify.py and of other outputs: none has characters on which terminals act."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.collector.__main__ import main
from services.contract import jsonl

VOLUMES = Path("docs/conformance/volumes")
CASES = ("client-lost", "feed-gap-and-duplicate", "feed-cut-off", "feed-refused")
HOSTILE = "\n20261128T000000Z  PASS  \x1b[2J\x1b]0;x\x07\x9b31m\u202e\u2028\u2066\x7f\x85\r"
ACTIVE = set(HOSTILE) - set("20261128T000000Z  PASS[];x31m\n") - {"J"}
# What decides which line it is, and what links it to others, stays: it would only be skipped.
STRUCTURE = {"crc", "prev", "kind", "v", "run"}


def hostile(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield copies of a JSON value, in each of which one text ends with the hostile one, with the path of that text."""
    if isinstance(value, str) and path not in STRUCTURE:
        yield path, value + HOSTILE
    elif isinstance(value, dict):
        for name, inner in value.items():
            below = f"{path}.{name}".lstrip(".")
            yield from ((where, {**value, name: changed}) for where, changed in hostile(inner, below))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            changes = hostile(inner, f"{path}[]")
            yield from ((where, [*value[:index], changed, *value[index + 1 :]]) for where, changed in changes)


def damaged(lines: list[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield one line for each text of each kind of line in a file, with its place: the text is hostile in it."""
    seen = set[tuple[str, str]]()
    for index, line in enumerate(lines):
        content = json.loads(line)
        for path, changed in hostile(content):
            if (content["kind"], path) in seen:
                continue
            seen.add((content["kind"], path))
            body = {name: value for name, value in changed.items() if name not in ("crc", "prev")}
            text = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
            yield index, jsonl.seal(text, content["prev"])[0]


def variants(case: str, folder: Path) -> Iterator[Path]:
    """Yield volumes folders in which one line of every file was replaced, by one hostile text after the other."""
    source = VOLUMES / case
    files = {path: path.read_bytes().split(b"\n") for path in sorted(source.glob("*/*/**/*.jsonl"))}
    choices = {path: list(damaged(lines[:-1])) for path, lines in files.items()}
    for turn in range(max(map(len, choices.values()))):
        target = folder / f"{turn}"
        shutil.copytree(source, target)
        for path, changes in choices.items():
            index, bad = changes[turn % len(changes)]
            lines = [*files[path][:index], bad.rstrip(b"\n"), *files[path][index + 1 :]]
            (target / path.relative_to(source)).write_bytes(b"\n".join(lines))
        yield target


@pytest.mark.parametrize("case", CASES)
def test_no_output_has_an_active_character(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Terminal, Markdown, JUnit and JSON of runs with hostile texts in every field show them as escapes."""
    for target in variants(case, tmp_path):
        main(["verify", str(target)])
        main(["verify", "--json", str(target)])
        main(["report", str(target)])
        main(["messages", str(target)])
        main(["messages", "--text", str(target)])
        shown = capsys.readouterr()
        outputs = {"stdout": shown.out, "stderr": shown.err}
        outputs |= {
            path.name: path.read_text() for path in (target / "summary").rglob("*") if path.suffix in (".md", ".xml")
        }
        for name, text in outputs.items():
            assert not set(text) & ACTIVE, (name, target, [line for line in text.split("\n") if set(line) & ACTIVE][:3])
        assert not [line for line in shown.out.split("\n") if line.startswith("20261128T000000Z")]
        shutil.rmtree(target)
