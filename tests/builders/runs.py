"""Builds ledger and block logs of good runs, line by line, with the contract's own codecs; tests then damage them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from services.collector.evidence.run_evidence import RunEvidence
from services.collector.scan import Source
from services.collector.verdict.summary import reconcile
from services.collector.verdict.thresholds import ThresholdLimit
from services.contract import block_text, blocklog, ledger
from services.contract.jsonl import FIRST, Kinds, LineStruct
from services.contract.scalars import utc_text
from services.contract.summary import Summary

RUN = "20261122T073000Z"
START_US = 1_795_332_600_000_000
INSTANCE = "0123456789ab"

Files = dict[Source, list[bytes]]


def record(seq: int) -> bytes:
    """Return the record of a seq."""
    return b'{"seq":%d,"name":"N%d"}' % (seq, seq)


def at(seq: int, later_us: int = 0) -> str:
    """Return when a seq arrives."""
    return utc_text(START_US + seq * 1000 + later_us)


class Writer:
    """A file that grows line by line."""

    def __init__(self, codec: Kinds[Any], prev: str = FIRST) -> None:
        self.lines: list[bytes] = []
        self.prev = prev
        self._codec = codec

    def put(self, entry: LineStruct) -> None:
        """Append a line."""
        line, self.prev = self._codec.encode(entry, self.prev)
        self.lines.append(line)


FIT = {"loop_lag_p99_ns": 50_000, "loop_lag_max_ns": 2_000_000, "cpu_ns": 5_000_000, "throttled_ns": 0}
"""What a process says of itself that was not held up."""


@dataclass
class Session:
    """What one client process logged: blocks as (first, last), cut into segments after some of them."""

    client: str
    number: int
    fence: int
    after: int
    blocks: list[tuple[int, int]]
    block_size: int = 10
    cuts: set[int] = field(default_factory=set)
    reason: blocklog.FileEndReason | None = "finished"
    changes: dict[int, dict[str, Any]] = field(default_factory=dict)
    later_us: int = 0
    attempted_us: int | None = None
    ends: dict[str, Any] = field(default_factory=dict)


def block(session: Session, number: int, first: int, last: int, **changes: Any) -> blocklog.Block:
    """Return a good block, or one with some fields changed."""
    messages = [
        blocklog.OwnMessage(seq, at(seq, session.later_us), 1_000_000 + seq, 500_000 + seq, msgspec.Raw(record(seq)))
        for seq in range(first, last + 1)
    ]
    made = blocklog.Block(
        run=RUN, client=session.client, session=session.number, block=number,
        first=first, last=last, count=len(messages), closed_by="count",
        started_at=at(first), ended_at=at(last), duration_ns=(last - first) * 1_000_000, idle_ns=0,
        clock_offset_us=0, clock_error_us=0, digest=block_text.block_digest(messages), messages=messages,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def log_files(session: Session, torn: list[blocklog.Torn] | None = None) -> Files:
    """Return the files of one session."""
    files: Files = {}
    prev = FIRST
    bounds = [0, *sorted(session.cuts), len(session.blocks)]
    for segment, (start, stop) in enumerate(pairwise(bounds), 1):
        writer = Writer(blocklog.codec, prev)
        writer.put(
            blocklog.OpenLine(
                run=RUN, client=session.client, session=session.number, segment=segment, instance="i",
                fence=session.fence, block_size=session.block_size, fsync="block", after=session.after, boot="b",
                host="h", software="s", opened_at=at(0), torn=torn or [] if segment == 1 else [],
                attempted_at=None if session.attempted_us is None else utc_text(session.attempted_us),
            )
        )  # fmt: skip
        for index in range(start, stop):
            number = index + 1
            changes = session.changes.get(number, {})
            writer.put(block(session, number, *session.blocks[index], **changes))
        reason = session.reason if stop == len(session.blocks) else "rotated"
        if reason is not None:
            text = b"".join(writer.lines)
            writer.put(
                blocklog.EndLine(
                    reason=reason, block_count=stop - start, byte_count=len(text),
                    message_count=sum(last - first + 1 for first, last in session.blocks[start:stop]),
                    sha256=hashlib.sha256(text).hexdigest(),
                    **{**FIT, **session.ends},
                )
            )  # fmt: skip
        prev = writer.prev
        files[Source(RUN, session.client, blocklog.file_name(session.number, segment))] = writer.lines
    return files


def opening(total: int, clients: int, rate: float = 1000) -> ledger.OpenEntry:
    """Return the open line of a ledger."""
    return ledger.OpenEntry(
        at=at(0), run=RUN, instance=INSTANCE, boot="b", software="s", feed="f", seed=42, schema="person",
        locale="en_US", faker="40", pool=10, total=total, rate=rate, clients=clients,
    )  # fmt: skip


def receipt(session: Session, number: int, first: int, last: int, **changes: Any) -> ledger.ReceiptEntry:
    """Return the receipt of a good block."""
    made = block(session, number, first, last)
    entry = ledger.ReceiptEntry(
        at=at(last), client=session.client, session=session.number, fence=session.fence, block=number,
        first=first, last=last, count=made.count, digest=made.digest, match=True,
    )  # fmt: skip
    return msgspec.structs.replace(entry, **changes)


def subscription(session: Session, *, observe: bool = False) -> ledger.SubscribeEntry:
    """Return the ledger's line of a session's subscription."""
    return ledger.SubscribeEntry(
        at=at(session.after), client=session.client, session=session.number, instance="i", fence=session.fence,
        first=session.after + 1, block_size=session.block_size, observe=observe,
    )  # fmt: skip


def leave(session: Session, through: int, cause: ledger.Cause) -> ledger.LeaveEntry:
    """Return the ledger's line of a departure."""
    return ledger.LeaveEntry(
        at=at(through), client=session.client, fence=session.fence, sent=through, receipted=through, cause=cause
    )


