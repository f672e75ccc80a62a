"""Which clients of an external feed received the same sequence, so that they may be compared with each other.

Where the same number carries different content on two clients, or where every connection counts for itself, nothing is
compared between these clients. A few different records among many equal ones are conflicts and are reported as such.
"""

from __future__ import annotations

import zlib
from array import array
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice, product

from services.collector.evidence.content_fingerprints import ContentFingerprints, conflicts
from services.collector.evidence.external_evidence import SequenceName
from services.collector.evidence.record_likeness import Begin, RecordFact, Relation, TimeMask, differ, relation
from services.collector.evidence.record_sample import Number, RecordSample
from services.contract.blocklog import ExternalBlock, ExternalMessage, FeedDescription
from services.contract.rangeset import RangeSet
from services.contract.sequence_tracker import FIRSTS

PAIRS = 8192
"""Shared numbers that are compared for all clients of a run together, at least `FEWEST_PAIRS` for each of them."""
FEWEST_PAIRS = 64
BRIEF_PAIRS = 16
CANDIDATES = 8
"""Leaders that a client is compared with, those first that hold most of the same records."""
Starts = Mapping[str, Mapping[SequenceName, int]]
"""By client the first number of every sequence that it received."""
Facts = Mapping[str, dict[Number, RecordFact]]


def grouped(facts: Facts, starts: Starts) -> tuple[dict[str, int], frozenset[str]]:
    """Return the group of every client, and which of them count for themselves."""
    shared = _Grouping(facts, starts, is_own=False)
    if (found := shared.found()) is not None:
        return found, frozenset()
    # The feed counts per connection. Two clients that connected at nearly the same time do not differ by their times.
    own = _Grouping(facts, starts, is_own=True)
    return own.found() or {}, frozenset(own.own)


