"""The sequence numbers of an external feed that one client received. The order of reading does not matter.

Only ranges of consecutive numbers are kept of a block, one per sequence if nothing is missing. They are evaluated in
the order in which the client received the blocks, since a sequence may begin again.

A record whose number cannot be read is in the log, so a gap at its position is no evidence of a loss. Each such record
accounts for at most one missing number, and only for a number between those received before and after it.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from services.contract.blocklog import ExternalBlock, ExternalMessage
from services.contract.rangeset import RangeSet
from services.contract.scalars import Span
from services.contract.sequence_tracker import FIRSTS, SequenceTracker

DECLARED = ("without_key", "without_time", "ignored", "pings")
"""Counts in a block that cannot follow from its messages alone."""
SequenceName = str | None
"""A sequence's key, None for the one of a feed without keys."""


class NumberRange(NamedTuple):
    """Consecutive numbers of one sequence, in the order received.

    Attributes:
        key: of the sequence.
        first: the first number, ``last`` the last one.
        digest: of the first record if its number may begin a sequence, else 0.
        unreadable: the number of unreadable records in the block before the first and before the last record.
    """

    key: SequenceName
    first: int
    last: int
    digest: int = 0
    unreadable: tuple[int, int] = (0, 0)


class ArrivalTimesOfBlock(NamedTuple):
    """When the records of a block were received, epoch microseconds. Records of one time are one arrival.

    Attributes:
        first_us: the first arrival, ``last_us`` the last one.
        longest_us: the longest interval between two arrivals.
        arrival_count: the number of arrivals.
    """

    first_us: int
    last_us: int
    longest_us: int
    arrival_count: int

    @classmethod
    def of(cls, times_us: Iterable[int]) -> ArrivalTimesOfBlock | None:
        """Return the arrivals at these times, given in any order; None without any."""
        times = sorted(set(times_us))
        if not times:
            return None
        longest_us = max((later - earlier for earlier, later in pairwise(times)), default=0)
        return cls(times[0], times[-1], longest_us, len(times))


@dataclass(frozen=True, slots=True)
class ExternalIndexRow:
    """The parts of a block that are kept.

    Attributes:
        positions: of its messages in the session.
        ended_us: when its last message was received, epoch microseconds; 0 for not known.
        runs: its numbers.
        connection: its session, and the number of the connection in the session.
        unreadable: the number of records whose number cannot be read.
        arrivals: None if a time cannot be read.
    """

    positions: tuple[int, int]
    ended_us: int
    runs: tuple[NumberRange, ...]
    connection: tuple[int, int] = (1, 1)
    unreadable: int = 0
    arrivals: ArrivalTimesOfBlock | None = None


class _LastNumber(NamedTuple):
    """The last number of a sequence, and the number of unreadable records that the client had received before."""

    number: int
    unreadable: int


class UnreadableRecords:
    """The unreadable records of one client, counted from 1 in the order received, and the numbers they account for."""

    def __init__(self) -> None:
        self.count = 0
        self._used = RangeSet()
        self._numbers: dict[SequenceName, RangeSet] = {}
        self._lasts: dict[SequenceName, _LastNumber] = {}

    def follow(self, key: SequenceName, first: int, last: int, before: tuple[int, int]) -> None:
        """Add the next range of consecutive numbers of a sequence.

        Args:
            key: of the sequence.
            first: the first number.
            last: the last number.
            before: the number of unreadable records in the block before the first and before the last record.
        """
        known = self._lasts.get(key)
        if known is not None and first > known.number + 1:
            spans = _assigned((known.number + 1, first - 1), known.unreadable, self.count + before[0], self._used)
            for span in spans:
                self._numbers.setdefault(key, RangeSet()).add(*span)
        self._lasts[key] = _LastNumber(last, self.count + before[1])

    def forget(self, key: SequenceName) -> RangeSet:
        """Remove the numbers of a sequence that has begun again, and return them."""
        return self._numbers.pop(key, RangeSet())

    def among(self, missing: Mapping[SequenceName, RangeSet]) -> dict[SequenceName, RangeSet]:
        """Return the missing numbers that unreadable records account for, also those after the last number."""
        # A copy, since a query must use up no record: more blocks may follow that fill the gap at the end.
        used, result = RangeSet(self._used), {}
        # Sequences share the records, so a fixed order makes the result independent of the order of reading.
        for key in sorted(missing, key=lambda key: key or ""):
            numbers, known = missing[key] & self._numbers.get(key, RangeSet()), self._lasts.get(key)
            behind = missing[key].last
            if known is not None and self.count > known.unreadable and behind > known.number:
                tail = missing[key].within(known.number + 1, behind)
                for span in tail:
                    for assigned in _assigned(span, known.unreadable, self.count, used):
                        numbers.add(*assigned)
            result[key] = numbers
        return result


