"""The sequence numbers of an external feed that one client received. The order of reading does not matter.

Only ranges of consecutive numbers are kept of a block, one per sequence if nothing is missing. They are evaluated in
the order in which the client received the blocks, since a sequence may begin again.

A record whose number cannot be read is in the log, so a gap at its position is no evidence of a loss. Each such record
accounts for at most one missing number, and only for a number between those received before and after it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from services.collector.evidence.numbers.arrival_times import ArrivalTimesOfBlock
from services.collector.evidence.numbers.number_ranges import NumberRange, SequenceName, is_unreadable, number_ranges
from services.collector.evidence.numbers.sequence_course import SequenceCourse
from services.contract.blocklog import ExternalBlock, ExternalMessage
from services.contract.rangeset import RangeSet
from services.contract.scalars import Span
from services.contract.sequence_rules import PLAIN, SequenceRules
from services.contract.sequence_tracker import SequenceTracker

DECLARED = ("without_key", "without_time", "ignored", "pings")
"""Counts in a block that cannot follow from its messages alone."""


@dataclass(frozen=True, slots=True)
class ExternalIndexRow:
    """The parts of a block that are kept.

    Attributes:
        positions: of its messages in the session.
        ended_us: when its last message was received, epoch microseconds; 0 for not known.
        runs: its numbers.
        connection: its session, and the number of the connection in the session.
        unreadable: the number of records whose number cannot be read.
        arrivals: of the records that have a number, in a feed with numbers; None if a time cannot be read, or without
            any such record.
        by_key: the arrivals of each sequence, if there are several; None if they are those of the block.
        unnumbered: how many messages without a number came after the last record that has one.
    """

    positions: tuple[int, int]
    ended_us: int
    runs: tuple[NumberRange, ...]
    connection: tuple[int, int] = (1, 1)
    unreadable: int = 0
    arrivals: ArrivalTimesOfBlock | None = None
    unnumbered: int = 0
    by_key: Mapping[SequenceName, ArrivalTimesOfBlock] | None = None


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

    def follow(
        self, key: SequenceName, first: int, last: int, before: tuple[int, int], *, is_range: bool = False
    ) -> None:
        """Add the next range of consecutive numbers of a sequence.

        Args:
            key: of the sequence.
            first: the first number.
            last: the last number.
            before: the number of unreadable records in the block before the first and before the last record.
            is_range: a message of the feed may cover many numbers, so one record may account for a whole gap.
        """
        known = self._lasts.get(key)
        if known is not None and first > known.number + 1:
            gap = (known.number + 1, first - 1)
            for span in self._assign(gap, known.unreadable, before[0], is_range=is_range):
                self._numbers.setdefault(key, RangeSet()).add(*span)
        self._lasts[key] = _LastNumber(last, self.count + before[1])

    def begin_again(
        self, key: SequenceName, missing: RangeSet, head: Span, before: int, *, is_range: bool = False
    ) -> RangeSet:
        """Begin a sequence again; return the numbers before it that unreadable records account for.

        Args:
            key: of the sequence.
            missing: the numbers that it lacked before. After a wrap they reach up to the counter's highest number.
            head: the numbers from its new start to the one before the first received, which are missing after a wrap;
                an empty range, whose end is below its begin, without any.
            before: the number of unreadable records in the block before the first record.
            is_range: as in `follow`.
        """
        numbers, known = self._numbers.pop(key, RangeSet()), self._lasts[key]
        for gap in missing.within(known.number + 1, missing.last):
            for span in self._assign(gap, known.unreadable, before, is_range=is_range):
                numbers.add(*span)
        for span in self._assign(head, known.unreadable, before, is_range=is_range):
            self._numbers.setdefault(key, RangeSet()).add(*span)
        return numbers

    def _assign(self, gap: Span, after: int, before: int, *, is_range: bool) -> list[Span]:
        if gap[1] < gap[0]:
            return []
        spans = _assigned(gap, after, self.count + before, self._used)
        return [gap] if spans and is_range else spans

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
        rules: what the operator says about the numbers.
        has_time: whether records are compared without the sender's time.
        numbered: the number of messages with a number.
        with_first: how many of these name the first number of a range, and ``with_previous`` the number before.
        declared: counts of the client in its blocks, by the name of the field; one that no block has is not known.
        last_us: when the last record was received, of a feed with numbers the last one that has a number.
    """

    def __init__(self) -> None:
        self.unsequenced = self.numbered = self.with_first = self.with_previous = 0
        self.rules, self.has_time = PLAIN, False
        self.last_us: int | None = None
        self.declared: Counter[str] = Counter()
        self._all_rules: set[SequenceRules] = set()
        self._rows: dict[tuple[int, int, str], ExternalIndexRow] = {}
        self._new: list[tuple[int, int, str]] = []
        self._begin_evaluation()

    def _begin_evaluation(self) -> None:
        self._courses: dict[SequenceName, SequenceCourse] = {}
        self._unreadable = UnreadableRecords()
        self._connection: tuple[int, int] | None = None
        self._unreadable_before: dict[SequenceName, list[RangeSet]] = {}
        self._skipped: dict[tuple[int, int], dict[SequenceName, RangeSet]] = {}
        self._through: tuple[int, int, str] = (0, 0, "")
        self._block = self._first_block = 0

    def add_rules(self, rules: SequenceRules) -> None:
        """Add what an open line says about the numbers."""
        self._all_rules.add(rules)
        # Sessions with different settings contradict each other. The same ones count in any order of reading.
        rules = max(self._all_rules, key=repr)
        if rules != self.rules:
            # Blocks that were evaluated by other rules are evaluated again.
            self.rules, self._new = rules, list(self._rows)
            self._begin_evaluation()

    def add_block(
        self,
        block: ExternalBlock,
        crc: str,
        ended_us: int,
        arrivals: ArrivalTimesOfBlock | None = None,
        rules: SequenceRules | None = None,
        contents: Sequence[int] | None = None,
        by_key: Mapping[SequenceName, ArrivalTimesOfBlock] | None = None,
    ) -> None:
        """Add a block that was not added before.

        Args:
            block: the block.
            crc: the digest of its line.
            ended_us: when its last message was received, epoch microseconds; 0 for not known.
            arrivals: of its messages, those with a number if the feed has numbers; None if they are not known.
            rules: by which its file was written, None if they are not known.
            contents: 16 bits of the digest of each record, without the sender's time; None to compute them with it.
            by_key: arrivals of each sequence in the block, None if they are those of the block.
        """
        # The digest orders lines that describe one block with different content, so that the result does not depend on
        # the order of reading.
        place = (block.session, block.block, crc)
        unreadable = sum(is_unreadable(message) for message in block.messages)
        connection = (block.session, block.connection)
        runs = tuple(number_ranges(block.messages, self.rules if rules is None else rules, contents))
        unsequenced = sum(message.seq is None for message in block.messages)
        # In a feed without numbers all messages are records, and have arrivals.
        is_counted = unsequenced and (arrivals is None or unsequenced < len(block.messages))
        unnumbered = _unnumbered_at_the_end(block.messages) if is_counted else 0
        row = ExternalIndexRow(block.positions, ended_us, runs, connection, unreadable, arrivals, unnumbered, by_key)
        self._rows[place] = row
        if arrivals is not None:
            self.last_us = max(arrivals.last_us, self.last_us or 0)
        self._new.append(place)
        self.unsequenced += unsequenced
        self.numbered += len(block.messages) - unsequenced
        if not self.rules.is_plain:
            numbered = [message for message in block.messages if message.seq is not None]
            self.with_first += sum(message.first_seq is not None for message in numbered)
            self.with_previous += sum(message.prev_seq is not None for message in numbered)
        for name in DECLARED:
            if (count := getattr(block, name)) is not None:
                self.declared[name] += count

    def courses(self) -> dict[SequenceName, SequenceCourse]:
        """Return each sequence by its key, evaluated with all blocks so far."""
        if self._new and min(self._new) < self._through:
            # A block was read that belongs before blocks that are evaluated already, so begin again.
            self._new = list(self._rows)
            self._begin_evaluation()
        for place in sorted(self._new):
            self._evaluate(self._rows[place])
        self._through = max([self._through, *self._new])
        self._new = []
        return self._courses

    def sequences(self) -> dict[SequenceName, SequenceTracker]:
        """Return the counts of each sequence by its key."""
        return {key: course.numbers for key, course in self.courses().items()}

    def _evaluate(self, row: ExternalIndexRow) -> None:
        self._block += 1
        if row.connection != self._connection:
            self._connection, self._first_block = row.connection, self._block
            # Every sequence may begin again with a new connection, also those without a record in this block.
            for course in self._courses.values():
                course.reconnected()
        for place, run in enumerate(row.runs):
            if run.key not in self._courses:
                self._courses[run.key] = SequenceCourse(self.rules, has_time=self.has_time)
            course = self._courses[run.key]
            numbers = course.numbers
            turns = len(numbers.gaps)
            # The ranges behind it are only looked at after a reconnect; then few blocks have many of them.
            following = [one for one in row.runs[place:] if one.key == run.key] if numbers.is_reconnected else ()
            if numbers.is_reconnected and numbers.held and run.first > numbers.last + 1:
                skipped = self._skipped.setdefault(row.connection, {}).setdefault(run.key, RangeSet())
                skipped.add(numbers.last + 1, run.first - 1)
            course.add(run, following, row.arrivals)
            course.note_block(self._block, row.arrivals if row.by_key is None else row.by_key.get(run.key))
            is_range = run.ends is not None
            for missing in numbers.gaps[turns:]:
                head = (run.first if numbers.start is None else numbers.start, run.first - 1)
                explained = self._unreadable.begin_again(run.key, missing, head, run.unreadable[0], is_range=is_range)
                self._unreadable_before.setdefault(run.key, []).append(explained)
            self._unreadable.follow(run.key, run.first, run.last, run.unreadable, is_range=is_range)
        self._unreadable.count += row.unreadable

    def unreadable(self, missing: Mapping[SequenceName, RangeSet]) -> dict[SequenceName, RangeSet]:
        """Return the missing numbers of each sequence in whose places unreadable records are."""
        self.sequences()
        return self._unreadable.among(missing)

    def gaps_before(self) -> dict[SequenceName, list[Span]]:
        """Return the ranges that were missing each time a sequence began again, by key."""
        return {
            key: spans
            for key, turns in self._turns_before().items()
            if (spans := [span for gaps, unreadable in turns for span in gaps - unreadable])
        }

    def unreadable_before(self) -> dict[SequenceName, list[Span]]:
        """Return the other ones: those that unreadable records account for, by key."""
        return {
            key: spans
            for key, turns in self._turns_before().items()
            if (spans := [span for gaps, unreadable in turns for span in gaps & unreadable])
        }

    def _turns_before(self) -> dict[SequenceName, list[tuple[RangeSet, RangeSet]]]:
        """Return for each time that a sequence began again the numbers not received, and those of unreadable records.

        What was passed over in a jump is not known to exist.
        """
        turns = {}
        for key, course in self.courses().items():
            each = zip(course.numbers.gaps, self._unreadable_before.get(key, ()), course.earlier_jumps, strict=False)
            turns[key] = [(gaps - jumps, unreadable) for gaps, unreadable, jumps in each]
        return turns

    def silent_keys(self) -> list[SequenceName]:
        """Return the sequences that had records in many blocks, and none since the last connection was made."""
        block, since = self._block, self._first_block
        return sorted((key for key, course in self.courses().items() if course.is_silent(block, since)), key=str)

    def skipped(self) -> Mapping[tuple[int, int], Mapping[SequenceName, RangeSet]]:
        """Return the numbers between the last record before each connection, by session and number, and its first."""
        self.courses()
        return self._skipped

    def productive(self) -> set[tuple[int, int]]:
        """Return the connections over which records were received, as session and number."""
        # Connections without a record do not count: a server that accepts and closes at once would look present.
        return {row.connection for row in self._rows.values()}

    def rows(self) -> list[ExternalIndexRow]:
        """Return the rows of all blocks, in the order in which the client received them."""
        return [self._rows[place] for place in sorted(self._rows)]

    def last_time(self, key: SequenceName, at_us: int) -> int | None:
        """Return when the last block with records of a sequence had ended, at a time at most; None without any."""
        ends = [row.ended_us for row in self._rows.values() if any(run.key == key for run in row.runs)]
        return max((ended_us for ended_us in ends if 0 < ended_us <= at_us), default=None)

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


def _unnumbered_at_the_end(messages: Sequence[ExternalMessage]) -> int:
    return next((place for place, message in enumerate(reversed(messages)) if message.seq is not None), len(messages))


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
