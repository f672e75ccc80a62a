"""Runs of an external feed: block logs without a ledger."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from services.contract import block_text, blocklog
from services.contract.feed_description import FeedDescription
from services.contract.scalars import utc_text, utc_us
from services.contract.sequence_rules import SequenceRules
from tests.builders.runs import Writer
from tests.builders.scripted_runs import BOOT, RUN, Files, spans

_OPENED_US = utc_us("2026-11-22T07:30:00Z")
_STEP_US = 10_000


def _messages(seqs: Sequence[int | None]) -> list[blocklog.ExternalMessage]:
    return [
        blocklog.ExternalMessage(
            seq, utc_text(_OPENED_US + place * _STEP_US + 2_500 + 30 * (place % 4)),
            2_500_000 + 30_000 * (place % 4) if seq is not None else None, None,
            msgspec.Raw(b'{"text":"tick %d"}' % place if seq is None else b'{"seq":%d,"ts":%d}' % (seq, place)),
        )
        for place, seq in enumerate(seqs)
    ]  # fmt: skip


def _log(
    client: str,
    *blocks: tuple[Sequence[int | None], dict[str, Any]],
    rules: SequenceRules | None = None,
    beside: Mapping[int, dict[str, int]] = MappingProxyType({}),
) -> Files:
    """Return the file of a client that received these blocks, each with the counts in its header.

    Args:
        client: its name.
        blocks: numbers of the messages of each block, and fields of its header.
        rules: how the numbers are read.
        beside: further numbers of the messages, by their number.
    """
    writer, numbered = Writer(blocklog.codec), any(seq is not None for seqs, _ in blocks for seq in seqs)
    writer.put(
        blocklog.OpenLine(
            run=RUN, client=client, session=1, segment=1, instance=f"{client}.1", fence=0, block_size=3, fsync="block",
            after=0, boot=BOOT, host="example", software="example/1", opened_at=utc_text(_OPENED_US),
            external=FeedDescription(
                url="wss://feed.example/stream", seq="$.seq" if numbered else None, sequence=rules or msgspec.UNSET
            ),
            until=utc_text(_OPENED_US + 1_000_000),
        )
    )  # fmt: skip
    every = [
        msgspec.structs.replace(message, **beside.get(message.seq or 0, {}))
        for message in _messages([seq for seqs, _ in blocks for seq in seqs])
    ]
    at, highest = 0, 0
    for number, (seqs, counts) in enumerate(blocks, 1):
        writer.put(_block(client, number, every[at : at + len(seqs)], at + 1, highest, counts))
        at, highest = at + len(seqs), max([highest, *(seq for seq in seqs if seq is not None)])
    text = b"".join(writer.lines)
    writer.put(
        blocklog.EndLine(
            reason="finished", block_count=len(blocks), message_count=len(every), byte_count=len(text),
            sha256=hashlib.sha256(text).hexdigest(),
        )
    )  # fmt: skip
    return {f"logs/{RUN}/{client}/0001-0001.jsonl": writer.lines}


def _block(
    client: str,
    number: int,
    messages: Sequence[blocklog.ExternalMessage],
    place: int,
    highest: int,
    counts: dict[str, Any],
) -> blocklog.ExternalBlock:
    seqs = [seq for message in messages if (seq := message.seq) is not None]
    came = range(highest + 1 if highest else min(seqs, default=1), max(seqs, default=0) + 1)
    stamps = [utc_us(message.received_at) for message in messages]
    made = blocklog.ExternalBlock(
        run=RUN, client=client, session=1, block=number, positions=(place, place + len(messages) - 1),
        first=min(seqs, default=None), last=max(seqs, default=None), count=len(messages),
        missing=[*spans(set(came) - set(seqs))], closed_by="count", started_at=messages[0].received_at,
        ended_at=messages[-1].received_at, duration_ns=(stamps[-1] - stamps[0]) * 1000,
        idle_ns=_STEP_US * 1000 if number > 1 else 0, digest=block_text.messages_digest(messages),
        messages=list(messages), unsequenced=len(messages) - len(seqs),
    )  # fmt: skip
    return msgspec.structs.replace(made, **counts)


def feed_complete() -> Files:
    """Two clients received the same six records. Without a ledger there is no residual."""
    return {**_log("client-1", ((1, 2, 3), {}), ((4, 5, 6), {})), **_log("client-2", ((1, 2, 3), {}), ((4, 5, 6), {}))}


def feed_gap_and_duplicate() -> Files:
    """One of two clients lacks a record that the other received, and got another one twice: both are logged."""
    return {
        **_log("client-1", ((1, 2, 3), {}), ((4, 5, 6), {})),
        **_log("client-2", ((1, 2, 4), {}), ((4, 5, 6), {"duplicates": 1})),
    }


def feed_unnumbered() -> Files:
    """A feed without numbers: silence and rates are known, completeness, order and duplicates are not."""
    return _log("client-1", ((None, None, None), {}), ((None, None, None), {}))


def feed_restarted() -> Files:
    """The feed's numbers began again at 1, with other records: a restart, and no duplicates."""
    return _log("client-1", ((1, 2, 3), {}), ((1, 2, 3), {"restarts": 1}))


def feed_of_ranges() -> Files:
    """Each message covers the numbers from `first_seq` to its own: nothing is missing, although the numbers leap."""
    beside = {12: {"first_seq": 10}, 13: {"first_seq": 13}, 20: {"first_seq": 14}, 21: {"first_seq": 19}}
    rules = SequenceRules(first="$.from")
    return _log("client-1", ((12, 13), {"missing": []}), ((20, 21), {"missing": []}), rules=rules, beside=beside)


def feed_gap_in_links() -> Files:
    """Each message names the number of the one before in `prev_seq`; one of them names a number that never came."""
    links = {7: -1, 12: 7, 20: 15, 21: 20}
    beside = {seq: {"prev_seq": previous} for seq, previous in links.items()}
    rules = SequenceRules(previous="$.before")
    return _log("client-1", ((7, 12), {"missing": []}), ((20, 21), {"missing": [(13, 15)]}), rules=rules, beside=beside)


def feed_not_by_one() -> Files:
    """The numbers rise by ten, and no setting says so: they prove nothing, and no message is counted as missing."""
    return _log("client-1", ((10, 20, 30), {}), ((40, 50, 60), {}))


def feed_wrapped() -> Files:
    """A 16-bit counter wraps around, and the record with the number 65535 is missing."""
    return _log("client-1", ((65533, 65534), {}), ((0, 1), {"first": 0, "last": 1, "missing": []}))


CASES = (
    feed_complete,
    feed_gap_and_duplicate,
    feed_unnumbered,
    feed_restarted,
    feed_of_ranges,
    feed_gap_in_links,
    feed_not_by_one,
    feed_wrapped,
)
