"""Checks the lines of one file in their order, and records faults: damaged, missing, repeated and misfiled lines."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from services.collector.scan import Source
from services.contract.errors import LineError, UnsupportedVersion
from services.contract.jsonl import FIRST, LineStruct, Sealed
from services.contract.scalars import digest, digest_text

MOST = 100
"""Most faults kept for one file. Further ones are counted in the last, so that garbage cannot fill the memory."""

Entry = TypeVar("Entry", bound=LineStruct)
Decoded_co = TypeVar("Decoded_co", bound=LineStruct, covariant=True)


class Codec(Protocol[Decoded_co]):
    """Reads the lines of one format."""

    def decode(self, line: bytes) -> tuple[Sealed, Decoded_co]:
        """Check and decode one line, or raise `LineError`."""


@dataclass(slots=True)
class FileDamage:
    """A fault of a file as it is found, before the rest of the evidence is known.

    Attributes:
        source: the file.
        line: the number of the line, counted from 1; 0 for the whole file.
        kind: which fault it is, as in the summary.
        detail: the fault in words.
        after: the last seq of the good line before it.
        before: the first seq of the good line after it, None without one.
        prev: the digest of the line before that this line names. If that line is in another place, nothing is lost.
        first: whether the line is the first of a file that continues another file.
        more: number of further faults that are counted in this one.
        mark: identifies the fault in every copy of the file: digests of the last good line and of the faulty one.
            Empty if there are neither.
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
    """Decodes the lines of one file and checks that each continues the one before.

    Call `read` for each line, then `link` unless the line belongs to another file, then `pass_seqs`.

    Attributes:
        source: the file.
        number: the number of the current line.
        after: the last seq of the good lines so far.
        damages: the faults so far.
        error: why the last line that could not be decoded was refused.
    """

    def __init__(self, source: Source, codec: Codec[Entry]) -> None:
        self.source = source
        self.number = 0
        self.after = 0
        self.damages: list[FileDamage] = []
        self.error: LineError | None = None
        self._codec = codec
        # Four bytes a line, since a file may have many thousands. It is searched only after a fault.
        self._crcs = array("I")
        self._last = FIRST
        self._excused = False
        self._unclosed: list[FileDamage] = []

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs of a file that was read to its end: no decoder."""
        return {name: value for name, value in self.__dict__.items() if name != "_codec"} | {"error": None}

    def read(self, line: bytes) -> tuple[Sealed, Entry] | None:
        """Decode the next line; record a fault and return None if it is damaged."""
        return self.take(line, self.decode(line))

    def decode(self, line: bytes) -> tuple[Sealed, Entry] | LineError:
        """Decode a line, or return why that is not possible. Nothing is recorded: `take` follows, or `link_all`."""
        try:
            return self._codec.decode(line)
        except LineError as error:
            return error

    def take(self, line: bytes, decoded: tuple[Sealed, Entry] | LineError) -> tuple[Sealed, Entry] | None:
        """Count a decoded line as the next one; record a fault and return None if it is damaged."""
        self.number += 1
        if not isinstance(decoded, LineError):
            return decoded
        self.error = error = decoded
        kind = "corrupt_block" if self.source.client else "corrupt_line"
        # A whole file of an old version has one cause, which its operator can act on, not one a line.
        if not isinstance(error, UnsupportedVersion) or not self._extend_last(kind, error.detail):
            self.add_fault(kind, error.detail, raw=line)
        # Which line it was is unknown, so the next one cannot be checked against it.
        self._excused = True
        return None

    def is_next(self, sealed: Sealed) -> bool:
        """Return whether a good line continues the last one, and nothing in between is in doubt."""
        return sealed.prev == self._last and not self._excused

    def link_all(self, crcs: Sequence[int], last: str) -> None:
        """Count and link good lines of which each continues the one before.

        Args:
            crcs: their digests as numbers.
            last: the digest of the last one.
        """
        self.number += len(crcs)
        self._crcs.extend(crcs)
        self._last = last

    def link(self, sealed: Sealed, *, continues: bool = False) -> bool:
        """Check that a good line continues the one before; return False if it repeats an earlier line of the file.

        Args:
            sealed: the line.
            continues: whether it is the first line of a file that continues another file.
        """
        crc = int(sealed.crc[1:], 16)
        expected, excused = self._last, self._excused
        # The search is linear, so it comes second: nearly every line continues the one before.
        if sealed.prev != expected and crc in self._crcs:
            self.add_fault("repeated", "the line repeats an earlier one")
            return False
        self._excused, self._last = False, sealed.crc
        self._crcs.append(crc)
        if sealed.prev != expected and not excused:
            detail = "the line it continues is gone: one or more lines before it are missing"
            self.add_fault("line_missing", detail, prev=sealed.prev, first=continues)
        return True

    def add_fault(
        self, kind: str, detail: str, *, prev: str | None = None, first: bool = False, raw: bytes = b""
    ) -> None:
        """Record a fault at the current line. Give its bytes as ``raw`` if only they identify the fault in copies."""
        if len(self.damages) >= MOST:
            self.damages[-1].more += 1
            return
        damage = FileDamage(self.source, self.number, kind, detail, self.after, prev=prev, first=first)
        if raw or self._last != FIRST:
            # A copy with the same last good line has the same lines before it, since each line names its predecessor.
            damage.mark = f"{self._last} {digest_text(digest(raw))}"
        self.damages.append(damage)
        self._unclosed.append(damage)

    def add_misfiled(self, detail: str) -> None:
        """Record a line that belongs to another file; consecutive ones are one fault."""
        # It may have replaced a line of this file, or have been inserted between two.
        self._excused = True
        if not self._extend_last("foreign"):
            self.add_fault("foreign", detail)

    def _extend_last(self, kind: str, detail: str | None = None) -> bool:
        """Count the current line in the last fault if that is of the same kind and ends at the line before."""
        last = self.damages[-1] if self.damages else None
        if last is None or last.kind != kind or detail not in (None, last.detail):
            return False
        # A good line between two faults shows that they are two.
        if last.line + last.more + 1 != self.number:
            return False
        last.more += 1
        return True

    def excuse(self) -> None:
        """Do not check that the next line continues the one before."""
        self._excused = True

    def pass_seqs(self, first: int, last: int) -> None:
        """Record the seqs of a good line: they bound the records that faults before and after it may hide."""
        for damage in self._unclosed:
            damage.before = first
        self._unclosed.clear()
        self.after = last

    def holds(self, crc: str) -> bool:
        """Return whether the file has a line with this digest."""
        return int(crc[1:], 16) in self._crcs
