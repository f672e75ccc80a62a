"""Compares the records that the clients of an external feed without numbers received over the same time.

Two connections are compared between the first and the last record that both have, where both were open throughout, and
after that as far as the last records of neither can have been in flight. What one of them lacks there may have been
lost. It may also be a message that is sent to one client only, so it is a doubt and no proof.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, pairwise, product
from typing import NamedTuple

from services.collector.evidence.comparison.unnumbered_records import ConnectionContents
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.results.builders import recurring_contents
from services.collector.results.client_result import IN_FLIGHT_US
from services.collector.results.run_result import DifferingContents, RecurringDifference, UnnumberedComparison

CANDIDATES = 8
"""Most clients that each client is compared with."""
CONNECTIONS = 64
"""Most connections of a client that are compared: those with most records."""
LOOKS = 64
"""Records next to each end of a connection by which the common part of two connections is searched."""
PATTERN_SIZES = (1, 4, 16)
"""How many consecutive records are searched for together: few records are enough unless their contents recur."""
_DIGEST_BYTES = array("I").itemsize
Ends = Mapping[tuple[int, int], int]
"""When each connection of a client ended, epoch microseconds, by session and number."""


def compared_contents(evidence: RunEvidence, ends: Mapping[str, Ends]) -> UnnumberedComparison | None:
    """Return how the contents of the clients differ; None if there are no two clients of a feed without numbers.

    Args:
        evidence: of the run.
        ends: when each connection of each client ended.
    """
    records = evidence.times.comparison.unnumbered
    names = [name for name in records.clients if name in ends and evidence.logs[name].external.rules.scope == "auto"]
    if len(names) < 2:
        return None
    made = _Comparison()
    for name in names:
        evidence.yield_cpu()
        made.add(_Client(name, records.connections(name), ends[name]))
    return UnnumberedComparison(
        alike=tuple(sorted(made.alike)),
        apart=tuple(sorted(made.apart)),
        recurring=tuple(made.recurring),
        differing=tuple(made.differing[pair] for pair in sorted(made.differing)),
        is_sampled=records.is_sampled,
        bridged={} if records.is_sampled else {name: frozenset(places) for name, places in made.bridged.items()},
    )


class _Comparison:
    """Compares clients one after the other, each with one of those before that received the same stream."""

    def __init__(self) -> None:
        self.alike, self.apart = set[str](), set[str]()
        self.recurring: list[RecurringDifference] = []
        self.differing: dict[tuple[str, str], DifferingContents] = {}
        self.bridged: dict[str, set[tuple[int, int]]] = {}
        self._leaders: list[_Client] = []

    def add(self, client: _Client) -> None:
        """Compare a client with the first leader that it is alike; without any it leads others."""
        for leader in self._leaders[:CANDIDATES]:
            pairs = list(_pairs(client, leader))
            if any(pair.is_alike for pair in pairs):
                self.alike |= {client.name, leader.name}
                self._add_pairs(client, leader, pairs)
                self._add_pairs(leader, client, [pair.turned() for pair in pairs])
                return
        for leader in self._leaders[:1]:
            for one, other in _together(client, leader):
                if not _are_alike(one.digests, other.digests):
                    self.apart.update((client.name, leader.name))
                    continue
                # Of contents that both have, no record shows a part that can be compared.
                until_us = min(_until_us(client, one), _until_us(leader, other))
                self.recurring.append(recurring_contents.compared(one, other, until_us, (client.name, leader.name)))
                self.recurring.append(recurring_contents.compared(other, one, until_us, (leader.name, client.name)))
        self._leaders.append(client)

    def _add_pairs(self, one: _Client, other: _Client, pairs: Sequence[_Pair]) -> None:
        if (differing := _differing(one, other, pairs)) is not None:
            self.differing[one.name, other.name] = differing
        self.bridged.setdefault(one.name, set()).update(_bridged(one, pairs))


class _Client(NamedTuple):
    name: str
    connections: list[ConnectionContents]
    ends: Ends


class _Pair(NamedTuple):
    """Two connections, and the indexes of the first and of the last record that both have."""

    one: ConnectionContents
    other: ConnectionContents
    first: tuple[int, int]
    last: tuple[int, int]
    until_us: int
    is_alike: bool

    def turned(self) -> _Pair:
        return self._replace(one=self.other, other=self.one, first=self.first[::-1], last=self.last[::-1])


def _until_us(client: _Client, connection: ConnectionContents) -> int:
    """Return until when all records of a connection have arrived; 0 if its end is not known."""
    return client.ends.get(connection.place, 0) - IN_FLIGHT_US


def _pairs(first: _Client, second: _Client) -> Iterator[_Pair]:
    """Yield the connections of two clients that have a record in common."""
    for one, other in _together(first, second):
        common = _common_part(one.digests, other.digests)
        if common is not None:
            until_us = min(_until_us(first, one), _until_us(second, other))
            yield _Pair(one, other, *common, until_us, _are_alike(one.digests, other.digests))


def _together(first: _Client, second: _Client) -> Iterator[tuple[ConnectionContents, ConnectionContents]]:
    """Yield the connections of two clients over which records came at the same time."""
    for one, other in product(_longest(first.connections), _longest(second.connections)):
        if one.first_us <= other.last_us and other.first_us <= one.last_us:
            yield one, other


def _longest(connections: Sequence[ConnectionContents]) -> list[ConnectionContents]:
    most = sorted(connections, key=lambda one: -len(one.digests))[:CONNECTIONS]
    return sorted(most, key=lambda one: one.place)


def _are_alike(one: array[int], other: array[int]) -> bool:
    """Return whether most records of the shorter connection are on the other one: if not, each received its own."""
    common = (Counter(one) & Counter(other)).total()
    return 2 * common >= min(len(one), len(other))


def _common_part(one: array[int], other: array[int]) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return the indexes in both of the first and of the last record that is certainly the same; None without any."""
    first = _first_common(one, other)
    last = _first_common(one[::-1], other[::-1]) if first is not None else None
    if first is None or last is None:
        return None
    last = (len(one) - 1 - last[0], len(other) - 1 - last[1])
    return (first, last) if first[0] <= last[0] and first[1] <= last[1] else None


