"""Makes clean copies of damaged books: every good block of every client in valid files again, the damage left out.

Records stay byte for byte. The chain is mended where a line was left out, and only there: a break that nothing here
explains stays, so that no copy passes whose original should not. The ledger is another's testimony: its damaged lines
are left out, and its chain is not mended at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from services.collector import formatting
from services.collector.commands.clean_copy import CleanCopy
from services.collector.commands.log_survey import LeftOut, Survey
from services.collector.evidence.run_evidence import RunBooks
from services.collector.results.client_result import client_order
from services.collector.scan import ledger_sources, read_file
from services.contract import ledger
from services.contract.errors import LineError
from services.contract.scalars import Span
from services.contract.summary import Fault, Summary

NAME = "salvage.json"
"""Of the file beside the copies that says what is not in them."""


class Lost(msgspec.Struct, frozen=True):
    """A line that is not in the copy: where it stood, why, and the seqs that went with it, if any did."""

    file: str
    line: int
    why: str
    missing: Span | None


class Saved(msgspec.Struct, frozen=True):
    """What is in the copy of one client's log. ``remade`` names the files whose open line had to be made anew."""

    client: str
    files: int
    blocks: int
    messages: int
    remade: list[str]


class Salvage(msgspec.Struct, frozen=True):
    """What came of one run. ``copies`` lines stood in several places and are in the copy once."""

    run: str
    clients: list[Saved]
    left_out: list[Lost]
    copies: int


def salvage(volumes: Path, books: RunBooks, faults: list[Fault], out: Path) -> Salvage:
    """Copy what is good of a run's books.

    Args:
        volumes: the volumes folder, which is not changed.
        books: the run as it lies there: what the ledger knows of a session whose open line is lost.
        faults: what is wrong with it, by which the seqs of a lost line are known.
        out: the folder of the copies.

    Raises:
        OSError: reading or writing is refused.
    """
    survey = Survey(volumes, books.run)
    found = [*survey.left_out, *_ledger(volumes, books.run, out)]
    left_out = sorted(found, key=lambda one: (one.source.path, one.line))
    clients = []
    for client in sorted(survey.clients, key=client_order):
        copy = CleanCopy(survey, books, client, out)
        for number, session in sorted(survey.clients[client].items()):
            copy.write(number, session)
        clients.append(Saved(client, copy.files, copy.blocks, copy.messages, copy.remade))
    missing = {(fault.file, fault.line): fault.missing for fault in faults}
    lost = [Lost(one.source.path, one.line, one.why, missing.get((one.source.path, one.line))) for one in left_out]
    return Salvage(books.run, clients, lost, survey.copies)


def _ledger(volumes: Path, run: str, out: Path) -> Iterator[LeftOut]:
    for source in ledger_sources(volumes, run):
        seen: set[str] = set()
        path = out / source.place
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            for number, line in enumerate(read_file(volumes, source), 1):
                why = _refused(line, run, seen)
                if why:
                    yield LeftOut(source, number, why)
                else:
                    file.write(line)


def _refused(line: bytes, run: str, seen: set[str]) -> str | None:
    try:
        sealed, entry = ledger.codec.decode(line)
    except LineError as problem:
        return problem.detail
    if isinstance(entry, ledger.Open) and entry.run != run:
        return f"the line belongs to run {entry.run}"
    if sealed.crc in seen:
        return "the line stands in this file before"
    seen.add(sealed.crc)
    return None


def text(salvaged: Salvage, made: Summary) -> str:
    """Return in words what came of one run, and what ``verify`` says of the copy."""
    blocks, messages = (sum(getattr(one, name) for one in salvaged.clients) for name in ("blocks", "messages"))
    saved = [
        formatting.several(len(salvaged.clients), "client"),
        formatting.several(blocks, "block"),
        formatting.several(messages, "message"),
    ]
    lines = [f"{salvaged.run}  salvaged  {', '.join(saved)}"]
    for lost in salvaged.left_out:
        seqs = f"seq {lost.missing[0]}-{lost.missing[1]}" if lost.missing else "seq -"
        lines.append(f"  {lost.file}:{lost.line}  left out  {seqs}  {lost.why}")
    lines += [f"  {file}  its open line made anew" for client in salvaged.clients for file in client.remade]
    if salvaged.copies:
        lines.append(f"  {formatting.several(salvaged.copies, 'line')} of copies, there once")
    lines.append(f"  the copy is {made.verdict}: {made.headline}")
    return "\n".join(lines) + "\n"
