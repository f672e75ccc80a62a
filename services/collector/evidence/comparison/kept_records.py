"""The parts of an external feed's records by which clients are compared: a sample, and a short digest of each record.

The sample, in bounded memory, shows which clients received one sequence. Numbers are sampled in clusters of eight by a
hash of sequence and cluster, so all clients sample the same numbers. The digests, two bytes a record, show under which
numbers clients of one sequence received different records. The order of reading does not matter.
"""

from __future__ import annotations

import zlib
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter

from msgspec import Raw

from services.collector.evidence.comparison.record_likeness import RecordFact, timeless
from services.collector.evidence.numbers.number_ranges import SequenceName
from services.contract.blocklog import ExternalMessage

CLUSTER = 8
"""Consecutive numbers that are sampled together: kinds of records may alternate, and a stride would sample one kind."""
CLUSTERS = 256
"""Most clusters, of all sequences together."""
ENTRIES = 65_536
"""Most facts, of all clients together: with more than 32 clients each has fewer clusters."""
SHORT = 512
"""Most bytes of a text that is kept; of a longer text a digest is kept, with all times removed."""
LEAST = 4
"""Fewest clusters, with any number of clients."""

Number = tuple[SequenceName, int]
"""The key of a sequence and a number in it."""
Cluster = tuple[int, SequenceName, int]
"""The hash of a cluster, the key of its sequence, and its first number divided by `CLUSTER`."""

BIN = 64
"""Consecutive numbers whose digests are in one array."""
NONE, AMBIGUOUS = 0, 0xFFFF
"""In place of a digest: no record was received under a number, or two different ones, which cannot be compared. Of all
records one in 32,768 has one of these as its digest by chance, and is not compared either."""
_EMPTY = array("H", bytes(2 * BIN))


