"""What the server needs of a feed: its records by seq, again and again, byte for byte."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from services.contract.scalars import Span


class Feed(Protocol):
    """Records that are numbered from 1 on.

    Attributes:
        identity: text that is equal for two feeds exactly if all their records are equal.
        schema: shape of the records, for the ledger.
        locale: of the records, empty without one.
        seed: of the records, 0 without one.
    """

    identity: str
    schema: str
    locale: str
    seed: int

    @property
    def available(self) -> int:
        """Last seq whose record can be had now."""

    def lines(self, first: int, last: int) -> bytes:
        """Return the records ``first`` to ``last`` inclusive, each followed by a newline."""

    def digest(self, first: int, last: int, missing: Iterable[Span] = ()) -> str:
        """Return the digest of the records ``first`` to ``last`` inclusive, without the ranges in ``missing``."""
