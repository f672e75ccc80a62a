"""What one client's log says of a feed that is not ours: which numbers of which sequence came, in any reading order.

Of every block only runs of numbers are kept, one for each sequence while all is well; they are judged in the order in
which the client received them.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from services.collector.evidence.unreadable_records import UnreadableRecords
from services.contract.blocklog import ExternalBlock, ExternalMessage
from services.contract.rangeset import RangeSet
from services.contract.scalars import Span
from services.contract.sequence_tracker import FIRSTS
from services.contract.sequence_tracker import SequenceTracker as Numbers

SequenceName = str | None
"""A sequence's key, None for the one of a feed without keys."""


class NumberRange(NamedTuple):
    """Consecutive numbers of one sequence, as they came; ``digest`` is of the record where it is a beginning's.

    ``unreadable`` says how many records of the block without a readable number came before the first and the last one.
    """

    key: SequenceName
    first: int
    last: int
    digest: int = 0
    unreadable: tuple[int, int] = (0, 0)


class ArrivalTimesOfBlock(NamedTuple):
    """When the records of a block came, epoch microseconds: records of one moment are one arrival.

    ``longest_us`` is the longest interval between two of them.
    """

    first_us: int
    last_us: int
    longest_us: int
    moments: int

    @classmethod
    def of(cls, moments: Iterable[int]) -> ArrivalTimesOfBlock | None:
        """Return the arrivals at some moments, in any order; None for none."""
        every = sorted(set(moments))
        if not every:
            return None
        longest_us = max((later - earlier for earlier, later in pairwise(every)), default=0)
        return cls(every[0], every[-1], longest_us, len(every))


@dataclass(frozen=True, slots=True)
class ExternalIndexRow:
    """What is kept of a block: the places of its messages, when it ended, epoch microseconds, and its numbers.

    ``connection`` is its session and the number of the connection in it; ``unreadable`` counts its records whose number
    cannot be read; ``arrivals`` is null where no time of it can be read.
    """

    positions: tuple[int, int]
    ended_us: int
    runs: tuple[NumberRange, ...]
    connection: tuple[int, int] = (1, 1)
    unreadable: int = 0
    arrivals: ArrivalTimesOfBlock | None = None


class ExternalEvidence:
    """The numbers that one client received in one run."""

    def __init__(self) -> None:
        self.unsequenced = 0
        self._notes: dict[tuple[int, int, str], ExternalIndexRow] = {}
        self._new: list[tuple[int, int, str]] = []
        self._judged: dict[SequenceName, Numbers] = {}
        self._unreadable = UnreadableRecords()
        self._connection: tuple[int, int] | None = None
        self._gaps_before: dict[SequenceName, list[Span]] = {}
        self._through: tuple[int, int, str] = (0, 0, "")

    def enter(self, block: ExternalBlock, crc: str, ended_us: int, arrivals: ArrivalTimesOfBlock | None = None) -> None:
        """Enter a block whose line has the digest ``crc``, and which was not entered before."""
        place = (block.session, block.block, crc)
        unreadable = sum(is_unreadable(message) for message in block.messages)
        connection = (block.session, block.connection)
        runs = tuple(_runs(block.messages))
        self._notes[place] = ExternalIndexRow(block.positions, ended_us, runs, connection, unreadable, arrivals)
        self._new.append(place)
        self.unsequenced += sum(message.seq is None for message in block.messages)

    def sequences(self) -> dict[SequenceName, Numbers]:
        """Return what is known of every sequence."""
        if self._new and min(self._new) < self._through:
            # Something came that belongs before what was judged already.
            self._judged, self._new = {}, list(self._notes)
            self._unreadable, self._connection, self._gaps_before = UnreadableRecords(), None, {}
        for place in sorted(self._new):
            self._judge(self._notes[place])
        self._through = max([self._through, *self._new])
        self._new = []
        return self._judged

    def _judge(self, note: ExternalIndexRow) -> None:
        if note.connection != self._connection:
            self._connection = note.connection
            for numbers in self._judged.values():
                numbers.reconnected()
        for run in note.runs:
            numbers = self._judged.setdefault(run.key, Numbers())
            restarts, gaps = numbers.restarts, len(numbers.gaps_before)
            numbers.accept_run(run.first, run.last, run.digest)
            self._unreadable.follow(run.key, run.first, run.last, run.unreadable)
            if numbers.restarts > restarts:
                missing = RangeSet(numbers.gaps_before[gaps:]) - self._unreadable.forget(run.key)
                self._gaps_before.setdefault(run.key, []).extend(missing)
        self._unreadable.count += note.unreadable

    def unreadable(self, missing: Mapping[SequenceName, RangeSet]) -> dict[SequenceName, RangeSet]:
        """Return which missing numbers of each sequence stand where records are that cannot be read."""
        self.sequences()
        return self._unreadable.among(missing)

    def gaps_before(self) -> dict[SequenceName, list[Span]]:
        """Return the numbers that were missing whenever a sequence began again, of those before it."""
        self.sequences()
        return {key: spans for key, spans in self._gaps_before.items() if spans}

    def productive(self) -> set[tuple[int, int]]:
        """Return session and number of the connections over which records came."""
        return {note.connection for note in self._notes.values()}

    def notes(self) -> list[ExternalIndexRow]:
        """Return what is kept of every block, in the order in which the client received them."""
        return [self._notes[place] for place in sorted(self._notes)]

    def last_before(self, key: SequenceName, at_us: int) -> int | None:
        """Return the highest number of a sequence in the newest block that had ended by a time, None for none."""
        for place in sorted(self._notes, reverse=True):
            note = self._notes[place]
            lasts = [run.last for run in note.runs if run.key == key]
            if note.ended_us <= at_us and lasts:
                return max(lasts)
        return None

    def around(self, key: SequenceName, session: int, after: int, before: int | None) -> tuple[int | None, int | None]:
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
            if of < session or (of == session and note.positions[1] <= after):
                below += [last for _, last in numbers]
            elif of > session or (before is not None and note.positions[0] >= before):
                above += [first for first, _ in numbers]
        return max(below, default=None), min(above, default=None)


def is_unreadable(message: ExternalMessage) -> bool:
    """Tell whether a message is logged as what came, for it could not be read, and so has no number."""
    return message.seq is None and message.form is not None


def runs_of(messages: Sequence[ExternalMessage]) -> Iterator[tuple[int, int, ExternalMessage, ExternalMessage]]:
    """Return the runs of numbers of a feed without keys, each with its first and last number and message."""
    opened: tuple[int, int, ExternalMessage, ExternalMessage] | None = None
    for message in messages:
        number = message.seq
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


def _runs(messages: Iterable[ExternalMessage]) -> Iterator[NumberRange]:
    opened: dict[SequenceName, NumberRange] = {}
    unreadable = 0
    for message in messages:
        seq, key = message.seq, message.key
        if seq is None:
            unreadable += is_unreadable(message)
            continue
        run = opened.get(key)
        if run is not None and seq == run.last + 1 and seq not in FIRSTS:
            opened[key] = run._replace(last=seq, unreadable=(run.unreadable[0], unreadable))
            continue
        if run is not None:
            yield run
        digest = zlib.crc32(message.record) if seq in FIRSTS else 0
        opened[key] = NumberRange(key, seq, seq, digest, (unreadable, unreadable))
    yield from opened.values()