class RecordSample:
    """The records of all clients under the sampled numbers; None for a number that a client received more than once."""

    def __init__(self) -> None:
        self._kept: dict[Cluster, dict[str, dict[int, RecordFact | None]]] = {}
        self._entries, self._room = 0, ENTRIES
        self._limit = 2**32
        self._seeds: dict[SequenceName, int] = {}
        self._version = 0

    def add_messages(
        self,
        client: str,
        key: SequenceName,
        first: int,
        places: Sequence[int],
        messages: Sequence[ExternalMessage],
        texts: Sequence[bytes | Raw],
        moments: Mapping[str, int],
    ) -> None:
        """Add those messages of a block that have consecutive numbers of one sequence.

        Args:
            client: the client that received them.
            key: of the sequence.
            first: the first number.
            places: indexes of the messages in the block, in the order of their numbers.
            messages: all messages of the block.
            texts: the texts of their records without the time of sending.
            moments: epoch microseconds of every ``received_at``.
        """
        seed = self._seeds.get(key)
        if seed is None:
            # The start value separates a feed without keys from an empty key. Keys may have half surrogates, since
            # records that are not strict JSON are read as lenient consumers do.
            seed = self._seeds[key] = zlib.crc32((key or "").encode(errors="surrogatepass"), key is not None)
        end = first + len(places)
        for index in range(first // CLUSTER, (end - 1) // CLUSTER + 1):
            # The first numbers of a feed without keys are always sampled: they show whether the feed greets each
            # connection with a message of its own.
            cluster_hash = zlib.crc32(b"%d" % index, seed) if index or key is not None else 0
            if cluster_hash >= self._limit:
                continue
            facts = self._kept.setdefault((cluster_hash, key, index), {}).setdefault(client, {})
            before = len(facts)
            for number in range(max(first, index * CLUSTER), min(end, (index + 1) * CLUSTER)):
                place = places[number - first]
                message = messages[place]
                at_us = moments[message.received_at]
                sent_us = None if message.latency_ns is None else at_us - message.latency_ns // 1000
                if number in facts:
                    # It is unknown which of the two records to compare.
                    facts[number] = None
                else:
                    text = bytes(texts[place])
                    facts[number] = RecordFact(zlib.crc32(text), _short(text, at_us), sent_us, at_us)
            self._entries += len(facts) - before
            self._version += 1
        # Twice the limit, so that the sorting of all clusters is rare. A query thins to the limit itself.
        if len(self._kept) > 2 * CLUSTERS or self._entries > 2 * self._room:
            self._thin()

    def merge(self, other: RecordSample) -> None:
        """Add the sample of other clients of the run. Each has all of its records below its limit."""
        self._limit = min(self._limit, other._limit)
        for cluster, clients in other._kept.items():
            self._kept.setdefault(cluster, {}).update(clients)
        self._kept = {cluster: clients for cluster, clients in self._kept.items() if cluster[0] < self._limit}
        self._entries = sum(len(facts) for clients in self._kept.values() for facts in clients.values())
        self._version += other._version
        self._thin()

    @property
    def version(self) -> int:
        """A number that rises with every change of the sample."""
        self._thin()
        return self._version

    def facts(self, keys: Iterable[SequenceName]) -> dict[str, dict[Number, RecordFact]]:
        """Return the sampled records of some sequences by client, in the order of the hashes."""
        self._thin()
        wanted, by_client = set(keys), dict[str, dict[Number, RecordFact]]()
        # None and a text cannot be compared, so a missing key is sorted as an empty one, just before it.
        for cluster in sorted(self._kept, key=lambda item: (item[0], item[1] or "", item[1] is not None, item[2])):
            key = cluster[1]
            if key in wanted:
                for client, facts in self._kept[cluster].items():
                    by_client.setdefault(client, {}).update(
                        {(key, number): fact for number, fact in sorted(facts.items()) if fact is not None}
                    )
        return by_client

    def _thin(self) -> None:
        if len(self._kept) <= CLUSTERS and self._entries <= ENTRIES:
            return
        clusters, entries = 0, 0
        for cluster in sorted(self._kept, key=itemgetter(0)):
            clusters, entries = clusters + 1, entries + sum(map(len, self._kept[cluster].values()))
            if clusters > CLUSTERS or (entries > ENTRIES and clusters > LEAST):
                # Clusters with the same hash are removed together, so that the order of reading does not matter.
                self._limit = cluster[0]
                self._version += 1
                break
        self._kept = {cluster: facts for cluster, facts in self._kept.items() if cluster[0] < self._limit}
        self._entries = sum(len(facts) for clients in self._kept.values() for facts in clients.values())
        # The fewest clusters of many clients may exceed the limit. Without this each further block would thin in vain.
        self._room = max(ENTRIES, self._entries)


class ContentFingerprints:
    """The digests of one client's records by sequence and number. The order of adding does not matter."""

    def __init__(self) -> None:
        self._bins: dict[SequenceName, dict[int, array[int]]] = {}

    def add(self, key: SequenceName, first: int, digests: Sequence[int]) -> None:
        """Add records of consecutive numbers by their ``digests``, 16 bits each."""
        bins = self._bins.get(key)
        if bins is None:
            bins = self._bins[key] = {}
        done, count = 0, len(digests)
        if count == 1:
            # In a feed with many keys nearly every record is added by itself, so this case avoids slices.
            held = bins.get(first // BIN)
            if held is None:
                held = bins[first // BIN] = _EMPTY[:]
            held[first % BIN] = _merged(held[first % BIN], digests[0])
            return
        while done < count:
            number, start = divmod(first + done, BIN)
            size = min(BIN - start, count - done)
            held = bins.get(number)
            if held is None:
                held = bins[number] = _EMPTY[:]
            old, new = held[start : start + size], array("H", digests[done : done + size])
            # A number is nearly always received once: then the digests are copied in one step.
            held[start : start + size] = new if old == _EMPTY[:size] else array("H", map(_merged, old, new))
            done += size

    def bins(self, key: SequenceName) -> Mapping[int, array[int]]:
        """Return the digests of a sequence in bins of `BIN` numbers."""
        return self._bins.get(key, {})


def conflicts(
    clients: Mapping[str, ContentFingerprints], key: SequenceName, openings: Mapping[str, Collection[int]]
) -> Iterator[tuple[int, str, str]]:
    """Yield the numbers of a sequence under which clients received different records.

    Args:
        clients: clients that received the same sequence, in order.
        key: of the sequence.
        openings: by client the numbers of its first records over a connection.

    Yields:
        The number, the first client with the record that most clients have, and a client with another record. First
        records over a connection are compared with each other, then with the later record that most clients have.
    """
    held = [(name, contents.bins(key)) for name, contents in clients.items()]
    for number in sorted({number for _, bins in held for number in bins}):
        same_bin = [(name, bins[number]) for name, bins in held if number in bins]
        base = same_bin[0][1]
        # Whole arrays are compared first: nearly all bins are equal. A record that one client misses makes them
        # unequal, too, so a difference here is not yet a conflict.
        if any(digests != base for _, digests in same_bin[1:]):
            yield from _of_bin(number * BIN, same_bin, openings)


def _short(text: bytes, at_us: int) -> bytes:
    return text if len(text) <= SHORT else b"%08x" % zlib.crc32(timeless(text, at_us))


def _merged(old: int, new: int) -> int:
    # An ambiguous place stays ambiguous with any further digest, so the order of adding does not matter.
    if old in (new, NONE):
        return new
    return old if new == NONE else AMBIGUOUS


def _of_bin(
    first: int, clients: Sequence[tuple[str, array[int]]], openings: Mapping[str, Collection[int]]
) -> Iterator[tuple[int, str, str]]:
    for number in range(first, first + BIN):
        held = ((name, digests[number - first]) for name, digests in clients)
        known = {name: digest for name, digest in held if digest not in (NONE, AMBIGUOUS)}
        if len(set(known.values())) > 1:
            yield from ((number, *pair) for pair in _of_number(number, known, openings))


def _of_number(
    number: int, known: Mapping[str, int], openings: Mapping[str, Collection[int]]
) -> Iterator[tuple[str, str]]:
    # A first record may be a snapshot. If later records were compared with it, a difference between two of them would
    # not be found.
    opening = [name for name in known if number in openings.get(name, ())]
    later = [name for name in known if name not in opening]
    counts = Counter(known.values())
    for names, others in ((later, later), (opening, opening), (later, opening)):
        if names and others:
            # The first client on a tie.
            reference = max(names, key=lambda name: counts[known[name]])
            yield from ((reference, name) for name in others if known[name] != known[reference])
