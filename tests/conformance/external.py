"""Runs of an external feed: block logs without a ledger, each of one connection to the end of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from services.contract import blocklog
from services.contract.scalars import utc_text
from services.contract.sequence_rules import SequenceRules
from tests.builders.scripted_runs import Files
from tests.conformance.external_log import OPENED_US, ExternalLog

_STEP_US = 10_000


def _messages(seqs: Sequence[int | None]) -> list[blocklog.ExternalMessage]:
    return [
        blocklog.ExternalMessage(
            seq, utc_text(OPENED_US + place * _STEP_US + 2_500 + 30 * (place % 4)),
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
    is_numbered = any(seq is not None for seqs, _ in blocks for seq in seqs)
    made = ExternalLog(client, seq="$.seq" if is_numbered else None, sequence=rules or msgspec.UNSET)
    made.event("opened", 0)
    every = [
        msgspec.structs.replace(message, **beside.get(message.seq or 0, {}))
        for message in _messages([seq for seqs, _ in blocks for seq in seqs])
    ]
    for number, (seqs, counts) in enumerate(blocks):
        # The idle time is that of regular steps; the arrivals themselves vary by some microseconds.
        made.block(every[: len(seqs)], idle_ns=_STEP_US * 1000 * (number > 0), **counts)
        del every[: len(seqs)]
    return made.event("sealed", 1000).end()


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
