"""Puts the clients of an external feed into groups that received the same sequence, by a sample of what they hold.

Each client is compared with a few others and not with all: a run has thousands of clients.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Mapping
from itertools import islice

from services.collector.evidence.external_evidence import Name
from services.collector.evidence.record_likeness import Begin, Fact, Relation, differ, relation
from services.collector.evidence.record_sample import Number
from services.contract.sequence_tracker import FIRSTS

PAIRS = 8192
"""Shared numbers that are compared for all clients of a run together, at least `FEWEST_PAIRS` for each of them."""
FEWEST_PAIRS = 64
BRIEF_PAIRS = 16
CANDIDATES = 8
"""Leaders that a client is compared with, those first that hold most of the same records."""
Starts = Mapping[str, Mapping[Name, int]]
"""By client the first number of every sequence that it received."""
Facts = Mapping[str, dict[Number, Fact]]


def grouped(facts: Facts, starts: Starts) -> tuple[dict[str, int], frozenset[str]]:
    """Return the group of every client, and which of them count for themselves."""
    shared = _Grouping(facts, starts, is_own=False)
    if (found := shared.found()) is not None:
        return found, frozenset()
    # The feed counts per connection: two clients that came at nearly the same time cannot be told by their times.
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

    def _group(self, client: str, mine: Mapping[Number, Fact]) -> int | None:
        for leader, group in self._candidates(mine):
            found = self._relation(leader, client)
            if found in ("equal", "alike"):
                return group
            if found == "own":
                self.own |= {leader, client}
        # With no number of the sample on another client nothing speaks against comparing them.
        return None if not self._groups or any(number in self._covered for number in mine) else 0

    def _candidates(self, mine: Mapping[Number, Fact]) -> list[tuple[str, int]]:
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


def _begin(one: Mapping[Name, int], other: Mapping[Name, int]) -> Begin:
    pairs = [(one[key], other[key]) for key in one.keys() & other.keys()]
    if pairs and all(first in FIRSTS and second in FIRSTS for first, second in pairs):
        return "first"
    return "same" if pairs and all(first == second for first, second in pairs) else "other"
