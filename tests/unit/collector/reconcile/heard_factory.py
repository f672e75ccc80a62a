"""Logs of a feed that is not ours, as clients write them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import msgspec

from services.collector.reconcile.books import RunBooks
from services.collector.scan import Source
from services.contract import blocklog, foreign
from services.contract.fields import utc_text
from tests.unit.collector.books_factory import RUN, START_US, Writer

STEP_US = 10_000
UNTIL_US = START_US + 10_000_000


def message(
    seq: int | None, place: int, *, key: str | None = None, late_ns: int | None = 1_000_000
) -> foreign.HeardMessage:
    """Return the message that came at some place, ten milliseconds after the one before."""
    record = msgspec.Raw(msgspec.json.encode({"seq": seq, "key": key, "text": f"record {seq}"}))
    return foreign.HeardMessage(seq, utc_text(START_US + place * STEP_US), late_ns, record, key)


def block(client: str, number: int, messages: Sequence[foreign.HeardMessage], first: int) -> foreign.HeardBlock:
    """Return a block of messages, the first of which came at place ``first``."""
    last = first + len(messages) - 1
    return foreign.HeardBlock(
        run=RUN, client=client, session=1, block=number, heard=(first, last), first=None, last=None,
        count=len(messages), closed_by="count", started_at=messages[0].received_at,
        ended_at=messages[-1].received_at, duration_ns=(last - first) * STEP_US * 1000, idle_ns=STEP_US * 1000,
        digest=foreign.messages_digest(messages), messages=list(messages),
    )  # fmt: skip


def log(
    client: str,
    messages: Iterable[foreign.HeardMessage],
    *,
    size: int = 5,
    reason: blocklog.EndReason | None = "finished",
    until_us: int | None = UNTIL_US,
    seq: str | None = None,
    time: str | None = None,
) -> dict[Source, list[bytes]]:
    """Return the file of one client that received these messages."""
    every, writer = list(messages), Writer(foreign.codec)
    writer.put(
        foreign.Open(
            run=RUN, client=client, session=1, segment=1, instance="i", fence=0, block_size=size, fsync="block",
            after=0, boot="b", host="h", software="s", opened_at=utc_text(START_US),
            foreign=foreign.Feed(url="ws://feed", seq=seq, time=time), until=utc_text(until_us) if until_us else None,
        )
    )  # fmt: skip
    parts = [every[at : at + size] for at in range(0, len(every), size)]
    for number, part in enumerate(parts, 1):
        writer.put(block(client, number, part, (number - 1) * size + 1))
    if reason is not None:
        text = b"".join(writer.lines)
        writer.put(
            blocklog.End(
                reason=reason, block_count=len(parts), message_count=len(every), byte_count=len(text),
                sha256=hashlib.sha256(text).hexdigest(),
            )
        )  # fmt: skip
    return {Source(RUN, client, "0001-0001.jsonl"): writer.lines}


def heard(seqs: Iterable[int | None], *, key: str | None = None) -> list[foreign.HeardMessage]:
    """Return messages of these numbers, one after the other."""
    return [message(seq, place, key=key) for place, seq in enumerate(seqs)]


def books(*logs: dict[Source, list[bytes]]) -> RunBooks:
    """Return the books of some clients."""
    made = RunBooks(RUN)
    for one in logs:
        for source, lines in one.items():
            for line in lines:
                made.take(source, line)
    return made
