"""The lines of one file in the order in which they stand: what is damaged, missing, repeated or out of place."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from services.collector.scan import Source
from services.contract.errors import LineError, UnsupportedVersion
from services.contract.jsonl import FIRST, LineStruct, Sealed
from services.contract.scalars import digest, digest_text

MOST = 100
"""Faults told apart in one file; what follows is counted in the last, so that garbage cannot fill the memory."""

Entry = TypeVar("Entry", bound=LineStruct)
Decoded_co = TypeVar("Decoded_co", bound=LineStruct, covariant=True)


class Codec(Protocol[Decoded_co]):
    """Reads the lines of one format."""

    def decode(self, line: bytes) -> tuple[Sealed, Decoded_co]:
        """Check and decode one line, or raise `LineError`."""


@dataclass(slots=True)
class FileDamage:
    """A fault as it was met, before the rest of the books is known.

    Attributes:
        source: the file, and ``line`` the line in it, counted from 1.
        after: the last seq of the good line before; ``before`` is the first of the good line that follows, if any.
        prev: the digest that the line names as its predecessor's; if that line turns up elsewhere nothing is lost.
        first: the line is the first of its file, which continues another one.
        more: how many faults were counted in here beside this one.
        mark: what stands at and before the fault, the same in every copy of the file; empty when nobody can tell.
    """

    source: Source
    line: int
    kind: str
    detail: str
    after: int
    before: int | None = None
    prev: str | None = None
    first: bool = False
    more: int = 0
    mark: str = ""


class LineChain(Generic[Entry]):
    """Reads the lines of one file in sequence.

    For each line call `read`, then `link` unless the line belongs elsewhere, then `pass_seqs`.
    """

    def __init__(self, source: Source, codec: Codec[Entry]) -> None:
        self.source = source
        self.number = 0
        self.after = 0
        self.damages: list[FileDamage] = []
        self.error: LineError | None = None
        self._codec = codec
        self._crcs = array("I")
        self._last = FIRST
        self._excused = False
        self._unclosed: list[FileDamage] = []

    def read(self, line: bytes) -> tuple[Sealed, Entry] | None:
        """Check and decode the next line; a damaged one is noted and gives None."""
        self.number += 1
        try:
            return self._codec.decode(line)
        except LineError as error:
            self.error = error
            kind = "corrupt_block" if self.source.client else "corrupt_line"
            # A whole file of an old version has one cause, which its operator can act on, not one a line.
            if not isinstance(error, UnsupportedVersion) or not self._extend_last(kind, error.detail):
                self.note(kind, error.detail, raw=line)
            # Which line it was is unknown, so the next one cannot be checked against it.
            self._excused = True
            return None

    def link(self, sealed: Sealed, *, continues: bool = False) -> bool:
        """Hold a good line to the one before; return whether it counts (a repetition does not).

        Args:
            sealed: the line.
            continues: it is the first of a file that goes on where another one stopped.
        """
        crc = int(sealed.crc[1:], 16)
        expected, excused = self._last, self._excused
        if sealed.prev != expected and crc in self._crcs:
            self.note("repeated", "the line stands in this file before")
            return False
        self._excused, self._last = False, sealed.crc
        self._crcs.append(crc)
        if sealed.prev != expected and not excused:
            detail = "the line it continues is gone: one or more lines before it are missing"
            self.note("line_missing", detail, prev=sealed.prev, first=continues)
        return True

    def note(self, kind: str, detail: str, *, prev: str | None = None, first: bool = False, raw: bytes = b"") -> None:
        """Note a fault at the current line, whose bytes are ``raw`` where they tell the file from others."""
        if len(self.damages) >= MOST:
            self.damages[-1].more += 1
            return
        damage = FileDamage(self.source, self.number, kind, detail, self.after, prev=prev, first=first)
        if raw or self._last != FIRST:
            # A good line vouches for all before it.
            damage.mark = f"{self._last} {digest_text(digest(raw))}"
        self.damages.append(damage)
        self._unclosed.append(damage)

    def note_foreign(self, detail: str) -> None:
        """Note a line that belongs elsewhere; a row of them is one fault."""
        # It may have replaced a line of this file, or have been inserted between two.
        self._excused = True
        if not self._extend_last("foreign"):
            self.note("foreign", detail)

    def _extend_last(self, kind: str, detail: str | None = None) -> bool:
        """Count the current line in the last fault if that is of the same kind and ends at the line before."""
        last = self.damages[-1] if self.damages else None
        if last is None or last.kind != kind or detail not in (None, last.detail):
            return False
        if last.line + last.more + 1 != self.number:
            return False
        last.more += 1
        return True

    def excuse(self) -> None:
        """Do not hold the next line to the one before."""
        self._excused = True

    def pass_seqs(self, first: int, last: int) -> None:
        """Tell the faults so far which seqs follow, and those to come which went before."""
        for damage in self._unclosed:
            damage.before = first
        self._unclosed.clear()
        self.after = last

    def holds(self, crc: str) -> bool:
        """Tell whether a line with this digest stands in the file."""
        return int(crc[1:], 16) in self._crcs