def end(last: int, **changes: Any) -> ledger.EndEntry:
    """Return the ledger's line of the end."""
    entry = ledger.EndEntry(
        at=at(last + 10), last=last, count=last, reason="complete", late_p99_ns=1_000_000, late_max_ns=2_000_000,
        **FIT,
    )  # fmt: skip
    return msgspec.structs.replace(entry, **changes)


def blocks_of(first: int, last: int, size: int) -> list[tuple[int, int]]:
    """Return ranges cut into blocks."""
    return [(start, min(start + size - 1, last)) for start in range(first, last + 1, size)]


def good_sessions(total: int = 60, size: int = 10) -> list[Session]:
    """Return three sessions of two clients: the first in two segments, the second stopped and started again."""
    half = total // 2
    return [
        Session("client-1", 1, 1, 0, blocks_of(1, total, size), size, cuts={2}),
        Session("client-2", 1, 2, 0, blocks_of(1, half, size), size, reason="shutdown", later_us=300),
        Session("client-2", 2, 3, half, blocks_of(half + 1, total, size), size, later_us=300),
    ]


def good_ledger(sessions: list[Session], total: int = 60, rate: float = 1000, clients: int | None = None) -> Writer:
    """Return the ledger of sessions that received everything, up to the end."""
    writer = Writer(ledger.codec)
    writer.put(opening(total, clients or len({session.client for session in sessions}), rate))
    writer.put(ledger.PaceEntry(at=at(0), first=1, due_us=START_US, rate=rate))
    writer.put(ledger.ControlEntry(at=at(1), request="status", peer="127.0.0.1"))
    for session in sessions:
        writer.put(subscription(session))
        last = max((last for _, last in session.blocks), default=session.after)
        for through in sorted({(session.after + last) // 2, last}):
            writer.put(
                ledger.SentEntry(at=at(session.after), client=session.client, fence=session.fence, through=through)
            )
        for index, (first, last) in enumerate(session.blocks):
            writer.put(receipt(session, index + 1, first, last))
        if session.reason == "shutdown":
            writer.put(leave(session, last, "bye"))
    return writer


def good_run(total: int = 60, size: int = 10) -> Files:
    """Return the ledger and the block logs of a run without faults."""
    sessions = good_sessions(total, size)
    writer = good_ledger(sessions, total)
    writer.put(end(total))
    files: Files = {ledger_source(): writer.lines}
    for session in sessions:
        files.update(log_files(session))
    return files


def ledger_source(name: str = INSTANCE) -> Source:
    """Return the source of the ledger's file."""
    return Source(RUN, None, f"{name}.jsonl")


def log_source(client: str, session: int = 1, segment: int = 1) -> Source:
    """Return the source of a log's file."""
    return Source(RUN, client, blocklog.file_name(session, segment))


def fold(files: Mapping[Source, Iterable[bytes]]) -> RunEvidence:
    """Return the evidence of these files, read in their order."""
    evidence = RunEvidence(RUN)
    evidence.add_sources(files)
    for source, lines in files.items():
        for line in lines:
            evidence.add_line(source, line)
    return evidence


def fold_in_turns(
    files: Mapping[Source, Iterable[bytes]], dice: Random, query: Callable[[RunEvidence], object], share: float
) -> RunEvidence:
    """Return the evidence of these files, read line by line in random turns.

    Args:
        files: the lines of each file.
        dice: selects the file of each turn.
        query: called with the evidence after a ``share`` of the lines.
        share: from 0 to 1.
    """
    evidence = RunEvidence(RUN)
    waiting = {source: list(lines) for source, lines in files.items()}
    evidence.add_sources(source for source, lines in waiting.items() if not lines)
    waiting = {source: lines for source, lines in waiting.items() if lines}
    while waiting:
        source = dice.choice(list(waiting))
        evidence.add_line(source, waiting[source].pop(0))
        if dice.random() < share:
            query(evidence)
        if not waiting[source]:
            del waiting[source]
    return evidence


def judged(files: Mapping[Source, Iterable[bytes]], limits: tuple[ThresholdLimit, ...] = ()) -> Summary:
    """Return the final summary of these files."""
    return reconcile(fold(files), limits, final=True)


def write(files: Mapping[Source, Iterable[bytes]], volumes: Path) -> None:
    """Write the files into a volumes folder."""
    for source, lines in files.items():
        path = volumes / source.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(lines))
