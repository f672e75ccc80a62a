"""Which clients of an external feed received the same sequence, so that one may be held against the other.

Where the same number carries different content on two clients, or where every connection counts for itself, nothing is
compared between these clients. A few different records among many equal ones are conflicts and are reported as such.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from services.collector.reconcile.contents import Contents, conflicts
from services.collector.reconcile.heard import Name
from services.collector.reconcile.likeness import Begin, Fact, Relation, relation
from services.collector.reconcile.masked import Mask
from services.collector.reconcile.sample import Number, Sample
from services.contract.foreign import HeardMessage
from services.contract.sequence import FIRSTS

PAIRS = 8192
"""Shared numbers that are compared for all clients of a run together, at least `FEWEST_PAIRS` for each of them."""
FEWEST_PAIRS = 64
CANDIDATES = 8
"""Leaders that a client is compared with, those first that hold most of the same records."""
OWN_FACTS = 8
"""A sequence with fewer sampled numbers is judged together with the others of its feed."""

Starts = Mapping[str, Mapping[Name, int]]
"""By client the first number of every sequence that it received."""
Facts = Mapping[str, dict[Number, Fact]]


@dataclass(frozen=True)
class Groups:
    """Clients by the sequence that they received. Clients of one group are compared, those of two are not.

    Attributes:
        of: by key the group of every client, numbered from 0.
        own: clients whose numbers are known to be of their own connections.
    """

    of: Mapping[Name, Mapping[str, int]] = field(default_factory=dict)
    own: frozenset[str] = frozenset()

    def group(self, key: Name, client: str) -> int:
        """Return the group of a client in a sequence; one of which nothing is known is compared with the first."""
        return self.of.get(key, {}).get(client, 0)

    def are_apart(self, key: Name, one: str, other: str) -> bool:
        """Tell whether nothing is compared between two clients in a sequence."""
        return self.group(key, one) != self.group(key, other)

    def members(self, key: Name) -> list[list[str]]:
        """Return the clients of every group of a sequence, in their order."""
        found: dict[int, list[str]] = {}
        for client, group in self.of.get(key, {}).items():
            found.setdefault(group, []).append(client)
        return list(found.values())


class Comparison:
    """What the clients of one run received under the same numbers."""

    def __init__(self) -> None:
        self._masks: dict[str | None, Mask] = {}
        self._contents: dict[str, Contents] = {}
        self._sample = Sample()
        self._asked: tuple[int, Starts, Collection[Name]] | None = None
        self._groups = Groups()

    def enter(
        self, client: str, messages: Sequence[HeardMessage], time: str | None, moments: Mapping[str, int]
    ) -> None:
        """Enter the messages of a block that was not entered before.

        Args:
            client: that logged it.
            messages: in the order received.
            time: where in a record its time of sending is, `Feed.time`.
            moments: epoch microseconds of every ``received_at``.
        """
        mask = self._masks.get(time) or self._masks.setdefault(time, Mask(time))
        digests = mask.digests([message.record for message in messages])
        contents = self._contents.setdefault(client, Contents())
        for key, first, some, theirs in _runs(messages, digests):
            contents.add(key, first, theirs)
            self._sample.take(client, key, first, some, theirs, moments)

    def groups(self, starts: Starts, keys: Collection[Name]) -> Groups:
        """Return which clients received the same sequences.

        Args:
            starts: of the clients that are asked for, in their order.
            keys: the sequences that can be compared, those that did not begin again.
        """
        asked = (self._sample.version, {client: dict(firsts) for client, firsts in starts.items()}, set(keys))
        if self._asked != asked:
            self._asked, self._groups = asked, self._judged(starts, set(keys)) if len(starts) > 1 else Groups()
        return self._groups

    def _judged(self, starts: Starts, keys: Collection[Name]) -> Groups:
        facts = self._sample.facts(keys)
        if not facts:
            return Groups()
        together, own = _grouped(facts, starts)
        of: dict[Name, Mapping[str, int]] = dict.fromkeys(keys, together)
        if len(keys) > 1:
            for key, some in _by_key(facts).items():
                if max(map(len, some.values())) >= OWN_FACTS:
                    having = {client: {key: firsts[key]} for client, firsts in starts.items() if key in firsts}
                    of[key], counted = _grouped(some, having)
                    own |= counted
        return Groups(of, own)

    def conflicts(self, groups: Groups) -> Iterator[tuple[Name, int, str, str]]:
        """Yield where clients of one group hold different records under one number: key, number, and two clients."""
        for key in groups.of:
            for members in groups.members(key):
                held = {client: self._contents[client] for client in members if client in self._contents}
                for number, one, other in conflicts(held, key) if len(held) > 1 else ():
                    yield key, number, one, other


def _runs(
    messages: Sequence[HeardMessage], digests: Sequence[int]
) -> Iterator[tuple[Name, int, Sequence[HeardMessage], Sequence[int]]]:
    """Return messages in runs of consecutive numbers of one sequence, each with the digests of its records."""
    seqs, first = [message.seq for message in messages], messages[0].seq if messages else None
    keys = {message.key for message in messages}
    if len(keys) == 1 and isinstance(first, int) and seqs == list(range(first, first + len(seqs))):
        yield keys.pop(), first, messages, digests
        return
    every: dict[Name, list[tuple[int, int]]] = {}
    for place, message in enumerate(messages):
        number = message.number
        if number is not None:
            every.setdefault(message.key, []).append((number, place))
    for key, numbers in every.items():
        begin = 0
        for at in range(1, len(numbers) + 1):
            if at == len(numbers) or numbers[at][0] != numbers[at - 1][0] + 1:
                places = [place for _, place in numbers[begin:at]]
                yield key, numbers[begin][0], [messages[one] for one in places], [digests[one] for one in places]
                begin = at


def _by_key(facts: Facts) -> dict[Name, dict[str, dict[Number, Fact]]]:
    found: dict[Name, dict[str, dict[Number, Fact]]] = {}
    for client, mine in facts.items():
        for number, fact in mine.items():
            found.setdefault(number[0], {}).setdefault(client, {})[number] = fact
    return found


def _grouped(facts: Facts, starts: Starts) -> tuple[dict[str, int], frozenset[str]]:
    """Return the group of every client, and which of them count for themselves."""
    found, own = _Grouping(facts, starts, is_own=False).found()
    if own:
        # The feed counts per connection: two clients that came at nearly the same time cannot be told by their times.
        found, own = _Grouping(facts, starts, is_own=True).found()
    return found, own


class _Grouping:
    """Puts clients into groups one after the other, each by what clients before it hold, the leaders of groups."""

    def __init__(self, facts: Facts, starts: Starts, *, is_own: bool) -> None:
        self._facts, self._starts, self._is_own = facts, starts, is_own
        self._most = max(FEWEST_PAIRS, PAIRS // len(starts))
        self._groups = 0
        self._leaders: list[tuple[str, int]] = []
        self._covered: set[Number] = set()
        self._known: dict[tuple[Number, int], array[int]] = {}
        self._own: set[str] = set()

    def found(self) -> tuple[dict[str, int], frozenset[str]]:
        """Return the group of every client, and which of them count for themselves."""
        return {client: self._place(client) for client in self._starts}, frozenset(self._own)

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

    def _group(self, client: str, mine: Mapping[Number, Fact]) -> int | None:
        for leader, group in self._candidates(mine):
            found = self._relation(leader, client)
            if found in ("equal", "alike"):
                return group
            if found == "own":
                self._own |= {leader, client}
        # With no number of the sample on another client nothing speaks against comparing them.
        return None if not self._groups or any(number in self._covered for number in mine) else 0

    def _candidates(self, mine: Mapping[Number, Fact]) -> list[tuple[str, int]]:
        alike = Counter[int]()
        for number in islice((number for number in mine if number in self._covered), FEWEST_PAIRS):
            alike.update(self._known.get((number, mine[number].digest), ()))
        best = sorted(alike.items(), key=lambda one: (-one[1], one[0]))[:CANDIDATES]
        return [self._leaders[leader] for leader, _ in best]

    def _relation(self, leader: str, client: str) -> Relation:
        mine, theirs = self._facts[client], self._facts[leader]
        shared = islice(((theirs[number], fact) for number, fact in mine.items() if number in theirs), self._most)
        begin = _begin(self._starts[leader], self._starts[client])
        found = relation(list(shared), begin)
        return "own" if found == "alike" and self._is_own and begin == "first" else found

    def _lead(self, client: str, group: int, numbers: Collection[Number]) -> None:
        if not numbers:
            return
        self._covered.update(numbers)
        self._leaders.append((client, group))
        for number in numbers:
            leaders = self._known.setdefault((number, self._facts[client][number].digest), array("I"))
            if len(leaders) < CANDIDATES:
                leaders.append(len(self._leaders) - 1)


def _begin(one: Mapping[Name, int], other: Mapping[Name, int]) -> Begin:
    pairs = [(one[key], other[key]) for key in one.keys() & other.keys()]
    if not pairs or any(first != second for first, second in pairs):
        return "other"
    return "first" if all(first in FIRSTS for first, _ in pairs) else "same"
