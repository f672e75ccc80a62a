"""Damaged volumes, judged by the collector's own fold and reconcile, and held to what must be true of every one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache

from chaos.atrest import reference
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.scan import FileTail, Source
from services.collector.verdict.summary import reconcile
from services.contract import blocklog
from services.contract.rangeset import RangeSet
from services.contract.summary import Causes, ClientSummary, Summary
from tests.asserts import known
from tests.builders import runs as factory

TOTAL, SIZE = 24, 4
Volume = Mapping[Source, bytes]


@cache
def sound() -> dict[Source, list[bytes]]:
    """Return the lines of a run in which nothing was lost: two clients, a stop, a crash and a second segment."""
    return reference.books(reference.sessions(TOTAL, SIZE)[1:], TOTAL)


@cache
def logs() -> list[Source]:
    """Return the files of the block logs."""
    return [source for source in sound() if source.client is not None]


@cache
def volume() -> dict[Source, bytes]:
    """Return the same as the bytes on disk."""
    return reference.texts(sound())


@cache
def block_of(line: bytes) -> blocklog.Block | None:
    """Return the block that an original line holds, None for lines of other kinds."""
    entry = blocklog.codec.decode(line)[1]
    return entry if isinstance(entry, blocklog.Block) else None


def fold(files: Volume) -> RunEvidence:
    """Return the books of these files, taken as the collector takes what its scan hands out."""
    books, tails = RunEvidence(factory.RUN), []
    books.add_sources(files)
    for source, data in files.items():
        lines, tail = reference.split(data)
        for line in lines:
            books.add_line(source, line)
        if tail:
            tails.append(FileTail(source, tail))
    books.add_tails(tails)
    return books


def judged(changed: Source, data: bytes) -> Summary:
    """Return the final summary of the sound volume with one file changed, after asking what must hold of any."""
    files = {**volume(), changed: data}
    summary = reconcile(fold(files), final=True)
    for client in summary.clients:
        conserved(client, files)
    totals = summary.totals
    assert totals.residual == 0 or summary.verdict == "INVALID", summary.reasons
    assert known(totals.expected) - totals.received - known(totals.residual) == explained(summary.missing_by_cause)
    assert bool(summary.reasons) is (summary.verdict != "PASS")
    return summary


def conserved(client: ClientSummary, files: Volume) -> None:
    """Hold what one client is said to have to the original lines that still stand in its folder: no more, no less."""
    standing = RangeSet()
    for source, data in files.items():
        if source.client == client.client:
            for line in reference.split(data)[0]:
                block = block_of(line) if line in originals(client.client) else None
                if block is not None:
                    standing.add(block.first, block.last)
    missing = RangeSet([(1, known(client.expected))]) - standing
    assert missing.spans() == client.missing_ranges, (client.client, standing)
    assert known(client.expected) - len(missing) == client.received


@cache
def originals(client: str) -> frozenset[bytes]:
    """Return every line that a client ever wrote."""
    return frozenset(line for source in logs() if source.client == client for line in sound()[source])


def explained(causes: Causes) -> int:
    """Return how many missing records have a cause."""
    return sum(getattr(causes, name) or 0 for name in Causes.__struct_fields__)


def kinds(summary: Summary, source: Source) -> set[str]:
    """Return the kinds of fault in a file."""
    return {fault.kind for fault in summary.faults if fault.file == source.path}


def held(lines: Iterable[bytes]) -> int:
    """Return how many records these original lines hold."""
    blocks = (block_of(line) for line in lines)
    return sum(block.count for block in blocks if block is not None)


def flips(data: bytes, stride: int) -> Iterator[tuple[int, bytes]]:
    """Return a file with one bit flipped in every ``stride``-th byte and all bits of every newline."""
    for place in range(len(data)):
        if data[place : place + 1] == b"\n":
            bits: Iterable[int] = range(8)
        elif place % stride == 0:
            bits = [place // stride % 8]
        else:
            continue
        for bit in bits:
            yield place, data[:place] + bytes([data[place] ^ (1 << bit)]) + data[place + 1 :]
