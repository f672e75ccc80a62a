"""Groups the clients of an external feed by the sequence that they received. Only clients of one group are compared.

Clients are in different groups if most numbers carry different records on them, or if the feed counts each connection
for itself. A few different records among many equal ones are conflicts, and are reported.
"""

from __future__ import annotations

import zlib
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any

from msgspec import Raw

from services.collector.evidence.comparison.kept_records import ContentFingerprints, Number, RecordSample, conflicts
from services.collector.evidence.comparison.record_likeness import (
    Begin,
    RecordFact,
    Relation,
    TimeMask,
    differ,
    received_text,
    relation,
    timeless,
)
from services.collector.evidence.comparison.unnumbered_records import UnnumberedRecords
from services.collector.evidence.numbers.number_ranges import SequenceName
from services.contract.blocklog import ExternalBlock, ExternalMessage
from services.contract.feed_description import FeedDescription
from services.contract.rangeset import RangeSet
from services.contract.sequence_tracker import FIRSTS

PAIRS = 8192
"""Most shared numbers that are compared for all clients of a run, but at least `FEWEST_PAIRS` for each client."""
FEWEST_PAIRS = 64
BRIEF_PAIRS = 16
CANDIDATES = 8
"""Most leaders that a client is compared with: first those with most of the same records."""
Starts = Mapping[str, Mapping[SequenceName, int]]
"""By client the first number of each sequence that it received."""
Openings = Mapping[str, Mapping[SequenceName, Collection[int]]]
"""By client and sequence the numbers of the first records over a connection."""
Facts = Mapping[str, dict[Number, RecordFact]]


def grouped(facts: Facts, starts: Starts, *, is_shared: bool = False) -> tuple[dict[str, int], frozenset[str]]:
    """Return the group of each client, and the clients whose numbers are of their own connections.

    Args:
        facts: sampled records of each client.
        starts: first numbers of the clients to group, in order.
        is_shared: the operator says that all connections share the numbers: then times decide nothing.
    """
    shared = _Grouping(facts, starts, is_own=False, is_shared=is_shared)
    if (groups := shared.groups()) is not None:
        return groups, frozenset()
    # The feed counts per connection. Times cannot separate clients that connected at nearly the same time, so
    # group again, knowing this.
    own = _Grouping(facts, starts, is_own=True)
    return own.groups() or {}, frozenset(own.own)


