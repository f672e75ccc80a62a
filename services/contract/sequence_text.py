"""Sequence numbers in JSON: below 2^53 an integer, from there on a text of the digits. Pure.

An external feed may have larger numbers, and many JSON readers do not keep larger integers exact.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from services.contract.scalars import MAX_INTEGER, Integer

# 2^53 has 16 digits, and the largest number of a feed, 2^64 - 1, has 20.
BigNumber = Annotated[str, Meta(pattern=r"^[1-9][0-9]{15,19}\Z")]
"""A number from 2^53 on in JSON."""
SeqText = Integer | BigNumber
"""A sequence number in JSON."""
SeqSpan = tuple[SeqText, SeqText]
"""An inclusive range of sequence numbers in JSON."""

# A field of this type may be decoded to a text. The struct with the field replaces it by an integer before any other
# code reads it, so type checkers see only the integer.
if TYPE_CHECKING:
    SeqNumber = int
else:
    SeqNumber = SeqText
"""A sequence number of an external feed: in JSON a `SeqText`, everywhere else an integer."""


def seq_text(number: int) -> int | str:
    """Return a sequence number in its JSON form."""
    return number if number <= MAX_INTEGER else str(number)


def span_text(span: tuple[int, int]) -> SeqSpan:
    """Return a range of sequence numbers in its JSON form."""
    return seq_text(span[0]), seq_text(span[1])


def integer(number: int | str | None) -> int | None:
    """Return a sequence number in its JSON form as an integer."""
    return int(number) if isinstance(number, str) else number


def has_text(numbers: Iterable[int | str | None]) -> bool:
    """Return whether any of these numbers is a text."""
    return str in map(type, numbers)
