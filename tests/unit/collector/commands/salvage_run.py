"""Salvages files, for the tests of the copy."""

from __future__ import annotations

from pathlib import Path

from services.collector.commands import verify
from services.collector.commands.salvage import SalvageResult, salvage
from services.collector.evidence.run_evidence import RunEvidence
from services.contract.summary import Summary
from tests.builders.runs import Files, write


def check(volumes: Path) -> tuple[Summary, RunEvidence]:
    """Return the summary of the only run of a folder."""
    (verified,) = verify.check(volumes)
    return verified.summary, verified.evidence


def saved(volumes: Path, files: Files) -> tuple[SalvageResult, Summary, Path]:
    """Salvage these files; return the result, the summary of the copy, and its folder."""
    write(files, volumes / "source")
    made, books = check(volumes / "source")
    found = salvage(volumes / "source", books, made.faults, volumes / "out")
    return found, check(volumes / "out")[0], volumes / "out"


def texts(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.jsonl"))}
