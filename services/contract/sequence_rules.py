"""What the operator says about the numbers of an external feed: their scope, links, steps and wraps. Pure."""

from __future__ import annotations

import re
from typing import Literal, get_args

import msgspec

from services.contract.scalars import Positive

Scope = Literal["auto", "stream", "connection", "key"]
"""How far one number stands for one record.

``stream``: on every connection. ``key``: the same, of each key by itself. ``connection``: each connection is numbered
for itself. ``auto``: it is derived from the records.
"""
SCOPES: tuple[str, ...] = get_args(Scope)
Repeats = Literal["none", "reconnect"]
"""Which records the feed may send again: none, or some after a reconnect."""
REPEATS: tuple[str, ...] = get_args(Repeats)
MOST_SEQUENCES = 10_000
"""Most sequences of one client that are followed: each takes memory in the client and in the collector. Of more keys
nothing is claimed."""
_HIGHEST = 2**64 - 1
_WRAP = re.compile(r"(?:([01])-)?([0-9]{2,20})")


def wrap_span(text: str) -> tuple[int, int] | None:
    """Return the lowest and the highest number of a counter that wraps around, None for an empty text.

    Raises:
        ValueError: the text is neither ``65535`` (after it comes 0) nor ``1-65535`` (after it comes 1).
    """
    if not text:
        return None
    match = _WRAP.fullmatch(text)
    if match is None or not int(match[2]) <= _HIGHEST:
        raise ValueError("the highest number before the numbers begin again, like 65535, or 1-65535 if 1 follows it")
    return int(match[1] or 0), int(match[2])


class SequenceRules(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the numbers of a feed are read.

    Attributes:
        first: the path of the first number that a message covers, if it covers a range (``FEED_FIRST``).
        previous: the path of the number of the message before (``FEED_PREVIOUS``).
        scope: how far one number stands for one record (``FEED_SCOPE``).
        wrap: the highest number before the numbers begin again (``FEED_WRAP``), as `wrap_span` reads it.
        step: by how much the number rises from one message to the next (``FEED_STEP``).
        repeats: which records may come again (``FEED_REPEATS``).
    """

    first: str | None = None
    previous: str | None = None
    scope: Scope = "auto"
    wrap: str = ""
    step: Positive = 1
    repeats: Repeats = "none"

    @property
    def is_plain(self) -> bool:
        """Whether every message covers its own number alone."""
        return self.first is None and self.previous is None and self.step == 1

    @property
    def is_shared(self) -> bool:
        """Whether the operator says that one number stands for one record on every connection."""
        return self.scope in ("stream", "key")

    def begin(self, seq: int, first: int | None, previous: int | None) -> int | None:
        """Return the first number that a message covers; None if it should name its predecessor, and names none.

        It is above ``seq`` for a message that covers nothing new: one that repeats a number, or names a higher one.

        Args:
            seq: number of the message.
            first: the first number that it covers, None without one.
            previous: the number that it names as its predecessor's, None without one.
        """
        if self.previous is not None:
            return None if previous is None or previous < 0 else previous + 1
        if first is not None and first <= seq:
            return first
        return seq - self.step + 1


PLAIN = SequenceRules()
