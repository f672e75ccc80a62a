"""How a client read an external feed, as the first line of its block log describes it. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec

from services.contract.scalars import Positive
from services.contract.sequence_rules import SequenceRules


class FeedDescription(msgspec.Struct, frozen=True, kw_only=True):
    """How an external feed was read.

    Attributes:
        url: the address, without its secrets.
        seq: the path of the sequence number in a record; ``time``, ``key`` and ``records`` are paths, too.
        match: the pattern that finds the JSON texts in a frame.
        silence_s: the longest allowed time without a record (``FEED_SILENCE``), None to derive it.
        end: the conditions by which the feed has ended (``FEED_END``).
        clients: how many clients take part in the run (``CLIENTS``), None when that was not set.
        precision: the unit to which the sender cuts its time; this and the following are unset for their defaults.
        encoding: the encodings of a frame, in the order in which they are undone, separated by commas.
        split: what delimits the messages in frames, with escapes.
        message_list: ``record`` if a message that is a list is one record.
        sequence: how its numbers are read.
    """

    url: str
    seq: str | None = None
    time: str | None = None
    key: str | None = None
    records: str | None = None
    match: str | None = None
    silence_s: float | None = None
    end: str | None = None
    clients: Positive | None = None
    precision: Literal["s", "ms", "us"] | msgspec.UnsetType = msgspec.UNSET
    encoding: str | msgspec.UnsetType = msgspec.UNSET
    split: str | msgspec.UnsetType = msgspec.UNSET
    message_list: Literal["record"] | msgspec.UnsetType = msgspec.UNSET
    sequence: SequenceRules | msgspec.UnsetType = msgspec.UNSET