def _first_common(one: array[int], other: array[int]) -> tuple[int, int] | None:
    """Return the indexes of the first record with which consecutive records begin that each has only once."""
    first, second = one.tobytes(), other.tobytes()
    for size in PATTERN_SIZES:
        for index in range(LOOKS):
            for digests in (one, other):
                pattern = digests[index : index + size].tobytes()
                if len(pattern) < size * _DIGEST_BYTES:
                    continue
                in_first = _only_index(first, pattern)
                in_second = None if in_first is None else _only_index(second, pattern)
                if in_first is not None and in_second is not None:
                    return in_first, in_second
    return None


def _only_index(data: bytes, pattern: bytes) -> int | None:
    """Return the index of a record at which digests stand; None if they stand nowhere, or more than once."""
    found: int | None = None
    at = data.find(pattern)
    while at >= 0:
        if not at % _DIGEST_BYTES:
            if found is not None:
                return None
            found = at // _DIGEST_BYTES
        at = data.find(pattern, at + 1)
    return found


def _differing(one: _Client, other: _Client, pairs: Sequence[_Pair]) -> DifferingContents | None:
    """Return what one client lacks of the records of another one; None if it lacks nothing."""
    lacking = fewer = 0
    block: tuple[int, int] | None = None
    for pair in pairs:
        if not pair.is_alike:
            continue
        absent, less_often = _lacking(pair)
        lacking, fewer = lacking + absent.total(), fewer + less_often.total()
        if block is None and (absent or less_often):
            digests = pair.other.digests
            index = next(at for at in range(pair.first[1], len(digests)) if digests[at] in (absent or less_often))
            block = pair.other.place[0], pair.other.block_of(index)
    return None if block is None else DifferingContents(one.name, other.name, lacking, fewer, block)