class ExternalEvidence:
    """The numbers that one client received in one run.

    Attributes:
        unsequenced: the number of messages without a number.
        declared: counts of the client in its blocks, by the name of the field; one that no block has is not known.
    """

    def __init__(self) -> None:
        self.unsequenced = 0
        self.declared: Counter[str] = Counter()
        self._rows: dict[tuple[int, int, str], ExternalIndexRow] = {}
        self._new: list[tuple[int, int, str]] = []
        self._evaluated: dict[SequenceName, SequenceTracker] = {}
        self._unreadable = UnreadableRecords()
        self._connection: tuple[int, int] | None = None
        self._gaps_before: dict[SequenceName, list[Span]] = {}
        self._through: tuple[int, int, str] = (0, 0, "")

    def add_block(
        self, block: ExternalBlock, crc: str, ended_us: int, arrivals: ArrivalTimesOfBlock | None = None
    ) -> None:
        """Add a block that was not added before; ``crc`` is the digest of its line."""
        # The digest orders lines that describe one block with different content, so that the result does not depend on
        # the order of reading.
        place = (block.session, block.block, crc)
        unreadable = sum(is_unreadable(message) for message in block.messages)
        connection = (block.session, block.connection)
        runs = tuple(_runs(block.messages))
        self._rows[place] = ExternalIndexRow(block.positions, ended_us, runs, connection, unreadable, arrivals)
        self._new.append(place)
        self.unsequenced += sum(message.seq is None for message in block.messages)
        for name in DECLARED:
            if (count := getattr(block, name)) is not None:
                self.declared[name] += count

    def sequences(self) -> dict[SequenceName, SequenceTracker]:
        """Return each sequence by its key, evaluated with all blocks so far."""
        if self._new and min(self._new) < self._through:
            # A block was read that belongs before blocks that are evaluated already, so begin again.
            self._evaluated, self._new = {}, list(self._rows)
            self._unreadable, self._connection, self._gaps_before = UnreadableRecords(), None, {}
        for place in sorted(self._new):
            self._evaluate(self._rows[place])
        self._through = max([self._through, *self._new])
        self._new = []
        return self._evaluated

    def _evaluate(self, row: ExternalIndexRow) -> None:
        if row.connection != self._connection:
            self._connection = row.connection
            # Every sequence may begin again with a new connection, also those without a record in this block.
            for numbers in self._evaluated.values():
                numbers.reconnected()
        for run in row.runs:
            numbers = self._evaluated.setdefault(run.key, SequenceTracker())
            restarts, gaps = numbers.restarts, len(numbers.gaps_before)
            numbers.accept_run(run.first, run.last, run.digest)
            self._unreadable.follow(run.key, run.first, run.last, run.unreadable)
            if numbers.restarts > restarts:
                missing = RangeSet(numbers.gaps_before[gaps:]) - self._unreadable.forget(run.key)
                self._gaps_before.setdefault(run.key, []).extend(missing.spans())
        self._unreadable.count += row.unreadable

    def unreadable(self, missing: Mapping[SequenceName, RangeSet]) -> dict[SequenceName, RangeSet]:
        """Return the missing numbers of each sequence in whose places unreadable records are."""
        self.sequences()
        return self._unreadable.among(missing)

    def gaps_before(self) -> dict[SequenceName, list[Span]]:
        """Return the ranges that were missing each time a sequence began again, by key."""
        self.sequences()
        return {key: spans for key, spans in self._gaps_before.items() if spans}

    def productive(self) -> set[tuple[int, int]]:
        """Return the connections over which records were received, as session and number."""
        # Connections without a record do not count: a server that accepts and closes at once would look present.
        return {row.connection for row in self._rows.values()}

    def rows(self) -> list[ExternalIndexRow]:
        """Return the rows of all blocks, in the order in which the client received them."""
        return [self._rows[place] for place in sorted(self._rows)]

    def last_before(self, key: SequenceName, at_us: int) -> int | None:
        """Return the highest number of a sequence in the last block that had ended at a time, None if there is none."""
        for place in sorted(self._rows, reverse=True):
            row = self._rows[place]
            lasts = [run.last for run in row.runs if run.key == key]
            if row.ended_us <= at_us and lasts:
                return max(lasts)
        return None

    def around(self, key: SequenceName, session: int, after: int, before: int | None) -> tuple[int | None, int | None]:
        """Return the numbers of a sequence before and after a gap in the log, None if there are none.

        Args:
            key: of the sequence.
            session: the session with the gap.
            after: the position of the message before the gap.
            before: the position of the message after the gap, None without one.
        """
        below, above = [], []
        for (of_session, _, _), row in self._rows.items():
            numbers = [(run.first, run.last) for run in row.runs if run.key == key]
            if of_session < session or (of_session == session and row.positions[1] <= after):
                below += [last for _, last in numbers]
            elif of_session > session or (before is not None and row.positions[0] >= before):
                above += [first for first, _ in numbers]
        return max(below, default=None), min(above, default=None)


def is_unreadable(message: ExternalMessage) -> bool:
    """Return whether a message has no number because no number could be read from its record."""
    # A record in strict JSON was read, and has no usable number; in another form it may have one that is unreadable.
    return message.seq is None and message.form is not None


def runs_of(messages: Sequence[ExternalMessage]) -> Iterator[tuple[int, int, ExternalMessage, ExternalMessage]]:
    """Yield the ranges of consecutive numbers of a feed without keys: first and last number, first and last message."""
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
        # A first number opens a range of its own, since the digest of its record tells a restart from a duplicate.
        if run is not None and seq == run.last + 1 and seq not in FIRSTS:
            opened[key] = run._replace(last=seq, unreadable=(run.unreadable[0], unreadable))
            continue
        if run is not None:
            yield run
        digest = zlib.crc32(message.record) if seq in FIRSTS else 0
        opened[key] = NumberRange(key, seq, seq, digest, (unreadable, unreadable))
    yield from opened.values()


def _assigned(span: tuple[int, int], after: int, through: int, used: RangeSet) -> list[tuple[int, int]]:
    """Assign the lowest numbers of a gap to unused unreadable records after ``after`` and mark these used."""
    free = RangeSet([(after + 1, through)]) - used
    count = min(free.count, span[1] - span[0] + 1)
    left = count
    for first, last in free:
        if not left:
            break
        taken = min(left, last - first + 1)
        used.add(first, first + taken - 1)
        left -= taken
    return [(span[0], span[0] + count - 1)] if count else []
