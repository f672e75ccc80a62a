"""Follows one sequence of one client, range by range, and decides what a fall or a jump of its numbers means.

The tracker decides by the numbers alone. Here the records are known as well: a feed that sends records again after a
reconnect sends the same ones, and a sequence that begins again has others under the same numbers.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from services.collector.evidence.numbers.arrival_times import ArrivalTimesOfBlock
from services.collector.evidence.numbers.number_ranges import NumberRange
from services.contract.rangeset import RangeSet
from services.contract.scalars import Span
from services.contract.sequence_rules import SequenceRules
from services.contract.sequence_tracker import FIRSTS, SPARE, SequenceTracker

COMPARED = 64
"""Most records after a reconnect that are compared with the earlier ones under the same numbers."""
LOOK_BACK, NEAR_LOOK_BACK = 4096, 64
"""Most earlier ranges that are searched for a number, after a reconnect and in mid-connection."""
JOINED = 16
"""Most records of a range that is joined to the one before it."""
ENOUGH = 3
"""Fewest consecutive numbers with other records than before that show a new beginning in mid-connection."""
ENOUGH_BLOCKS, SILENT = 4, 4
"""A sequence with records in this many blocks is silent over a new connection if it has none in this many times as many
blocks as there ever were without it before."""
TAILS = 256
"""Most sequences that are told apart when several are mixed without a key."""
NEAR = 16
"""Mixed sequences are at least this far apart; a stream out of order returns by less."""
FAR_RETURNS, NEAR_RETURNS, PART = 4, 10, 10
"""Fewest returns that show mixed sequences, if these are further apart than `SPARE`, and if they are not. The latter,
and repeated numbers with other records, also have to be a tenth of all messages."""
SPARE_RATE = 20
"""A jump is explained by this multiple of the numbers that the sequence had in the same time before…"""
SPARE_US = 1_000_000
"""… and in a second."""
LOW_TOP = 9999
"""A sequence that began at its first number may well begin again shortly below the highest number of a counter as small
as this."""


class CourseFacts(NamedTuple):
    """What contradicts that the numbers are those of one sequence.

    Attributes:
        returns: how often the numbers returned to where an earlier part of them had ended, far below the highest.
        near_returns: how often they did so not so far below.
        differing: how many numbers came again in mid-connection with another record.
        example: numbers around the first return or repeated number, in the order received; empty without one.
        fall: the highest number before the first fall in mid-connection, and the number after it; empty without one.
    """

    returns: int = 0
    near_returns: int = 0
    differing: int = 0
    example: tuple[int, ...] = ()
    fall: tuple[int, ...] = ()

    @property
    def come_again(self) -> bool:
        """Whether it is repeated numbers that show several sequences."""
        return self.returns < FAR_RETURNS and self.differing > self.near_returns

    def are_mixed(self, messages: int, duplicates: int) -> bool:
        """Return whether these are numbers of several sequences.

        Args:
            messages: the number of all messages.
            duplicates: how many of these have a number that came before.
        """
        near = max(self.near_returns, self.differing)
        # A feed that sends a record twice sends the same one. If none is, its snapshots have the last number.
        is_never_same = self.differing >= ENOUGH and self.differing >= duplicates
        return self.returns >= FAR_RETURNS or (near >= NEAR_RETURNS and near * PART >= messages) or is_never_same


class SequenceCourse:
    """One sequence of one client.

    Attributes:
        numbers: the counts.
        jumps: the ranges that were passed over faster than the rate of the sequence explains, since the last restart.
        earlier_jumps: those before each restart or wrap, as many sets as the tracker has of gaps.
        blocks: how many blocks have records of it, and ``last_block`` the number of the last one.
        longest_blocks: most blocks of one connection without any between two that have some.
        arrivals: of its records, None as long as they are not known; intervals across connections do not count.
        openings: the number of the first record over each connection, which may be a snapshot in place of the record
            that other clients received under this number.
    """

    def __init__(self, rules: SequenceRules, *, has_time: bool = False) -> None:
        """Begin with nothing received; ``has_time`` says that contents leave out the sender's time."""
        self.numbers = SequenceTracker(rules)
        self.jumps: list[Span] = []
        self.earlier_jumps: list[RangeSet] = []
        self.blocks = self.last_block = self.longest_blocks = 0
        self.arrivals: ArrivalTimesOfBlock | None = None
        self.openings: set[int] = set()
        self._wrap_edges: list[tuple[RangeSet, RangeSet]] = []
        self._has_new_connection = False
        self._rules, self._has_time = rules, has_time
        self._ranges: list[NumberRange] = []
        self._is_joined = False
        self._first_us: int | None = None
        self._last_us: int | None = None
        self._tails: dict[int, None] = {}
        self._latest: int | None = None
        self._returns = self._near_returns = self._differing = 0
        self._example: tuple[int, ...] = ()
        self._fall: tuple[int, ...] = ()

    @property
    def facts(self) -> CourseFacts:
        """What contradicts that this is one sequence."""
        return CourseFacts(self._returns, self._near_returns, self._differing, self._example, self._fall)

    def reconnected(self) -> None:
        """Record that the next number is received over a new connection."""
        self.numbers.reconnected()
        self._has_new_connection = True
        self._tails.clear()
        self._latest = None

    def add(self, run: NumberRange, following: Sequence[NumberRange], arrivals: ArrivalTimesOfBlock | None) -> None:
        """Add the next range.

        Args:
            run: the range.
            following: it and later ranges of its block.
            arrivals: of the records of the block, None if they are not known.
        """
        numbers = self.numbers
        turns, last = len(numbers.gaps), numbers.last
        if (numbers.is_reconnected or not self._ranges) and not self._is_repeated(run):
            self.openings.add(run.number)
        if numbers.held and run.number <= numbers.last and run.link != numbers.last:
            self._look_at_fall(run, following)
        elif numbers.held and run.first > numbers.last + 1 and not self._explains(run.first - numbers.last, arrivals):
            self.jumps.append((numbers.last + 1, run.first - 1))
        self._note_return(run)
        if run.ends is None:
            numbers.accept_run(run.first, run.last, run.digest)
        else:
            numbers.accept_ranges(run.first, run.ends, run.digest, run.link)
        for _ in range(len(numbers.gaps) - turns):
            # Numbers before it do not stand for the same records any more.
            self._ranges.clear()
            self._is_joined = False
            self.earlier_jumps.append(RangeSet(self.jumps))
            self.jumps, self._first_us = [], None
        while len(self._wrap_edges) < len(numbers.tops):
            high, _ = numbers.tops[len(self._wrap_edges)]
            before = RangeSet([(last + 1, max(high, last + 1))])
            self._wrap_edges.append((before, RangeSet([(0, max(run.first - 1, 0))])))
        self._remember(run)
        if arrivals is not None:
            self._first_us = arrivals.first_us if self._first_us is None else self._first_us
            self._last_us = arrivals.last_us

    def _is_repeated(self, run: NumberRange) -> bool:
        """Return whether a range is promised to be one that came before: then its first record is no snapshot."""
        return self._rules.repeats == "reconnect" and run.number in self.numbers.held

    def _remember(self, run: NumberRange) -> None:
        """Keep a range for comparisons; short ranges that follow one another are joined, as those of many sequences."""
        before = self._ranges[-1] if self._ranges else None
        is_short = run.ends is None and len(run.contents) <= JOINED and run.first not in FIRSTS
        is_next = before is not None and before.ends is None and run.first == before.last + 1
        if before is None or not (is_short and is_next and (self._is_joined or len(before.contents) <= JOINED)):
            self._ranges.append(run)
            self._is_joined = False
            return
        # The contents of a range belong to its block, those of a joined one to this sequence.
        contents = before.contents if self._is_joined else array("H", before.contents)
        contents.extend(run.contents)
        self._ranges[-1] = before._replace(last=run.last, contents=contents)
        self._is_joined = True

    def beside_wraps(self) -> dict[int, RangeSet]:
        """Return the numbers next to recognised wraps that are not known to be those of a counter, by turn.

        A sequence that begins again shortly below the highest number of a counter looks the same. If it falls back
        there again, it is a counter. A turn is named by the number of turns before it.
        """
        count = Counter(high for high, _ in self.numbers.tops)
        found: dict[int, RangeSet] = {}
        for (high, turn), (before, after) in zip(self.numbers.tops, self._wrap_edges, strict=True):
            if count[high] == 1 and high <= LOW_TOP:
                found[turn] = found.get(turn, RangeSet()) | before
                found[turn + 1] = found.get(turn + 1, RangeSet()) | after
        return found

    def open_at_wraps(self) -> RangeSet:
        """Return the numbers next to wraps that did not come, and may have been sent or not."""
        numbers = self.numbers
        # A counter has no number above its highest: then the sequence began again, and nothing is missing there.
        if not numbers.tops or max([*numbers.lasts, numbers.last]) > max(high for high, _ in numbers.tops):
            return RangeSet()
        turns, found = [*numbers.gaps, numbers.missing()], RangeSet()
        for turn, beside in self.beside_wraps().items():
            found = found | (turns[turn] & beside)
        return found

    def note_block(self, number: int, arrivals: ArrivalTimesOfBlock | None = None) -> None:
        """Note that the block with this number has records of the sequence; it may be noted several times.

        Args:
            number: of the block.
            arrivals: of the records of this sequence in it, None if they are not known.
        """
        if number == self.last_block:
            return
        if arrivals is not None:
            is_continued = self.arrivals is not None and not self._has_new_connection
            self.arrivals = (
                arrivals if self.arrivals is None else self.arrivals.joined(arrivals, is_continued=is_continued)
            )
        if self.blocks and not self._has_new_connection:
            self.longest_blocks = max(self.longest_blocks, number - self.last_block - 1)
        self.blocks, self.last_block, self._has_new_connection = self.blocks + 1, number, False

    def is_silent(self, block: int, since: int) -> bool:
        """Return whether a sequence that had records in many blocks has none over the present connection.

        Args:
            block: the number of the last block of all.
            since: the number of the first block of the present connection.
        """
        absent = block - since + 1
        return (
            self.blocks >= ENOUGH_BLOCKS and self.last_block < since and absent >= SILENT * max(1, self.longest_blocks)
        )

    def _look_at_fall(self, run: NumberRange, following: Sequence[NumberRange]) -> None:
        numbers = self.numbers
        if self._rules.scope == "connection" and numbers.is_reconnected:
            return
        self._fall = self._fall or (() if numbers.is_reconnected else (numbers.last, run.number))
        if numbers.is_reconnected:
            if self._begins_again(run, following):
                numbers.begin_again(run.first)
        elif not (numbers.is_repeating and self._rules.repeats == "reconnect"):
            self._look_in_mid_connection(run, following)

    def _look_in_mid_connection(self, run: NumberRange, following: Sequence[NumberRange]) -> None:
        numbers, is_first = self.numbers, run.number in FIRSTS
        # A first number that was received is left to the tracker, which compares whole digests.
        if is_first and run.number in numbers.held:
            return
        pairs = list(self._pairs(following if is_first else [run], NEAR_LOOK_BACK))
        differing = sum(one != other for _, one, other in pairs)
        if not differing:
            return
        if differing == len(pairs) >= ENOUGH:
            numbers.begin_again(run.first)
            return
        if not is_first:
            self._differing += differing
            self._example = self._example or (numbers.last, run.number)

    def _begins_again(self, run: NumberRange, following: Sequence[NumberRange]) -> bool:
        """Return whether the first numbers over a new connection, which fall, begin another sequence."""
        numbers = self.numbers
        pairs = list(self._pairs(following, LOOK_BACK))
        is_first = run.number in FIRSTS or run.number == numbers.start
        if not pairs:
            # The tracker decides by the number alone where no record is known under it. In a gap a record may be late,
            # but not in one that may not be a gap.
            is_in_jump = any(first <= run.number <= last for first, last in self.jumps)
            return is_in_jump or (run.number in numbers.held and is_first)
        same = sum(one == other for _, one, other in pairs)
        may_repeat = self._rules.repeats == "reconnect"
        if 2 * same <= len(pairs):
            # The operator says that records come again: then these may contain the time at which they were sent.
            return is_first or not may_repeat
        return self._has_time and not may_repeat and self._is_new_in_time(run, is_first=is_first)

    def _is_new_in_time(self, run: NumberRange, *, is_first: bool) -> bool:
        """Return whether records that are the same ones but for their time are rather those of a new beginning."""
        numbers = self.numbers
        if is_first:
            opened = next((one.opening for one in self._ranges if one.number == run.number), run.opening)
            return opened != run.opening
        # Repeated records are the last ones; a new connection begins near the first number, and may have lost some.
        start = numbers.start or 0
        return start in FIRSTS and run.number - start <= min(SPARE, numbers.last - run.number)

    def _pairs(self, ranges: Sequence[NumberRange], look_back: int) -> Iterator[tuple[int, int, int]]:
        """Yield the numbers that came before, and the digests of the new record and of the earlier one."""
        held = self.numbers.held
        news: dict[int, int] = {}
        for run in ranges:
            for at, number in enumerate(run.numbers()):
                if number in held and len(news) < COMPARED:
                    news.setdefault(number, run.contents[at])
        for earlier in islice(reversed(self._ranges), look_back):
            if not news:
                return
            for number in [number for number in news if earlier.first <= number <= earlier.last]:
                content = earlier.content(number)
                if content is not None:
                    yield number, news.pop(number), content

    def _explains(self, missed: int, arrivals: ArrivalTimesOfBlock | None) -> bool:
        """Return whether numbers may have been passed over: there was time for them at about the rate before."""
        if missed <= SPARE or self._rules.scope != "auto" or self._rules.previous is not None:
            return True
        if arrivals is None or self._first_us is None or self._last_us is None:
            return True
        # If the jump is in a block of which a part was added, the longest interval is not one of those before it.
        within_us = arrivals.longest_us if arrivals.last_us == self._last_us else 0
        elapsed_us = max(self._last_us - self._first_us - within_us, 1)
        away_us = max(arrivals.last_us - self._last_us, arrivals.longest_us)
        return missed * elapsed_us <= SPARE_RATE * self.numbers.held.count * (away_us + SPARE_US)

    def _note_return(self, run: NumberRange) -> None:
        """Note whether a range continues an earlier one than the last, as with several sequences that are mixed."""
        tails, numbers, latest = self._tails, self.numbers, self._latest
        before = run.first - 1
        is_return = latest is not None and before != latest and before in tails and before != numbers.last
        # A late record stands between two others; a sequence of its own goes on.
        if latest is not None and is_return and run.last + 1 not in numbers.held:
            distance = abs(run.first - latest)
            # After a first number alone the sequence has not begun again: a message in between is numbered so.
            is_alone = bool(numbers.restarts) and numbers.last in FIRSTS and self._rules.is_plain and distance > NEAR
            self._returns += FAR_RETURNS if is_alone else distance > SPARE
            self._near_returns += NEAR < distance <= SPARE
            if distance > NEAR and not self._example:
                self._example = (before, latest, run.first)
        tails.pop(before, None)
        tails[run.last] = None
        if len(tails) > TAILS:
            del tails[next(iter(tails))]
        self._latest = run.last
