"""The sequence numbers of an external feed that one client received. The order of reading does not matter.

Only ranges of consecutive numbers are kept of a block, one per sequence if nothing is missing. They are evaluated in
the order in which the client received the blocks, since a sequence may begin again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from services.collector.evidence.numbers.arrival_times import ArrivalTimesOfBlock
from services.collector.evidence.numbers.number_ranges import SequenceName, is_unreadable, number_ranges
from services.collector.evidence.numbers.packed_ranges import (
    FEWEST,
    PackedArrivals,
    Ranges,
    kept_ranges,
    spans_of,
)
from services.collector.evidence.numbers.sequence_course import SequenceCourse
from services.collector.evidence.numbers.unreadable_records import UnreadableRecords
from services.contract.blocklog import ExternalBlock, ExternalMessage
from services.contract.rangeset import RangeSet
from services.contract.scalars import Span
from services.contract.sequence_rules import MOST_SEQUENCES, PLAIN, SequenceRules
from services.contract.sequence_tracker import FIRSTS, SequenceTracker
from services.contract.unread_data import KINDS, UnreadKind, unread_kind

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
    runs: Ranges
    connection: tuple[int, int] = (1, 1)
    unreadable: int = 0
    arrivals: ArrivalTimesOfBlock | None = None
    unnumbered: int = 0
    by_key: Mapping[SequenceName, ArrivalTimesOfBlock] | PackedArrivals | None = None

    @property
    def arrivals_by_key(self) -> Mapping[SequenceName, ArrivalTimesOfBlock] | None:
        """The arrivals of each sequence, None if they are those of the block."""
        return self.by_key.by_key() if isinstance(self.by_key, PackedArrivals) else self.by_key


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
        has_too_many_keys: whether there are sequences beyond `MOST_SEQUENCES`, which are not followed.
        unread: how many blocks have a first unreadable record of each kind.
    """

    def __init__(self) -> None:
        self.unsequenced = self.numbered = self.with_first = self.with_previous = 0
        self.rules, self.has_time, self.has_too_many_keys = PLAIN, False, False
        self.last_us: int | None = None
        self.declared: Counter[str] = Counter()
        self.unread: Counter[UnreadKind] = Counter()
        self._all_rules: set[SequenceRules] = set()
        self._rows: dict[tuple[int, int, str], ExternalIndexRow] = {}
        self._new: list[tuple[int, int, str]] = []
        self._names: dict[SequenceName, SequenceName] = {}
        self._lasts_at, self._lasts = (0, 0), dict[SequenceName, int]()
        self._last_times_at, self._last_times = (0, 0), dict[SequenceName, int]()
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
        if unreadable:
            first = next(message for message in block.messages if is_unreadable(message))
            self.unread[unread_kind(bytes(first.record), first.form or "text")] += 1
        connection = (block.session, block.connection)
        unsequenced = sum(message.seq is None for message in block.messages)
        # Of too many sequences nothing is claimed, so no more of their numbers are kept.
        kept = [] if self.has_too_many_keys or unsequenced == len(block.messages) else block.messages
        runs = tuple(number_ranges(kept, self.rules if rules is None else rules, contents if kept else None))
        # In a feed without numbers all messages are records, and have arrivals.
        is_counted = unsequenced and (arrivals is None or unsequenced < len(block.messages))
        unnumbered = _unnumbered_at_the_end(block.messages) if is_counted else 0
        self._rows[place] = ExternalIndexRow(
            block.positions,
            ended_us,
            kept_ranges(runs, self._names),
            connection,
            unreadable,
            arrivals,
            unnumbered,
            by_key if by_key is None or len(by_key) < FEWEST else PackedArrivals(by_key, self._names),
        )
        self._new.append(place)
        if arrivals is not None:
            self.last_us = max(arrivals.last_us, self.last_us or 0)
        self._count(block, unsequenced)

    def _count(self, block: ExternalBlock, unsequenced: int) -> None:
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
        by_key = row.arrivals_by_key
        for place, run in enumerate(row.runs):
            if run.key not in self._courses:
                if len(self._courses) >= MOST_SEQUENCES:
                    self.has_too_many_keys = True
                    continue
                self._courses[run.key] = SequenceCourse(self.rules, has_time=self.has_time)
            course = self._courses[run.key]
            numbers = course.numbers
            turns = len(numbers.gaps)
            # The ranges behind it are only looked at where a sequence may begin again: then few blocks have many.
            may_begin = numbers.is_reconnected or run.number in FIRSTS
            following = [one for one in islice(row.runs, place, None) if one.key == run.key] if may_begin else ()
            if numbers.is_reconnected and numbers.held and run.first > numbers.last + 1:
                skipped = self._skipped.setdefault(row.connection, {}).setdefault(run.key, RangeSet())
                skipped.add(numbers.last + 1, run.first - 1)
            course.add(run, following, row.arrivals)
            course.note_block(self._block, row.arrivals if by_key is None else by_key.get(run.key))
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

        What was passed over in a jump or beside a wrap is not known to exist.
        """
        turns = {}
        for key, course in self.courses().items():
            each = zip(course.numbers.gaps, self._unreadable_before.get(key, ()), course.earlier_jumps, strict=False)
            beside = course.beside_wraps()
            turns[key] = [
                (gaps - jumps - beside.get(turn, RangeSet()), unreadable)
                for turn, (gaps, unreadable, jumps) in enumerate(each)
            ]
        return turns

    def usual_unread(self) -> UnreadKind | None:
        """Return what the unreadable records seem to be, None without any."""
        # Only the first part of a zlib stream can be decompressed by itself, and looks like other compressed data.
        if self.unread["zlib-stream"]:
            return "zlib-stream"
        return max((kind for kind in KINDS if self.unread[kind]), key=lambda kind: self.unread[kind], default=None)

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
        # All sequences at once, since each of them is asked for at one time after the other.
        if self._last_times_at != (at_us, len(self._rows)):
            self._last_times_at, self._last_times = (at_us, len(self._rows)), self._last_times_until(at_us)
        return self._last_times.get(key)

    def _last_times_until(self, at_us: int) -> dict[SequenceName, int]:
        times: dict[SequenceName, int] = {}
        for row in self._rows.values():
            if 0 < row.ended_us <= at_us:
                times.update(
                    (key, row.ended_us) for key, _, _ in spans_of(row.runs) if times.get(key, 0) < row.ended_us
                )
        return times

    def last_before(self, key: SequenceName, at_us: int) -> int | None:
        """Return the highest number of a sequence in the last block that had ended at a time, None if there is none."""
        # All sequences at once: a feed may have many thousands, and each is asked for.
        if self._lasts_at != (at_us, len(self._rows)):
            self._lasts_at, self._lasts = (at_us, len(self._rows)), self._lasts_before(at_us)
        return self._lasts.get(key)

    def _lasts_before(self, at_us: int) -> dict[SequenceName, int]:
        lasts: dict[SequenceName, int] = {}
        for place in sorted(self._rows):
            row = self._rows[place]
            if row.ended_us <= at_us:
                in_row: dict[SequenceName, int] = {}
                for key, _, last in spans_of(row.runs):
                    in_row[key] = max(last, in_row.get(key, 0))
                lasts.update(in_row)
        return lasts

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
            numbers = [(first, last) for of, first, last in spans_of(row.runs) if of == key]
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
