"""Ranges of consecutive numbers in the blocks of an external feed: what is kept of its messages."""

from __future__ import annotations

import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from services.contract.blocklog import ExternalMessage
from services.contract.sequence_rules import PLAIN, SequenceRules
from services.contract.sequence_tracker import FIRSTS

SequenceName = str | None
"""A sequence's key, None for the one of a feed without keys."""


class NumberRange(NamedTuple):
    """Messages of one sequence, in the order received, each of which begins where the one before ends.

    Attributes:
        key: of the sequence.
        first: the first number, ``last`` the last one.
        digest: of the first record if its number may begin a sequence, else 0.
        unreadable: the number of unreadable records in the block before the first and before the last record.
        contents: 16 bits of the digest of each record, which may leave out the sender's time.
        opening: the digest of the first record as a whole.
        ends: numbers of the messages, None if each covers its own number alone.
        link: the number that the first message names as its predecessor's, -1 if it names none; None in a feed without
            such links.
    """

    key: SequenceName
    first: int
    last: int
    digest: int = 0
    unreadable: tuple[int, int] = (0, 0)
    contents: array[int] = array("H")
    ends: array[int] | None = None
    link: int | None = None
    opening: int = 0

    @property
    def number(self) -> int:
        """The number of the first message."""
        return self.first if self.ends is None else self.ends[0]

    def numbers(self) -> range | array[int]:
        """Return the numbers of the messages."""
        return range(self.first, self.last + 1) if self.ends is None else self.ends

    def content(self, number: int) -> int | None:
        """Return 16 bits of the digest of the record with a number, None if it is not among these."""
        if not self.first <= number <= self.last:
            return None
        if self.ends is None:
            return self.contents[number - self.first]
        at = bisect_left(self.ends, number)
        return self.contents[at] if self.ends[at] == number else None


class _OpenRange:
    """A range to which messages are still added."""

    __slots__ = (
        "_before",
        "_contents",
        "_ends",
        "_first",
        "_key",
        "_link",
        "_number",
        "_opening",
        "_unreadable",
        "last",
    )

    def __init__(self, message: ExternalMessage, begin: int, unreadable: int, link: int | None, *, plain: bool) -> None:
        self._number = int(message.seq or 0)
        self._key, self._first, self._link = message.key, min(begin, self._number), link
        self._opening = zlib.crc32(message.record)
        self._before = unreadable
        self._contents: list[int] = []
        self._ends: list[int] | None = None if plain else []

    def add(self, seq: int, content: int, unreadable: int) -> None:
        self.last = seq
        self._unreadable = unreadable
        self._contents.append(content)
        if self._ends is not None:
            self._ends.append(self.last)

    def closed(self) -> NumberRange:
        return NumberRange(
            self._key,
            self._first,
            self.last,
            self._opening if self._number in FIRSTS else 0,
            (self._before, self._unreadable),
            array("H", self._contents),
            # Numbers of a feed have up to 64 bits.
            None if self._ends is None else array("Q", self._ends),
            self._link,
            self._opening,
        )


def number_ranges(
    messages: Sequence[ExternalMessage], rules: SequenceRules = PLAIN, contents: Sequence[int] | None = None
) -> Iterator[NumberRange]:
    """Yield the ranges of a block; without losses there is one for each sequence.

    Args:
        messages: of the block.
        rules: how their numbers are read.
        contents: 16 bits of the digest of each record, None to compute them of the whole records.
    """
    opened: dict[SequenceName, _OpenRange] = {}
    unreadable, is_plain = 0, rules.is_plain
    if contents is None:
        contents = [zlib.crc32(message.record) & 0xFFFF for message in messages]
    for message, content in zip(messages, contents, strict=True):
        seq, key = message.seq, message.key
        if seq is None:
            unreadable += is_unreadable(message)
            continue
        run = opened.get(key)
        begin: int = seq
        link = None
        if not is_plain:
            covered = rules.begin(seq, message.first_seq, message.prev_seq)
            begin = seq if covered is None else covered
            if rules.previous is not None:
                link = -1 if covered is None else covered - 1
        # A first number opens a range of its own, since the digest of its record tells a restart from a duplicate.
        if (
            run is not None
            and begin == run.last + 1
            and seq >= run.last
            and link != -1
            and not (is_plain and seq in FIRSTS)
        ):
            # A message that repeats the last number says only that the feed is alive.
            if seq >= begin:
                run.add(seq, content, unreadable)
            continue
        if run is not None:
            yield run.closed()
        run = opened[key] = _OpenRange(message, begin, unreadable, link, plain=is_plain)
        run.add(seq, content, unreadable)
    for run in opened.values():
        yield run.closed()


def is_unreadable(message: ExternalMessage) -> bool:
    """Return whether a message has no number because no number could be read from its record."""
    # A record in strict JSON was read, and has no usable number; in another form it may have one that is unreadable.
    return message.seq is None and message.form is not None
