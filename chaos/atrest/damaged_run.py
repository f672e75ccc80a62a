"""Reads damaged volumes with the collector's own code, and checks the summary against invariants of every volume."""

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
def intact_lines() -> dict[Source, list[bytes]]:
    """Return the lines of a run without losses: two clients, a stop, a crash and a second segment."""
    return reference.run_files(reference.sessions(TOTAL, SIZE)[1:], TOTAL)


@cache
def logs() -> list[Source]:
    """Return the block-log files of the run."""
    return [source for source in intact_lines() if source.client is not None]


@cache
def intact_volume() -> dict[Source, bytes]:
    """Return the files of the run as bytes."""
    return reference.texts(intact_lines())


@cache
def block_of(line: bytes) -> blocklog.Block | None:
    """Return the block in an original line, None for lines of other kinds."""
    entry = blocklog.codec.decode(line)[1]
    return entry if isinstance(entry, blocklog.Block) else None


def fold(files: Volume) -> RunEvidence:
    """Return the evidence in these files, added in the order in which the collector's scan adds it."""
    evidence, tails = RunEvidence(factory.RUN), []
    evidence.add_sources(files)
    for source, data in files.items():
        lines, tail = reference.split(data)
        for line in lines:
            evidence.add_line(source, line)
        if tail:
            tails.append(FileTail(source, tail))
    evidence.add_tails(tails)
    return evidence


def summary_with(source_changed: Source, data: bytes) -> Summary:
    """Return the final summary of the intact volume with one file changed, after checking the invariants."""
    files = {**intact_volume(), source_changed: data}
    summary = reconcile(fold(files), final=True)
    for client in summary.clients:
        assert_conserved(client, files)
    totals = summary.totals
    assert totals.residual == 0 or summary.verdict == "INVALID", summary.reasons
    assert known(totals.expected) - totals.received - known(totals.residual) == attributed(summary.missing_by_cause)
    assert bool(summary.reasons) is (summary.verdict != "PASS")
    return summary


def assert_conserved(client: ClientSummary, files: Volume) -> None:
    """Check that a client's received records are exactly those in original lines that are still in its folder."""
    remaining = RangeSet()
    for source, data in files.items():
        if source.client == client.client:
            for line in reference.split(data)[0]:
                block = block_of(line) if line in originals(client.client) else None
                if block is not None:
                    remaining.add(block.first, block.last)
    missing = RangeSet([(1, known(client.expected))]) - remaining
    assert missing.spans() == client.missing_ranges, (client.client, remaining)
    assert known(client.expected) - missing.count == client.received


@cache
def originals(client: str) -> frozenset[bytes]:
    """Return every line that a client wrote."""
    return frozenset(line for source in logs() if source.client == client for line in intact_lines()[source])


def attributed(causes: Causes) -> int:
    """Return the number of missing records with a cause."""
    return sum(getattr(causes, name) or 0 for name in Causes.__struct_fields__)


def fault_kinds(summary: Summary, source: Source) -> set[str]:
    """Return the kinds of fault that a summary reports for a file."""
    return {fault.kind for fault in summary.faults if fault.file == source.path}


def record_count(lines: Iterable[bytes]) -> int:
    """Return the number of records in original lines."""
    blocks = (block_of(line) for line in lines)
    return sum(block.count for block in blocks if block is not None)


def flips(data: bytes, stride: int) -> Iterator[tuple[int, bytes]]:
    """Yield offset and changed file for one bit of every ``stride``-th byte, and all bits of every newline."""
    for offset in range(len(data)):
        if data[offset : offset + 1] == b"\n":
            bits: Iterable[int] = range(8)
        elif offset % stride == 0:
            bits = [offset // stride % 8]
        else:
            continue
        for bit in bits:
            yield offset, data[:offset] + bytes([data[offset] ^ (1 << bit)]) + data[offset + 1 :]
