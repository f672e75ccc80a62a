"""Block logs of an external feed, as clients write them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from services.collector.evidence.run_evidence import RunEvidence
from services.collector.scan import Source
from services.contract import block_text, blocklog
from services.contract.feed_description import FeedDescription
from services.contract.scalars import utc_text, utc_us
from services.contract.sequence_rules import SequenceRules
from tests.builders.runs import RUN, START_US, Writer

STEP_US = 10_000
UNTIL_US = START_US + 10_000_000


def message(
    seq: int | None,
    place: int,
    *,
    key: str | None = None,
    late_ns: int | None = 1_000_000,
    unreadable: bool = False,
    first: int | None = None,
    previous: int | None = None,
    text: str | None = None,
) -> blocklog.ExternalMessage:
    """Return the message at a position, received ten milliseconds after the one before."""
    content = f"record {seq}" if text is None else text
    record = msgspec.Raw(msgspec.json.encode({"seq": seq, "key": key, "text": content}))
    return blocklog.ExternalMessage(
        None if seq is None or unreadable else seq, utc_text(START_US + place * STEP_US),
        late_ns, None, record, key, "text" if unreadable else None, first, previous,
    )  # fmt: skip


def block(
    client: str,
    number: int,
    messages: Sequence[blocklog.ExternalMessage],
    first: int,
    connection: int = 1,
    session: int = 1,
) -> blocklog.ExternalBlock:
    """Return a block of messages; its first message has the position ``first``."""
    last = first + len(messages) - 1
    return blocklog.ExternalBlock(
        run=RUN, client=client, session=session, block=number, positions=(first, last), first=None, last=None,
        count=len(messages), closed_by="count", started_at=messages[0].received_at,
        ended_at=messages[-1].received_at, duration_ns=(last - first) * STEP_US * 1000, idle_ns=STEP_US * 1000,
        digest=block_text.messages_digest(messages), messages=list(messages), connection=connection,
    )  # fmt: skip


Happened = tuple[blocklog.ConnectionEvent, float] | tuple[blocklog.ConnectionEvent, float, int | None, str]
"""What happened to a connection, when in seconds from the start, and its code and reason."""


def log(
    client: str,
    messages: Iterable[blocklog.ExternalMessage] = (),
    *,
    size: int = 5,
    reason: blocklog.FileEndReason | None = "finished",
    until_us: int | None = UNTIL_US,
    seq: str | None = None,
    silence_s: float | None = 60,
    clients: int | None = None,
    session: int = 1,
    course: Sequence[Happened | Iterable[blocklog.ExternalMessage]] | None = None,
    time: str | None = None,
    key: str | None = None,
    rules: SequenceRules | None = None,
    feed: Mapping[str, Any] = MappingProxyType({}),
    counts: Mapping[str, Any] = MappingProxyType({}),
    ends: Mapping[str, Any] | None = None,
    has_connection_lines: bool = True,
) -> dict[Source, list[bytes]]:
    """Return the file of one client that received these messages.

    In place of ``messages`` a ``course`` may say what happened to its connections, and which messages came in between;
    without one there is a connection to the end, unless ``has_connection_lines`` is false.
    Unless ``silence_s`` is None, the feed may be silent for as long as these small logs are. ``feed`` has more fields
    of the feed's description, ``counts`` more fields of every block, ``ends`` more fields of the end line.
    """
    writer = Writer(blocklog.codec)
    writer.put(
        blocklog.OpenLine(
            run=RUN, client=client, session=session, segment=1, instance="i", fence=0, block_size=size, fsync="block",
            after=0, boot="b", host="h", software="s", opened_at=utc_text(START_US),
            external=FeedDescription(
                url="ws://feed", seq=seq, time=time, silence_s=silence_s, clients=clients,
                sequence=rules or msgspec.UNSET, **{"key": key, **feed}
            ),
            until=utc_text(until_us) if until_us else None,
        )
    )  # fmt: skip
    blocks = received = connection = attempts = 0
    is_connected = False
    for step in _steady(list(messages), reason, until_us, lines=has_connection_lines) if course is None else course:
        if isinstance(step, tuple):
            connection += step[0] == "opened"
            is_connected = is_connected if step[0] == "sealed" else step[0] == "opened"
            attempts = attempts + 1 if step[0] == "refused" else 0 if step[0] == "opened" else attempts
            line = _connection(client, session, connection, step, connected=is_connected)
            writer.put(msgspec.structs.replace(line, attempts=attempts))
            continue
        every = list(step)
        for at in range(0, len(every), size):
            blocks += 1
            part = every[at : at + size]
            made = block(client, blocks, part, received + 1, max(1, connection), session)
            writer.put(msgspec.structs.replace(made, **counts))
            received += len(part)
    if reason is not None:
        text = b"".join(writer.lines)
        writer.put(
            blocklog.EndLine(
                reason=reason, block_count=blocks, message_count=received, byte_count=len(text),
                sha256=hashlib.sha256(text).hexdigest(), **(ends or {}),
            )
        )  # fmt: skip
    return {Source(RUN, client, blocklog.file_name(session, 1)): writer.lines}


def _steady(
    messages: list[blocklog.ExternalMessage], reason: str | None, until_us: int | None, *, lines: bool
) -> list[Any]:
    """Return the course of one connection, to the end of the run or of its messages; only these without ``lines``."""
    last_us = max([START_US, *(utc_us(one.received_at) for one in messages)])
    end_us = until_us if reason == "finished" and until_us is not None else last_us
    sealed = [("sealed", (end_us - START_US) / 1e6)] if reason is not None else []
    return [("opened", 0.0), messages, *sealed] if lines else [messages]


def _connection(client: str, session: int, number: int, step: Happened, *, connected: bool) -> blocklog.ConnectionLine:
    event, at_s, code, reason = (*step, None, "")[:4]
    return blocklog.ConnectionLine(
        run=RUN, client=client, session=session, connection=number, event=event,
        at=utc_text(START_US + round(at_s * 1e6)), connected=connected, code=code, reason=reason,
    )  # fmt: skip


def numbered_messages(seqs: Iterable[int | None], *, key: str | None = None) -> list[blocklog.ExternalMessage]:
    """Return messages of these numbers, one after the other."""
    return [message(seq, place, key=key) for place, seq in enumerate(seqs)]


def evidence_of(*logs: dict[Source, list[bytes]]) -> RunEvidence:
    """Return the evidence of a run, read from the logs of its clients."""
    made = RunEvidence(RUN)
    for one in logs:
        for source, lines in one.items():
            for line in lines:
                made.add_line(source, line)
    return made