class _Grouping:
    """Puts clients into groups one after the other, each by what clients before it hold, the leaders of groups."""

    def __init__(self, facts: Facts, starts: Starts, *, is_own: bool) -> None:
        self._facts, self._starts, self._is_own = facts, starts, is_own
        self._most = max(FEWEST_PAIRS, PAIRS // len(starts))
        self._groups = 0
        self._leaders: list[tuple[str, int]] = []
        self._covered: set[Number] = set()
        self._known: dict[tuple[Number, int], array[int]] = {}
        self._having: dict[Number, array[int]] = {}
        self.own: set[str] = set()
        """Clients whose numbers are of their own connections."""

    def found(self) -> dict[str, int] | None:
        """Return the group of every client, None as soon as two of them show that the feed counts per connection."""
        groups = {}
        for client in self._starts:
            groups[client] = self._place(client)
            if self.own and not self._is_own:
                return None
        return groups

    def _place(self, client: str) -> int:
        mine = self._facts.get(client, {})
        group = self._group(client, mine)
        if group is None:
            group, self._groups = self._groups, self._groups + 1
            self._lead(client, group, mine)
        else:
            # Beside the group's first client for the numbers that those before it do not have.
            self._lead(client, group, mine.keys() - self._covered)
        return group

    def _group(self, client: str, mine: Mapping[Number, RecordFact]) -> int | None:
        for leader, group in self._candidates(mine):
            found = self._relation(leader, client)
            if found in ("equal", "alike"):
                return group
            if found == "own":
                self.own |= {leader, client}
        # With no number of the sample on another client nothing speaks against comparing them.
        return None if not self._groups or any(number in self._covered for number in mine) else 0

    def _candidates(self, mine: Mapping[Number, RecordFact]) -> list[tuple[str, int]]:
        alike = Counter[int]()
        covered = list(islice((number for number in mine if number in self._covered), FEWEST_PAIRS))
        for number in covered:
            alike.update(self._known.get((number, mine[number].digest), ()))
        if not alike:
            # Every record may hold the time at which it was sent to this client.
            alike.update(leader for number in covered[:1] for leader in self._having[number])
        best = sorted(alike.items(), key=lambda one: (-one[1], one[0]))[:CANDIDATES]
        return [self._leaders[leader] for leader, _ in best]

    def _relation(self, leader: str, client: str) -> Relation:
        mine, theirs = self._facts[client], self._facts[leader]
        begin = _begin(self._starts[leader], self._starts[client])
        # Where only equal times of sending make one sequence of two, a few records show it.
        most = BRIEF_PAIRS if self._is_own and begin == "first" else self._most
        shared = islice(((theirs[number], fact) for number, fact in mine.items() if number in theirs), most)
        found = relation(list(shared), begin)
        is_own = found == "alike" and begin == "first" and (self._is_own or self._are_greeted(leader, client))
        return "own" if is_own else found

    def _are_greeted(self, one: str, other: str) -> bool:
        """Tell whether two sequences begin with different records under the same number: each connection's own."""
        mine, theirs = self._facts[one], self._facts[other]
        begins = [(mine.get(number), theirs.get(number)) for number in self._starts[one].items()]
        return any(a is not None and b is not None and differ(a, b) for a, b in begins)

    def _lead(self, client: str, group: int, numbers: Collection[Number]) -> None:
        if not numbers:
            return
        self._covered.update(numbers)
        self._leaders.append((client, group))
        for number in numbers:
            alike = self._known.setdefault((number, self._facts[client][number].digest), array("I"))
            for leaders in (alike, self._having.setdefault(number, array("I"))):
                if len(leaders) < CANDIDATES:
                    leaders.append(len(self._leaders) - 1)


def _begin(one: Mapping[SequenceName, int], other: Mapping[SequenceName, int]) -> Begin:
    pairs = [(one[key], other[key]) for key in one.keys() & other.keys()]
    if pairs and all(first in FIRSTS and second in FIRSTS for first, second in pairs):
        return "first"
    return "same" if pairs and all(first == second for first, second in pairs) else "other"


OWN_FACTS = 8
"""A sequence with fewer sampled numbers is judged together with the others of its feed."""


@dataclass(frozen=True)
class Groups:
    """Clients by the sequence that they received. Clients of one group are compared, those of two are not.

    Attributes:
        of: by key the group of every client, numbered from 0.
        own: clients whose numbers are known to be of their own connections.
    """

    of: Mapping[SequenceName, Mapping[str, int]] = field(default_factory=dict)
    own: frozenset[str] = frozenset()

    def group(self, key: SequenceName, client: str) -> int:
        """Return the group of a client in a sequence; a client without any known record is in the first."""
        return self.of.get(key, {}).get(client, 0)

    def are_apart(self, key: SequenceName, one: str, other: str) -> bool:
        """Tell whether nothing is compared between two clients in a sequence."""
        return self.group(key, one) != self.group(key, other)

    @cached_property
    def divided(self) -> frozenset[SequenceName]:
        """The sequences in which any two clients are apart."""
        # Most sequences of a feed with many share one mapping.
        seen = {id(groups): len(set(groups.values())) > 1 for groups in self.of.values()}
        return frozenset(key for key, groups in self.of.items() if seen[id(groups)])

    def members(self, key: SequenceName) -> list[list[str]]:
        """Return the clients of every group of a sequence, in their order."""
        found: dict[int, list[str]] = {}
        for client, group in self.of.get(key, {}).items():
            found.setdefault(group, []).append(client)
        return list(found.values())


class GroupComparison:
    """What the clients of one run received under the same numbers."""

    def __init__(self) -> None:
        self._masks: dict[str | None, TimeMask] = {}
        self._contents: dict[tuple[str, bool], ContentFingerprints] = {}
        self._sample = RecordSample()
        self._unread: set[tuple[str, int, int, str]] = set()
        self._asked: tuple[int, Starts, Collection[SequenceName]] | None = None
        self._groups = Groups()

    def enter(
        self,
        client: str,
        crc: str,
        block: ExternalBlock,
        feed: FeedDescription | None,
        moments: Mapping[str, int],
        *,
        is_new: bool,
    ) -> None:
        """Add a block.

        Args:
            client: that logged it.
            crc: of its line.
            block: as it is logged.
            feed: how it was read; None where the open line of its file is missing. Then it is not known where in a
                record the time of sending is, and the block is compared only if a copy of it has an open line.
            moments: epoch microseconds of every ``received_at``, none when one of them is no time.
            is_new: whether the same line was not entered before.
        """
        place = (client, block.session, block.block, crc)
        if feed is None:
            self._unread |= {place} if is_new else set()
        elif moments and (is_new or place in self._unread):
            self._unread.discard(place)
            # A text that is not strict JSON is not compared with a record that is: only their numbers are comparable.
            odd = [message for message in block.messages if message.form is not None]
            plain = [message for message in block.messages if message.form is None] if odd else block.messages
            for some, is_odd in ((plain, False), (odd, True)):
                if some:
                    self._enter(client, some, feed.time, moments, is_odd=is_odd)

    def _enter(
        self,
        client: str,
        messages: Sequence[ExternalMessage],
        time: str | None,
        moments: Mapping[str, int],
        *,
        is_odd: bool,
    ) -> None:
        mask = self._masks.get(time) or self._masks.setdefault(time, TimeMask(time))
        texts = mask.texts([message.record for message in messages])
        # The lower half of each: an array of 32 bits, read as one of 16.
        digests = memoryview(array("I", map(zlib.crc32, texts))).cast("B").cast("H")[::2].tolist()
        contents = self._contents.get((client, is_odd))
        if contents is None:
            contents = self._contents[client, is_odd] = ContentFingerprints()
        for key, first, places in _runs(messages):
            whole = len(places) == len(messages)
            contents.add(key, first, digests if whole else [digests[place] for place in places])
            self._sample.add_messages(client, key, first, places, messages, texts, moments)

    def groups(self, starts: Starts, keys: Collection[SequenceName]) -> Groups:
        """Return which clients received the same sequences.

        Args:
            starts: of the clients that are asked for, in their order.
            keys: the sequences that can be compared, those that did not begin again.
        """
        asked = (self._sample.version, {client: dict(firsts) for client, firsts in starts.items()}, set(keys))
        if self._asked != asked:
            self._asked, self._groups = asked, self._judged(starts, set(keys)) if len(starts) > 1 else Groups()
        return self._groups

    def _judged(self, starts: Starts, keys: Collection[SequenceName]) -> Groups:
        facts = self._sample.facts(keys)
        if not facts:
            return Groups()
        together, own = grouped(facts, starts)
        of: dict[SequenceName, Mapping[str, int]] = dict.fromkeys(keys, together)
        if len(keys) > 1:
            for key, some in _by_key(facts).items():
                if max(map(len, some.values())) >= OWN_FACTS:
                    having = {client: {key: firsts[key]} for client, firsts in starts.items() if key in firsts}
                    of[key], counted = grouped(some, having)
                    own |= counted
        return Groups(of, own)

    def conflicts(self, groups: Groups) -> dict[tuple[SequenceName, str, str], RangeSet]:
        """Return under which numbers two clients of one group hold different records, by key and the two clients.

        Records that differ in times alone are no conflict. Only of sampled records that is known: where most sampled
        ones of two clients differ in times alone, the others are taken to do so too.
        """
        numbers: dict[tuple[SequenceName, str, str], list[int]] = {}
        for key in groups.of:
            for members, is_odd in product(groups.members(key), (False, True)):
                every = {client: self._contents.get((client, is_odd)) for client in members}
                held = {client: contents for client, contents in every.items() if contents is not None}
                for number, one, other in conflicts(held, key) if len(held) > 1 else ():
                    numbers.setdefault((key, one, other), []).append(number)
        facts = self._sample.facts({key for key, _, _ in numbers}) if numbers else {}
        conflicting = {pair: RangeSet.from_numbers(same) for pair, same in numbers.items()}
        real = {pair: _without_times(differing, pair, facts) for pair, differing in conflicting.items()}
        return {pair: differing for pair, differing in real.items() if differing}


def _without_times(differing: RangeSet, pair: tuple[SequenceName, str, str], facts: Facts) -> RangeSet:
    """Return the numbers of a conflict without those under which the records differ in times alone."""
    key, one, other = pair
    mine, theirs = facts.get(one, {}), facts.get(other, {})
    sampled = [number for of, number in mine if of == key and number in differing and (key, number) in theirs]
    timed = [number for number in sampled if not differ(mine[key, number], theirs[key, number])]
    if 2 * len(timed) > len(sampled):
        return RangeSet.from_numbers(set(sampled) - set(timed))
    return differing - RangeSet.from_numbers(timed)


def _runs(messages: Sequence[ExternalMessage]) -> Iterator[tuple[SequenceName, int, Sequence[int]]]:
    """Return runs of consecutive numbers of one sequence: its key, the first number, and the places of the messages."""
    seqs, first = [message.seq for message in messages], messages[0].seq if messages else None
    keys = {message.key for message in messages}
    if len(keys) == 1 and isinstance(first, int) and seqs == list(range(first, first + len(seqs))):
        yield keys.pop(), first, range(len(messages))
        return
    opened: dict[SequenceName, tuple[int, list[int]]] = {}
    for place, message in enumerate(messages):
        number, key = message.seq, message.key
        if number is None:
            continue
        number = int(number)
        run = opened.get(key)
        if run is not None and number == run[0] + len(run[1]):
            run[1].append(place)
            continue
        if run is not None:
            yield key, *run
        opened[key] = (number, [place])
    for key, run in opened.items():
        yield key, *run


def _by_key(facts: Facts) -> dict[SequenceName, dict[str, dict[Number, RecordFact]]]:
    found: dict[SequenceName, dict[str, dict[Number, RecordFact]]] = {}
    for client, mine in facts.items():
        for number, fact in mine.items():
            found.setdefault(number[0], {}).setdefault(client, {})[number] = fact
    return found