def _lacking(pair: _Pair) -> tuple[Counter[int], Counter[int]]:
    """Return the digests of records of the other connection that one lacks, and that it has less often."""
    first, second = pair.one.digests, pair.other.digests
    until = max(pair.last[1] + 1, pair.other.count_until(pair.until_us))
    between, every = Counter(first[pair.first[0] : pair.last[0] + 1]), Counter(first)
    expected = Counter(second[pair.first[1] : pair.last[1] + 1])
    excess = expected - between
    excess += Counter(second[pair.last[1] + 1 : until]) - Counter(first[pair.last[0] + 1 :])
    # A single record may be out of order: it was received elsewhere on this connection.
    excess = Counter({one: count for one, count in excess.items() if not (expected[one] <= 1 <= every[one])})
    if not excess:
        return excess, excess
    of_one, of_other = _surroundings(pair.one), _surroundings(pair.other)
    forms = dict(zip(second, pair.other.forms, strict=True))
    absent = {one: count for one, count in excess.items() if not every[one]}
    # A record that is nowhere on this connection is judged by the others of its form, if there are any.
    lost = {one: count for one, count in absent.items() if _are_of_stream(of_one, of_other, form=forms[one])}
    fewer = {
        one: count
        for one, count in excess.items()
        if one not in absent and _are_of_stream(of_one, of_other, digest=one, form=forms[one])
    }
    return Counter(lost), Counter(fewer)


_Place = tuple[int, int, int]
"""A record between two others: the digests of all three."""


def _are_of_stream(
    one: Counter[tuple[int, _Place]], other: Counter[tuple[int, _Place]], *, form: int, digest: int | None = None
) -> bool:
    """Return whether records are mostly between the same records on both connections; also without any to judge by.

    The others are sent to each connection at times of its own, such as heartbeats, so they may differ.

    Args:
        one: how often each record of a connection, with its form, came between two others.
        other: the same of the other connection.
        form: of the records.
        digest: of the records, None for all of this form that both connections have.
    """
    first, second = (
        Counter({place: count for (of, place), count in every.items() if of == form and digest in (None, place[1])})
        for every in (one, other)
    )
    common = {place[1] for place in first} & {place[1] for place in second}
    counts = [sum(count for place, count in of.items() if place[1] in common) for of in (first, second)]
    return 2 * (first & second).total() >= min(counts)


def _surroundings(connection: ConnectionContents) -> Counter[tuple[int, _Place]]:
    """Return how often each record came between two others; one that comes several times is between the same."""
    runs = [(key, sum(1 for _ in run)) for key, run in groupby(zip(connection.digests, connection.forms, strict=True))]
    found = Counter[tuple[int, _Place]]()
    for ((before, _), _), ((digest, form), count), ((after, _), _) in zip(runs, runs[1:], runs[2:], strict=False):
        found[form, (before, digest, after)] += count
    return found


def _bridged(one: _Client, pairs: Sequence[_Pair]) -> set[tuple[int, int]]:
    """Return the connections of a client before which it was away, though another client received nothing meanwhile."""
    by_other: dict[tuple[int, int], dict[tuple[int, int], _Pair]] = {}
    for pair in pairs:
        if pair.is_alike:
            by_other.setdefault(pair.other.place, {})[pair.one.place] = pair
    found = set()
    for before, after in pairwise(one.connections):
        for of_connection in by_other.values():
            earlier, later = of_connection.get(before.place), of_connection.get(after.place)
            # The records in between, and those that came again, were all received.
            if earlier is not None and later is not None and later.first[1] <= earlier.last[1] + 1:
                found.add(after.place)
    return found
