"""When the messages on both sides of every gap came: what is known of the moment at which records were lost."""

from __future__ import annotations


class Edges:
    """The moments of the first and the last message of every range of seqs that one client logged.

    What is logged later can only join ranges: so a seq that is at an edge in the end was there from the beginning,
    in whatever order the blocks are read.
    """

    def __init__(self) -> None:
        self._firsts: dict[int, int] = {}
        self._lasts: dict[int, int] = {}

    def add(self, first: int, last: int, first_us: int, last_us: int) -> None:
        """Note a range of seqs, and when its first and last message came. Of several moments the earliest counts."""
        firsts, lasts = self._firsts, self._lasts
        if lasts.pop(first - 1, None) is None:
            firsts[first] = min(first_us, firsts.get(first, first_us))
        if firsts.pop(last + 1, None) is None:
            lasts[last] = min(last_us, lasts.get(last, last_us))

    def around(self, first: int, last: int) -> tuple[int | None, int | None]:
        """Return when the message before a gap came and when the one after it, None where that is not known."""
        return self._lasts.get(first - 1), self._firsts.get(last + 1)