class _Grouping:
    """Puts clients into groups one after the other, by comparing each with leaders: clients grouped before."""

    def __init__(self, facts: Facts, starts: Starts, *, is_own: bool, is_shared: bool = False) -> None:
        self._facts, self._starts, self._is_own, self._is_shared = facts, starts, is_own, is_shared
        # With more clients there are more comparisons, so each of them has fewer numbers.
        self._most = max(FEWEST_PAIRS, PAIRS // len(starts))
        self._group_count = 0
        self._leaders: list[tuple[str, int]] = []
        self._covered: set[Number] = set()
        self._known: dict[tuple[Number, int], array[int]] = {}
        self._having: dict[Number, array[int]] = {}
        self.own: set[str] = set()
        """Clients whose numbers are of their own connections."""

    def groups(self) -> dict[str, int] | None:
        """Return the group of each client; None if two clients show that the feed counts per connection."""
        groups = {}
        for client in self._starts:
            groups[client] = self._place(client)
            # All clients are grouped again with this knowledge, so the rest of this pass would be in vain.
            if self.own and not self._is_own:
                return None
        return groups

    def _place(self, client: str) -> int:
        facts = self._facts.get(client, {})
        group = self._group(client, facts)
        if group is None:
            group, self._group_count = self._group_count, self._group_count + 1
            self._lead(client, group, facts)
        else:
            # It is a leader only for the numbers that no leader before it has.
            self._lead(client, group, facts.keys() - self._covered)
        return group

    def _group(self, client: str, facts: Mapping[Number, RecordFact]) -> int | None:
        for leader, group in self._candidates(facts):
            relation = self._relation(leader, client)
            if relation in ("equal", "alike"):
                return group
            if relation == "own":
                self.own |= {leader, client}
        # No sampled number is on another client, so nothing speaks against comparing them.
        return None if not self._group_count or any(number in self._covered for number in facts) else 0

    def _candidates(self, facts: Mapping[Number, RecordFact]) -> list[tuple[str, int]]:
        alike = Counter[int]()
        covered = list(islice((number for number in facts if number in self._covered), FEWEST_PAIRS))
        for number in covered:
            alike.update(self._known.get((number, facts[number].digest), ()))
        if not alike:
            # Each record may contain the time at which it was sent to this client, so no two are equal.
            alike.update(leader for number in covered[:1] for leader in self._having[number])
        best = sorted(alike.items(), key=lambda item: (-item[1], item[0]))[:CANDIDATES]
        return [self._leaders[leader] for leader, _ in best]

    def _relation(self, leader: str, client: str) -> Relation:
        of_client, of_leader = self._facts[client], self._facts[leader]
        begin = _begin(self._starts[leader], self._starts[client])
        # If only equal times of sending make two sequences one, a few records show it.
        most = BRIEF_PAIRS if self._is_own and begin == "first" else self._most
        shared = islice(((of_leader[number], fact) for number, fact in of_client.items() if number in of_leader), most)
        by_records = relation(list(shared), begin)
        if self._is_shared:
            return "alike" if by_records == "own" else by_records
        # By its times this may be one sequence, if the clients connected at nearly the same time. A count per
        # connection begins at 0 or 1, so only then may other evidence decide against it.
        is_own = by_records == "alike" and begin == "first" and (self._is_own or self._are_greeted(leader, client))
        return "own" if is_own else by_records

    def _are_greeted(self, one: str, other: str) -> bool:
        """Return whether two sequences begin with different records under one number: a greeting per connection."""
        of_one, of_other = self._facts[one], self._facts[other]
        begins = [(of_one.get(number), of_other.get(number)) for number in self._starts[one].items()]
        return any(a is not None and b is not None and differ(a, b) for a, b in begins)

    def _lead(self, client: str, group: int, numbers: Collection[Number]) -> None:
        if not numbers:
            return
        self._covered.update(numbers)
        self._leaders.append((client, group))
        for number in numbers:
            alike = self._known.setdefault((number, self._facts[client][number].digest), array("I"))
            for leaders in (alike, self._having.setdefault(number, array("I"))):
                # A client is compared with no more leaders than this, so longer lists would only take memory.
                if len(leaders) < CANDIDATES:
                    leaders.append(len(self._leaders) - 1)


def _begin(one: Mapping[SequenceName, int], other: Mapping[SequenceName, int]) -> Begin:
    pairs = [(one[key], other[key]) for key in one.keys() & other.keys()]
    if pairs and all(first in FIRSTS and second in FIRSTS for first, second in pairs):
        return "first"
    return "same" if pairs and all(first == second for first, second in pairs) else "other"


OWN_FACTS = 8
"""A sequence with fewer sampled numbers is grouped together with the other sequences of its feed."""


@dataclass(frozen=True)
class Groups:
    """The groups of clients. Only clients of the same group are compared.

    Attributes:
        by_key: for each sequence the group of each client, numbered from 0.
        own: clients whose numbers are known to be of their own connections.
    """

    by_key: Mapping[SequenceName, Mapping[str, int]] = field(default_factory=dict)
    own: frozenset[str] = frozenset()

    def group(self, key: SequenceName, client: str) -> int:
        """Return the group of a client in a sequence; a client without any sampled record is in the first group."""
        return self.by_key.get(key, {}).get(client, 0)

    def are_apart(self, key: SequenceName, one: str, other: str) -> bool:
        """Return whether two clients are in different groups of a sequence."""
        return self.group(key, one) != self.group(key, other)

    @cached_property
    def divided(self) -> frozenset[SequenceName]:
        """The sequences with more than one group."""
        # Most sequences of a feed with many keys share one mapping, which is counted once.
        is_divided = {id(groups): len(set(groups.values())) > 1 for groups in self.by_key.values()}
        return frozenset(key for key, groups in self.by_key.items() if is_divided[id(groups)])

    def members(self, key: SequenceName) -> list[list[str]]:
        """Return the clients of each group of a sequence, in order."""
        members: dict[int, list[str]] = {}
        for client, group in self.by_key.get(key, {}).items():
            members.setdefault(group, []).append(client)
        return list(members.values())


class GroupComparison:
    """Compares the records that the clients of one run received under the same numbers.

    Attributes:
        unnumbered: the records of a feed without numbers.
    """

    def __init__(self) -> None:
        self.unnumbered = UnnumberedRecords()
        self._masks: dict[str | None, TimeMask] = {}
        self._contents: dict[str, ContentFingerprints] = {}
        self._sample = RecordSample()
        self._unread: set[tuple[str, int, int, str]] = set()
        self._question: tuple[int, Starts, Collection[SequenceName], bool] | None = None
        self._groups = Groups()

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs: no compiled patterns, which are made again for the next block."""
        return self.__dict__ | {"_masks": {}}

    def add_block(
        self,
        client: str,
        crc: str,
        block: ExternalBlock,
        feed: FeedDescription | None,
        moments: Mapping[str, int],
        *,
        is_new: bool,
    ) -> Sequence[int] | None:
        """Add a block; return 16 bits of the digest of each record without its time, None if it was not compared.

        Args:
            client: the client that logged it.
            crc: the digest of its line.
            block: the block.
            feed: how the feed was read; None if the open line of the file is missing. Then it is unknown where in a
                record the time of sending is, and the block is compared only if a copy of it has an open line.
            moments: epoch microseconds of every ``received_at``; empty if one of them is not a time.
            is_new: whether no copy of the line was added before.
        """
        place = (client, block.session, block.block, crc)
        if feed is None:
            self._unread |= {place} if is_new else set()
        elif moments and (is_new or place in self._unread):
            self._unread.discard(place)
            if feed.seq is None and block.messages and all(message.seq is None for message in block.messages):
                self._add_unnumbered(client, crc, block, feed.time, moments)
                return None
            # A record that is not strict JSON is logged as a text or in base64, and is compared as it was received.
            odd = [message for message in block.messages if message.form is not None]
            if not odd:
                return self._add_messages(client, block.messages, feed.time, moments, is_odd=False)
            plain = [message for message in block.messages if message.form is None]
            every = {
                is_odd: iter(self._add_messages(client, messages, feed.time, moments, is_odd=is_odd))
                for messages, is_odd in ((plain, False), (odd, True))
                if messages
            }
            return [next(every[message.form is not None]) for message in block.messages]
        return None

    def _add_unnumbered(
        self, client: str, crc: str, block: ExternalBlock, time: str | None, moments: Mapping[str, int]
    ) -> None:
        mask = self._masks.get(time) or self._masks.setdefault(time, TimeMask(time))
        texts = mask.texts([one.record if one.form is None else received_text(one) for one in block.messages])
        place = (block.session, block.connection, block.block, crc)
        self.unnumbered.add_block(client, place, texts, list(moments.values()))

    def _add_messages(
        self,
        client: str,
        messages: Sequence[ExternalMessage],
        time: str | None,
        moments: Mapping[str, int],
        *,
        is_odd: bool,
    ) -> list[int]:
        mask = self._masks.get(time) or self._masks.setdefault(time, TimeMask(time))
        texts = mask.texts(
            [received_text(message) for message in messages] if is_odd else [message.record for message in messages]
        )
        digests = _digests(texts)
        contents = self._contents.get(client)
        if contents is None:
            contents = self._contents[client] = ContentFingerprints()
        compared = _timeless_digests(texts, next(iter(moments.values())), digests)
        for key, first, places in _runs(messages):
            is_all = len(places) == len(messages)
            contents.add(key, first, compared if is_all else [compared[place] for place in places])
            self._sample.add_messages(client, key, first, places, messages, texts, moments)
        return digests

    def merge(self, other: GroupComparison) -> None:
        """Add the records of other clients of the run."""
        self.unnumbered.merge(other.unnumbered)
        self._contents.update(other._contents)
        self._sample.merge(other._sample)
        self._unread |= other._unread

    def groups(self, starts: Starts, keys: Collection[SequenceName], *, is_shared: bool = False) -> Groups:
        """Return the groups of clients; the last answer is kept until the sample or the arguments change.

        Args:
            starts: first numbers of the clients to group, in order.
            keys: the sequences that can be compared: those that did not begin again.
            is_shared: the operator says that all connections share the numbers.
        """
        known = {client: dict(firsts) for client, firsts in starts.items()}
        question = (self._sample.version, known, set(keys), is_shared)
        if self._question != question:
            made = self._grouped(starts, set(keys), is_shared=is_shared) if len(starts) > 1 else Groups()
            self._question, self._groups = question, made
        return self._groups

    def _grouped(self, starts: Starts, keys: Collection[SequenceName], *, is_shared: bool) -> Groups:
        facts = self._sample.facts(keys)
        if not facts:
            return Groups()
        together, own = grouped(facts, starts, is_shared=is_shared)
        of: dict[SequenceName, Mapping[str, int]] = dict.fromkeys(keys, together)
        if len(keys) > 1:
            for key, of_key in _by_key(facts).items():
                if max(map(len, of_key.values())) >= OWN_FACTS:
                    having = {client: {key: firsts[key]} for client, firsts in starts.items() if key in firsts}
                    of[key], counted = grouped(of_key, having, is_shared=is_shared)
                    own |= counted
        return Groups(of, own)

    def conflicts(self, groups: Groups, openings: Openings) -> dict[tuple[SequenceName, str, str], RangeSet]:
        """Return the numbers under which two clients of a group received different records, by key and both clients.

        Records that differ only in current times are no conflict.
        """
        numbers: dict[tuple[SequenceName, str, str], list[int]] = {}
        for key in groups.by_key:
            for members in groups.members(key):
                held = {client: self._contents[client] for client in members if client in self._contents}
                first = {client: openings.get(client, {}).get(key, ()) for client in held}
                for number, one, other in conflicts(held, key, first) if len(held) > 1 else ():
                    numbers.setdefault((key, one, other), []).append(number)
        return {pair: RangeSet.from_numbers(same) for pair, same in numbers.items()}


def _digests(texts: Iterable[bytes | Raw]) -> list[int]:
    """Return 16 bits of the digest of each text."""
    # The lower halves: an array of 32-bit integers, read as one of 16-bit integers.
    return memoryview(array("I", map(zlib.crc32, texts))).cast("B").cast("H")[::2].tolist()


def _timeless_digests(texts: Sequence[bytes | Raw], at_us: int, digests: list[int]) -> list[int]:
    """Return 16 bits of the digest of each text without current times; ``digests`` are those with them."""
    joined = b"\n".join(texts)
    bare = timeless(joined, at_us)
    # Most feeds name their only time, and that is removed already.
    if len(bare) == len(joined):
        return digests
    each = bare.split(b"\n")
    # A text with a newline is from no log, and would shift the others.
    return _digests(each if len(each) == len(texts) else [timeless(bytes(text), at_us) for text in texts])


def _runs(messages: Sequence[ExternalMessage]) -> Iterator[tuple[SequenceName, int, Sequence[int]]]:
    """Yield ranges of consecutive numbers of one sequence: key, first number, and indexes of the messages."""
    seqs, first = [message.seq for message in messages], messages[0].seq if messages else None
    keys = {message.key for message in messages}
    # Nearly all blocks of a feed without keys are one range: they need no list of indexes.
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
    by_key: dict[SequenceName, dict[str, dict[Number, RecordFact]]] = {}
    for client, of_client in facts.items():
        for number, fact in of_client.items():
            by_key.setdefault(number[0], {}).setdefault(client, {})[number] = fact
    return by_key
