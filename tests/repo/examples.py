"""The examples in the documents: the block log, the ledger and the summary of one real run.

``python -m tests.repo.examples`` writes the generated files again: ``docs/summary.schema.json`` from the code,
and the summary in ``docs/formats/summary.md`` from the lines in ``block-log.md`` and ``ledger.md`` beside it.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from services.collector.commands.verify import check
from services.contract import blocklog, ledger, summary
from services.contract.summary import Summary
from tests.repo.markdown import fences
from tests.repo.repository import ROOT, text

SCHEMA = "docs/summary.schema.json"


def block_log() -> bytes:
    """Return the file that docs/formats/block-log.md shows."""
    (example,) = fences(text("docs/formats/block-log.md"), "jsonl")
    return example.text.encode()


def ledger_file() -> bytes:
    """Return the file that docs/formats/ledger.md shows."""
    (example,) = fences(text("docs/formats/ledger.md"), "jsonl")
    return example.text.encode()


def shown_summary() -> bytes:
    """Return the file that docs/formats/summary.md shows."""
    (example,) = fences(text("docs/formats/summary.md"), "json")
    return example.text.encode()


def volumes(folder: Path) -> Path:
    """Make a volumes folder that holds what the documents show, and nothing else."""
    _, entry = ledger.codec.decode(ledger_file().splitlines(keepends=True)[0])
    assert isinstance(entry, ledger.OpenEntry)
    _, opening = blocklog.codec.decode(block_log().splitlines(keepends=True)[0])
    assert isinstance(opening, blocklog.OpenLine)
    files = {
        f"ledger/{entry.run}/{entry.instance}.jsonl": ledger_file(),
        f"logs/{opening.run}/{opening.client}/{blocklog.file_name(opening.session, opening.segment)}": block_log(),
    }
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(data)
    return folder


def made_summary(folder: Path) -> Summary:
    """Return what the collector makes of a volumes folder that holds one run."""
    (verified,) = check(folder)
    return verified.summary


def schema() -> str:
    """Return the text of the published schema."""
    return json.dumps(summary.schema(), indent=2, ensure_ascii=False) + "\n"


def write_anew() -> None:
    """Write the generated files."""
    (ROOT / SCHEMA).write_text(schema(), encoding="utf-8")
    shown = shown_summary()
    with tempfile.TemporaryDirectory() as name:
        made = made_summary(volumes(Path(name)))
    document = text("docs/formats/summary.md").replace(shown.decode(), summary.encode(made).decode())
    (ROOT / "docs/formats/summary.md").write_text(document, encoding="utf-8")


if __name__ == "__main__":
    write_anew()
