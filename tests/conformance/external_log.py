"""Writes the block log of one client of an external feed, line by line, as a client would."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any, Self

import msgspec

from services.contract import block_text, blocklog
from services.contract.feed_description import FeedDescription
from services.contract.scalars import utc_text, utc_us
from tests.builders.runs import Writer
from tests.builders.scripted_runs import BOOT, RUN, Files, spans

OPENED_US = utc_us("2026-11-22T07:30:00Z")


def moment_text(ms: float) -> str:
    """Return a time of the run, milliseconds from its begin, as lines state it."""
    return utc_text(OPENED_US + round(ms * 1000))


def heard(
    seq: int | None,
    ms: float,
    *,
    key: str | None = None,
    late_ms: float | None = None,
    record: Any = None,
    **fields: Any,
) -> blocklog.ExternalMessage:
    """Return a message.

    Args:
        seq: its number, None without one.
        ms: when it arrived, milliseconds from the begin of the run.
        key: of its sequence.
        late_ms: how long it had been under way by the sender's time, milliseconds; None without such a time.
        record: its content; by default an object with its number and key.
        fields: further fields of the message.
    """
    content = {"seq": seq, **({"key": key} if key is not None else {})} if record is None else record
    raw = msgspec.Raw(json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode())
    late_ns = None if late_ms is None else round(late_ms * 1e6)
    fields = {"key": key, **fields}
    return blocklog.ExternalMessage(seq, moment_text(ms), late_ns, None, raw, **fields)


def ticks(seqs: Iterable[int | None], ms: float, step_ms: float = 10, **fields: Any) -> list[blocklog.ExternalMessage]:
    """Return messages with these numbers, the first of them received at a time and the others in regular steps."""
    return [heard(seq, ms + place * step_ms, **fields) for place, seq in enumerate(seqs)]


class ExternalLog:
    """The file of one process of a client."""

    def __init__(
        self,
        client: str = "client-1",
        *,
        session: int = 1,
        until_ms: float | None = 1000,
        seq: str | None = "$.seq",
        **feed: Any,
    ) -> None:
        """Begin with the ``open`` line; ``feed`` has further fields of the feed's description."""
        self.client, self.session = client, session
        self._writer = Writer(blocklog.codec)
        self._blocks = self._messages = self._highest = self._connection = 0
        self._is_connected, self._last_us = False, 0
        self._writer.put(
            blocklog.OpenLine(
                run=RUN, client=client, session=session, segment=1, instance=f"{client}.{session}", fence=0,
                block_size=3, fsync="block", after=0, boot=BOOT, host="example", software="example/1",
                opened_at=moment_text(0), until=None if until_ms is None else moment_text(until_ms),
                external=FeedDescription(url="wss://feed.example/stream", seq=seq, **feed),
            )
        )  # fmt: skip

    def event(
        self, event: blocklog.ConnectionEvent, ms: float, code: int | None = None, reason: str = "", **fields: Any
    ) -> Self:
        """Write the line of what happened to the connection at a time."""
        self._connection += event == "opened"
        if event in ("opened", "closed", "refused"):
            self._is_connected = event == "opened"
        self._writer.put(
            blocklog.ConnectionLine(
                run=RUN, client=self.client, session=self.session, connection=self._connection, event=event,
                at=moment_text(ms), connected=self._is_connected, code=code, reason=reason, **fields,
            )
        )  # fmt: skip
        return self

    def block(self, messages: Sequence[blocklog.ExternalMessage], **fields: Any) -> Self:
        """Write a block; its lowest and highest number and what is missing in between follow from its messages."""
        seqs = [seq for message in messages if (seq := message.seq) is not None]
        has_keys = any(message.key is not None for message in messages)
        came = range(self._highest + 1 if self._highest else min(seqs, default=1), max(seqs, default=0) + 1)
        stamps = [utc_us(message.received_at) for message in messages]
        self._blocks += 1
        first = self._messages + 1
        self._messages += len(messages)
        made = blocklog.ExternalBlock(
            run=RUN, client=self.client, session=self.session, block=self._blocks, positions=(first, self._messages),
            first=None if has_keys else min(seqs, default=None), last=None if has_keys else max(seqs, default=None),
            count=len(messages), missing=[] if has_keys else [*spans(set(came) - set(seqs))], closed_by="count",
            started_at=messages[0].received_at, ended_at=messages[-1].received_at,
            duration_ns=(stamps[-1] - stamps[0]) * 1000,
            idle_ns=(stamps[0] - self._last_us) * 1000 if self._last_us else 0,
            digest=block_text.messages_digest(messages), messages=[*messages],
            unsequenced=len(messages) - len(seqs), connection=max(1, self._connection),
        )  # fmt: skip
        self._highest, self._last_us = max([self._highest, *seqs]), stamps[-1]
        self._writer.put(msgspec.structs.replace(made, **fields))
        return self

    def blocks(self, messages: Sequence[blocklog.ExternalMessage], size: int = 3, **fields: Any) -> Self:
        """Write messages in blocks of a size."""
        for at in range(0, len(messages), size):
            self.block(messages[at : at + size], **fields)
        return self

    def end(self, reason: blocklog.FileEndReason | None = "finished", **fields: Any) -> Files:
        """Write the ``end`` line, unless the reason is None, and return the file."""
        text = b"".join(self._writer.lines)
        if reason is not None:
            self._writer.put(
                blocklog.EndLine(
                    reason=reason, block_count=self._blocks, message_count=self._messages, byte_count=len(text),
                    sha256=hashlib.sha256(text).hexdigest(), **fields,
                )
            )  # fmt: skip
        return {f"logs/{RUN}/{self.client}/{blocklog.file_name(self.session, 1)}": self._writer.lines}
