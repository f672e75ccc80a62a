"""What one client's log says of a feed that is not ours: which numbers of which sequence came, in any reading order.

Of every block only runs of numbers are kept, one for each sequence while all is well; they are judged in the order in
which the client received them.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from services.contract.foreign import HeardBlock, HeardMessage
from services.contract.sequence import FIRSTS
from services.contract.sequence import Sequence as Numbers

Name = str | None
"""A sequence's key, None for the one of a feed without keys."""


class Run(NamedTuple):
    """Consecutive numbers of one sequence, as they came; ``digest`` is of the record where it is a beginning's."""

    key: Name
    first: int
    last: int
    digest: int = 0


@dataclass(frozen=True, slots=True)
class HeardNote:
    """What is kept of a block: the places of its messages, when it ended, epoch microseconds, and its numbers."""

    heard: tuple[int, int]
    ended_us: int
    runs: tuple[Run, ...]


class HeardBook:
    """The numbers that one client received in one run."""

    def __init__(self) -> None:
        self.unsequenced = 0
        self._notes: dict[tuple[int, int, str], HeardNote] = {}
        self._new: list[tuple[int, int, str]] = []
        self._judged: dict[Name, Numbers] = {}
        self._through: tuple[int, int, str] = (0, 0, "")

    def enter(self, block: HeardBlock, crc: str, ended_us: int) -> None:
        """Enter a block whose line has the digest ``crc``, and which was not entered before."""
        place = (block.session, block.block, crc)
        self._notes[place] = HeardNote(block.heard, ended_us, tuple(_runs(block.messages)))
        self._new.append(place)
        self.unsequenced += sum(message.seq is None for message in block.messages)

    def sequences(self) -> dict[Name, Numbers]:
        """Return what is known of every sequence."""
        if self._new and min(self._new) < self._through:
            # Something came that belongs before what was judged already.
            self._judged, self._new = {}, list(self._notes)
        for place in sorted(self._new):
            for run in self._notes[place].runs:
                self._judged.setdefault(run.key, Numbers()).accept_run(run.first, run.last, run.digest)
        self._through = max([self._through, *self._new])
        self._new = []
        return self._judged

    def last_before(self, key: Name, at_us: int) -> int | None:
        """Return the highest number of a sequence in the newest block that had ended by a time, None for none."""
        for place in sorted(self._notes, reverse=True):
            note = self._notes[place]
            lasts = [run.last for run in note.runs if run.key == key]
            if note.ended_us <= at_us and lasts:
                return max(lasts)
        return None

    def around(self, key: Name, session: int, after: int, before: int | None) -> tuple[int | None, int | None]:
        """Return the numbers of a sequence next to a gap in a session's messages, None where there are none.

        Args:
            key: of the sequence.
            session: of the gap.
            after: the place of the message before it.
            before: the place of the message behind it, None for none.
        """
        below, above = [], []
        for (of, _, _), note in self._notes.items():
            numbers = [(run.first, run.last) for run in note.runs if run.key == key]
            if of < session or (of == session and note.heard[1] <= after):
                below += [last for _, last in numbers]
            elif of > session or (before is not None and note.heard[0] >= before):
                above += [first for first, _ in numbers]
        return max(below, default=None), min(above, default=None)


def runs_of(messages: Sequence[HeardMessage]) -> Iterator[tuple[int, int, HeardMessage, HeardMessage]]:
    """Return the runs of numbers of a feed without keys, each with its first and last number and message."""
    opened: tuple[int, int, HeardMessage, HeardMessage] | None = None
    for message in messages:
        number = message.number
        if number is None or message.key is not None:
            continue
        if opened is not None and number == opened[1] + 1:
            opened = (opened[0], number, opened[2], message)
            continue
        if opened is not None:
            yield opened
        opened = (number, number, message, message)
    if opened is not None:
        yield opened


def _runs(messages: Iterable[HeardMessage]) -> Iterator[Run]:
    opened: dict[Name, Run] = {}
    for message in messages:
        seq, key = message.number, message.key
        if seq is None:
            continue
        run = opened.get(key)
        if run is not None and seq == run.last + 1 and seq not in FIRSTS:
            opened[key] = run._replace(last=seq)
            continue
        if run is not None:
            yield run
        opened[key] = Run(key, seq, seq, zlib.crc32(message.record) if seq in FIRSTS else 0)
    yield from opened.values()
