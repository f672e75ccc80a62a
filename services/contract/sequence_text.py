"""How a sequence number is written in JSON: an integer below 2^53, a text of its digits from there on. Pure.

An external feed numbers its records as it likes, and a JSON reader may not keep a larger integer exact.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from services.contract.scalars import MAX_INTEGER, Integer

BigNumber = Annotated[str, Meta(pattern=r"^[1-9][0-9]{15,19}\Z")]
"""A number from 2^53 on, as it is written."""
SeqText = Integer | BigNumber
"""A sequence number as it is written."""
SeqSpan = tuple[SeqText, SeqText]
"""An inclusive range of sequence numbers as it is written."""

# A field of this type may be decoded to a text. The struct that has the field replaces it by an integer before anybody
# reads it, so type checkers see the integer only.
if TYPE_CHECKING:
    SeqNumber = int
else:
    SeqNumber = SeqText
"""A sequence number of an external feed: read and written as `SeqText`, an integer everywhere else."""


def seq_text(number: int) -> int | str:
    """Return a sequence number as it is written."""
    return number if number <= MAX_INTEGER else str(number)


def span_text(span: tuple[int, int]) -> SeqSpan:
    """Return a range of sequence numbers as it is written."""
    return seq_text(span[0]), seq_text(span[1])


def integer(number: int | str | None) -> int | None:
    """Return a sequence number that may be in its written form as an integer."""
    return int(number) if isinstance(number, str) else number


def has_text(numbers: Iterable[int | str | None]) -> bool:
    """Tell whether any of these numbers is a text."""
    return str in map(type, numbers)
