"""Tells which settings the records of a feed confirm, so that only the others are proposed. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from services.client.feeds.numbering import Numbering, check_numbering
from services.client.feeds.proposal import Proposal
from services.contract.blocklog import ExternalMessage

_FRAMES = ("decode.records", "decode.list", "decode.match", "decode.split", "decode.encoding")


class Confirmed(NamedTuple):
    """What the records of a look confirm.

    Attributes:
        numbering: how the numbers follow each other, by the settings; None if they do not explain them.
        has_numbers: whether every record has a number.
        has_times: whether every record has a time.
    """

    numbering: Numbering | None
    has_numbers: bool
    has_times: bool

    def left(self, proposals: Sequence[Proposal]) -> list[Proposal]:
        """Return the proposals that concern something that is not confirmed."""
        dropped: set[str] = set()
        if self.numbering is not None:
            dropped |= {one.key for one in proposals if one.key.startswith("sequence.")} | {*_FRAMES}
            if self.has_numbers:
                dropped.add("decode.ignore")
        if self.has_times:
            dropped |= {"time.path", "time.unit"}
        return [one for one in proposals if one.key not in dropped]


def confirm(records: Sequence[ExternalMessage], step: int = 1) -> Confirmed:
    """Return what records, read by the operator's settings, confirm; their numbers should rise by ``step``."""
    numbers = {at: int(record.seq) for at, record in enumerate(records) if record.seq is not None}
    firsts = {at: int(record.first_seq) for at, record in enumerate(records) if record.first_seq is not None}
    before = {at: int(record.prev_seq) for at, record in enumerate(records) if record.prev_seq is not None}
    keys = {at: record.key for at, record in enumerate(records)}
    return Confirmed(
        check_numbering(numbers, keys, firsts, before, step),
        bool(records) and len(numbers) == len(records),
        bool(records) and all(record.latency_ns is not None for record in records),
    )
