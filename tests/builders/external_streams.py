"""External feeds as clients receive them: what a server sends, how it numbers and stamps it, and when it arrives."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from services.collector.scan import Source
from services.contract.blocklog import ExternalMessage
from services.contract.scalars import utc_text
from tests.builders.external_runs import log
from tests.builders.runs import START_US

TICK_US = 10_000
"""Feeds here send a hundred records a second."""
TIME = "$.ts"

Files = dict[Source, list[bytes]]
Body = Callable[[int], str]


def plain(seq: int) -> str:
    """Return a body that depends on the number alone."""
    return f"record {seq}"


def record(seq: int, at_us: int, sent_us: int | None = None, body: str = "", key: str | None = None) -> ExternalMessage:
    """Return a record that arrived at a time; ``sent_us`` is its stamp, which its text contains."""
    stamp = {} if sent_us is None else {"ts": sent_us}
    text = msgspec.json.encode({"seq": seq, **stamp, "body": body or plain(seq)})
    latency_ns = None if sent_us is None else (at_us - sent_us) * 1000
    return ExternalMessage(seq, utc_text(at_us), latency_ns, None, msgspec.Raw(text), key)


def client(name: str, messages: Iterable[ExternalMessage], **changes: Any) -> Files:
    """Return the log of a client of a feed whose stamp is at `TIME`; it ends a second after the last record."""
    every = list(messages)
    last_us = START_US + 30_000_000
    return log(name, every, size=50, until_us=last_us, time=TIME, **changes)


def own(
    begins_us: int, count: int, *, stamped: bool = True, body: Body = plain, jitter_us: int = 300, seed: int = 1
) -> list[ExternalMessage]:
    """Return what a connection receives that is counted from 0, begun ``begins_us`` microseconds after the start."""
    dice = random.Random(begins_us + seed)
    made = []
    for seq in range(count):
        sent_us = START_US + begins_us + seq * TICK_US + dice.randrange(jitter_us + 1)
        made.append(record(seq, sent_us + 100 + dice.randrange(jitter_us + 1), sent_us if stamped else None, body(seq)))
    return made


def shared(
    first: int,
    last: int,
    *,
    stamp: str | None = "send",
    joins_us: int = 0,
    body: Body = plain,
    jitter_us: int = 300,
    seed: int = 1,
) -> list[ExternalMessage]:
    """Return what a client receives of one stream, in which number n is due n ticks after the start.

    Args:
        first: the first number received.
        last: the last one.
        stamp: ``send`` for a stamp of every send, ``record`` for one of the record, None for none.
        joins_us: records that were due before are sent from this time on, microseconds after the start, one every 20.
        body: of a record.
        jitter_us: of sending and of arrival.
        seed: of the jitter.
    """
    dice = random.Random(seed)
    made = []
    for place, seq in enumerate(range(first, last + 1)):
        due_us = START_US + seq * TICK_US
        sent_us = max(due_us, START_US + joins_us + 20 * place) + dice.randrange(jitter_us + 1)
        stamps = {"send": sent_us, "record": due_us, None: None}
        made.append(record(seq, sent_us + 100 + dice.randrange(jitter_us + 1), stamps[stamp], body(seq)))
    return made


def without(messages: Iterable[ExternalMessage], *seqs: int) -> list[ExternalMessage]:
    """Return the messages without those of some numbers."""
    return [one for one in messages if one.seq not in seqs]
