"""Tracks the numbers of one sequence of an external feed: gaps, duplicates, order, restarts and wraps. Pure.

Unlike with the own feed, the first number is unknown: the sequence begins with the first number that is received. A
message covers a range of numbers that ends with its own; in nearly all feeds that is its own number alone.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

from services.contract.rangeset import RangeSet
from services.contract.sequence_rules import PLAIN, SequenceRules, wrap_span

FIRSTS = (0, 1)
"""The numbers with which a sequence may begin, and begin again."""
_LAST_FIRST = FIRSTS[-1]
SPARE = 1000
"""Most numbers by which a record is late: a sequence that falls back further has begun again."""
_JOINED = 16
"""A client whose first number is higher has joined the stream in its middle, where no record before that is late."""
_LATE_FIRST = 32
"""Most numbers by which the first record of a stream is late if a client has joined it shortly after its beginning."""
TOPS = tuple(
    sorted(
        [2**bits - 1 for bits in (8, 15, 16, 24, 31, 32, 48, 53, 63, 64)] + [10**digits - 1 for digits in range(3, 20)]
    )
)
"""The highest numbers of counters that are recognised to wrap around."""
_WRAP_PART = 50
"""A wrap is recognised if the numbers that are missing around it are at most this part of the counter's range."""


class SequenceTracker:
    """The numbers of one sequence, as one client received them.

    Attributes:
        held: the numbers covered since the last restart or wrap.
        start: the lowest of them, or the first number after a wrap; None before the first.
        past: how many numbers were covered before.
        messages: the number of messages that covered a new number.
        duplicates: the number of messages received again.
        repeated: how many of these were received before a reconnect, and again right after it.
        reordered: the number of messages received after one with a higher number.
        restarts: how often the sequence began again; the records sent in between are not known.
        restarts_by_connection: how often it did so on a new connection.
        restarts_elsewhere: how often it began again in mid-connection, neither at 0 or 1 nor at its own first number.
        wraps: how often the counter wrapped around, or was set back by a message that names its predecessor.
        doubtful_wraps: how often a recognised wrap does not show whether the counter has a 0.
        tops: the highest number of the counter at each recognised wrap, with the place of the wrap in ``gaps``.
        unlinked: how often a message in mid-connection named no predecessor, in a feed whose messages do.
        unheld_signs: how often a message that names its own number as its predecessor's rose above all others.
        starts: with which number the sequence began, each time before the last; ``lasts`` its highest number then.
        gaps: the ranges that were missing before each restart or wrap, in order.
    """

    def __init__(self, rules: SequenceRules = PLAIN) -> None:
        self.held = RangeSet()
        self.start: int | None = None
        self.past = self.messages = self.duplicates = self.repeated = self.reordered = 0
        self.restarts = self.restarts_by_connection = self.restarts_elsewhere = 0
        self.wraps = self.doubtful_wraps = self.unlinked = self.unheld_signs = 0
        self.starts: list[int] = []
        self.lasts: list[int] = []
        self.gaps: list[RangeSet] = []
        self.tops: list[tuple[int, int]] = []
        self._rules, self._counter, self._is_plain = rules, wrap_span(rules.wrap), rules.is_plain
        # Digests only of the records under first numbers: in mid-connection no other held number begins a sequence.
        self._beginnings: dict[int, int] = {}
        self._reconnected, self._repeats_through = False, -1
        # The highest number of the counter while records from before its last wrap may still be late, else 0.
        self._turn = 0
        self._known = 0
        # Of the last 0 that seemed to be late: the first number before it, and how many messages there were with it.
        self._late_zero = (0, -1)

    def reconnected(self) -> None:
        """Record that the next number is received over a new connection, with which the sequence may begin again."""
        self._reconnected, self._repeats_through = True, self.held.last

    @property
    def is_reconnected(self) -> bool:
        """Whether the next number is the first one over a new connection."""
        return self._reconnected

    @property
    def is_repeating(self) -> bool:
        """Whether this connection has just begun: it has brought few numbers above those of the one before."""
        return 0 <= self._repeats_through >= self.held.last - SPARE

    @property
    def last(self) -> int:
        """The highest number covered since the last restart or wrap, 0 without any."""
        return self.held.last

    @property
    def is_continuous(self) -> bool:
        """Whether one number stands for one record: the sequence has neither begun again nor wrapped around."""
        return not self.restarts and not self.wraps

    @property
    def gaps_before(self) -> list[tuple[int, int]]:
        """The ranges that were missing before each restart or wrap, all together."""
        return [span for gaps in self.gaps for span in gaps]

    def accept_new_run(self, first: int, last: int) -> bool:
        """Add messages with consecutive numbers if all lie above the numbers so far; return whether they were added."""
        if not (self._is_plain and self._is_above(first)):
            return False
        self._reconnected = False
        self.held.add(first, last)
        self.messages += last - first + 1
        return True

    def accept_message(self, seq: int, digest: int, first: int | None = None, previous: int | None = None) -> bool:
        """Add the next message by the rules of the feed; return whether it covers a new number.

        Args:
            seq: its number.
            digest: of its record.
            first: the first number that it covers, None without one.
            previous: the number that it names as its predecessor's, None without one.
        """
        # Nearly all records pass here, and the client calls this for each of them.
        if self.accept_new_run(seq, seq):
            return True
        begin = self._rules.begin(seq, first, previous)
        if self._rules.previous is not None:
            return self.accept_link(seq, digest, None if begin is None else begin - 1)
        return self.accept(seq, digest, begin)

    def accept(self, seq: int, digest: int, first: int | None = None) -> bool:
        """Add the next message in the order received; return whether it covers a new number.

        Args:
            seq: its number.
            digest: of its record.
            first: the first number that it covers, None for its own number alone.
        """
        begin = seq if first is None else first
        if not self.held:
            self.start = begin if self.start is None else min(self.start, begin)
        elif (counter := self._wrap(begin, digest)) is not None:
            self._begin_next_turn(*counter)
        elif self._begins_again(seq, digest):
            self.begin_again(begin)
            if seq == _LAST_FIRST and self._late_zero[1] == self.messages:
                self._move_zero(self._late_zero[0])
        elif self._is_late_by_a_turn(begin, seq):
            self.gaps[-1] -= RangeSet([(begin, seq)])
            self.past += seq - begin + 1
            self.reordered, self.messages = self.reordered + 1, self.messages + 1
            return True
        elif self._holds(begin, seq):
            self._reconnected = False
            self.duplicates += 1
            self.repeated += self.is_repeating and seq <= self._repeats_through
            return False
        elif seq < self.held.last:
            self.reordered += 1
            if seq == 0 and self.start is not None:
                self._late_zero = (self.start, self.messages + 1)
            self.start = begin if self.start is None else min(self.start, begin)
        self._add(begin, seq, digest)
        return True

    def _add(self, begin: int, seq: int, digest: int) -> None:
        if seq in FIRSTS:
            self._beginnings[seq] = digest
        self._reconnected = False
        self.held.add(begin, seq)
        self.messages += 1

    def accept_run(self, first: int, last: int, digest: int) -> None:
        """Add messages with consecutive numbers; ``digest`` is of the first record. Only it may begin a sequence."""
        # Nearly all ranges lie above all numbers so far. Then none is a duplicate, late or a restart, and none needs a
        # look of its own.
        if self._is_above(first):
            self._reconnected = False
            self.held.add(first, last)
            self.messages += last - first + 1
            return
        self.accept(first, digest)
        # The first number is the highest one now, so the rest of the range lies above all others.
        if first == self.held.last and last > first:
            self.held.add(first + 1, last)
            self.messages += last - first
            return
        for seq in range(first + 1, last + 1):
            self.accept(seq, 0)

    def accept_ranges(self, first: int, ends: Sequence[int], digest: int, link: int | None) -> None:
        """Add messages that cover ranges of numbers, each from the end of the one before.

        Args:
            first: the first number that the first message covers.
            ends: numbers of the messages.
            digest: of the first record.
            link: in a feed whose messages name the number before, the one that the first message names, -1 for none.
        """
        if link is not None:
            self.accept_link(ends[0], digest, link if link >= 0 else None)
        elif self._is_above(first):
            self._reconnected = False
            self.held.add(first, ends[-1])
            self.messages += len(ends)
            return
        else:
            self.accept(ends[0], digest, first)
        for before, end in pairwise(ends):
            self.accept(end, 0, before + 1)

    def _is_above(self, first: int) -> bool:
        # The highest number of an empty set is 0, and a first number is not above it.
        if first <= self.held.last or first <= _LAST_FIRST or self._turn or self.start is None:
            return False
        return not (self._reconnected and self._rules.scope == "connection")

    def accept_link(self, seq: int, digest: int, previous: int | None) -> bool:
        """Add the next message of a feed whose messages name the number before; return whether it is a new one.

        Args:
            seq: its number.
            digest: of its record.
            previous: the number that it names, None if it names none, as the first one does.
        """
        if not self.held or (self._reconnected and self._rules.scope == "connection"):
            return self.accept(seq, digest, None if previous is None or previous >= seq else previous + 1)
        last = self.held.last
        if previous is None and seq != last:
            # A feed sends such a message when it begins again: the records it sent before are not known.
            self.unlinked += not self._reconnected
            self.begin_again(seq)
        elif seq == last and previous in (None, seq):
            # A sign of life: nothing has changed since.
            self._reconnected = False
            return False
        elif previous is not None and previous >= seq:
            return self._accept_fall(seq, digest, previous)
        return self.accept(seq, digest, None if previous is None else previous + 1)

    def _accept_fall(self, seq: int, digest: int, previous: int) -> bool:
        """Add a message that names its own number or a higher one as its predecessor's."""
        is_linked = previous == self.held.last
        if not is_linked:
            # The number that it names was sent, and was not received.
            self.unheld_signs += previous > max(self._known, self.held.last)
            self._known = max(self._known, previous)
            if previous == seq:
                self._reconnected = False
                return False
            self.begin_again(seq)
        else:
            # The counter was set back, and the link shows that nothing lies in between.
            self._leave()
            self.wraps, self.start, self._reconnected = self.wraps + 1, seq, False
        return self.accept(seq, digest)

    def begin_again(self, first: int) -> None:
        """Begin again with the number ``first``, which is added next."""
        self.restarts += 1
        self.restarts_by_connection += self._reconnected
        if self.start is not None:
            self.starts.append(self.start)
        is_first = first in FIRSTS or first == self.starts[0]
        self.restarts_elsewhere += not (self._reconnected or is_first)
        self._leave()
        self.start, self._reconnected = first, False

    def _move_zero(self, start: int) -> None:
        """Move a 0 that seemed to be late to the sequence that has just begun again with it.

        Args:
            start: the first number of the sequence before it.
        """
        self.reordered -= 1
        self.past -= 1
        self.starts[-1], self.start = start, 0
        self.gaps[-1] = RangeSet([(start, self.lasts[-1])]) & self.gaps[-1]
        self.held.add(0, 0)

    def _begin_next_turn(self, low: int, high: int) -> None:
        """Begin again with ``low``, after the highest number ``high`` of the counter."""
        self.wraps += 1
        self._known = high
        self._leave()
        self.start, self._turn = low, high

    def _leave(self) -> None:
        self.past += self.held.count
        self.gaps.append(self.missing())
        self.lasts.append(self.held.last)
        self.held, self._known, self._turn, self._repeats_through = RangeSet(), 0, 0, -1
        # The first numbers of the sequence before must not make those of this one look like restarts.
        self._beginnings.clear()

    def _begins_again(self, seq: int, digest: int) -> bool:
        if self._reconnected and self._rules.scope == "connection":
            return True
        last = self.held.last
        if seq > last:
            return False
        if seq in self._beginnings:
            # The same record again is a duplicate; a different record under its number begins another sequence.
            return self._beginnings[seq] != digest
        if seq in FIRSTS and not self._rules.is_shared and self._has_joined(by=last - seq):
            return True
        if seq in FIRSTS or (self.start is not None and seq < self.start):
            # No record is late on a new connection, so there any fall below the first number is a new sequence. Only of
            # a stream that all connections share it may be an older record.
            return last - seq > (0 if self._reconnected and not self._rules.is_shared else SPARE)
        return False

    def _has_joined(self, *, by: int) -> bool:
        """Return whether no first record can be late ``by`` this many numbers, since the client joined the stream."""
        start = self.start or 0
        return start > _JOINED or (start > _LAST_FIRST and by > _LATE_FIRST)

    def _wrap(self, begin: int, digest: int) -> tuple[int, int] | None:
        """Return the lowest and highest number of the counter if it has wrapped around, None if it has not."""
        last = self.held.last
        if begin >= last or self._beginnings.get(begin) == digest:
            return None
        if self._counter is not None:
            low, high = self._counter
            is_own = self._reconnected and self._rules.scope == "connection"
            return None if is_own or last - begin <= (high - low) // 2 else (low, high)
        at = bisect_left(TOPS, last)
        if self._reconnected or not self._rules.is_plain or at == len(TOPS):
            return None
        high = TOPS[at]
        if high - last + begin > min(SPARE, high // _WRAP_PART):
            return None
        # Some counters have no 0. If 1 follows the highest number, either a 0 is missing or the counter has none.
        is_doubtful = begin == 1 and last == high
        self.doubtful_wraps += is_doubtful
        self.tops.append((high, len(self.gaps)))
        return int(is_doubtful), high

    def _is_late_by_a_turn(self, begin: int, seq: int) -> bool:
        """Return whether a message is from before the last wrap, and late."""
        if not self._turn:
            return False
        turn, last = self._turn, self.held.last
        if last > min(SPARE, turn // 2):
            self._turn = 0
        return begin - last > turn // 2 and not RangeSet([(begin, seq)]) - self.gaps[-1]

    def _holds(self, begin: int, seq: int) -> bool:
        span = self.held.span_of(seq)
        return span is not None and span[0] <= begin

    def missing(self, after: int | None = None) -> RangeSet:
        """Return the missing numbers, from ``after`` + 1 or the first one to the highest one that is known."""
        if self.start is None:
            return RangeSet()
        begin = self.start if after is None else max(self.start, after + 1)
        return RangeSet([(begin, max(self.held.last, self._known))]) - self.held
