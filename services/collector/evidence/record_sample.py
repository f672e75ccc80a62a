"""A sample of what clients of an external feed received under the same numbers, in bounded memory.

Numbers are sampled in clusters of eight by a hash of sequence and cluster, so all clients sample the same ones, and
the choice depends only on the records, never on the order of reading.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Raw

from services.collector.evidence.external_evidence import SequenceName
from services.collector.evidence.record_likeness import RecordFact, timeless
from services.contract.blocklog import ExternalMessage

CLUSTER = 8
"""Numbers in a row that are sampled together: records often alternate, and a stride would see one kind of them."""
CLUSTERS = 256
"""Clusters that are kept, all sequences together."""
ENTRIES = 65_536
"""Facts that are kept, all clients together: with more than 32 clients each has fewer."""
SHORT = 512
"""Bytes of a text that are kept; of a longer one the digest is, without any time."""
LEAST = 4
"""Clusters that are kept however many clients there are."""

Number = tuple[SequenceName, int]
"""A sequence and a number in it."""
Cluster = tuple[int, SequenceName, int]
"""The hash of a cluster, the sequence, and the cluster's first number divided by `CLUSTER`."""


class RecordSample:
    """What clients received under some numbers; None where one received a number more than once."""

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
        """Add messages of consecutive numbers of one sequence, some of a block's.

        Args:
            client: that received them.
            key: of the sequence.
            first: the first number.
            places: of the messages in the block, in the order of their numbers.
            messages: of the block.
            texts: of their records, without the time of sending.
            moments: epoch microseconds of every ``received_at``.
        """
        seed = self._seeds.get(key)
        if seed is None:
            seed = self._seeds[key] = zlib.crc32((key or "").encode(errors="surrogatepass"), key is not None)
        end = first + len(places)
        for at in range(first // CLUSTER, (end - 1) // CLUSTER + 1):
            # How a feed without keys begins is always known: it shows whether every connection is greeted.
            known = zlib.crc32(b"%d" % at, seed) if at or key is not None else 0
            if known >= self._limit:
                continue
            facts = self._kept.setdefault((known, key, at), {}).setdefault(client, {})
            before = len(facts)
            for number in range(max(first, at * CLUSTER), min(end, (at + 1) * CLUSTER)):
                place = places[number - first]
                message = messages[place]
                at_us = moments[message.received_at]
                sent_us = None if message.latency_ns is None else at_us - message.latency_ns // 1000
                if number in facts:
                    facts[number] = None
                else:
                    text = bytes(texts[place])
                    facts[number] = RecordFact(zlib.crc32(text), _short(text, at_us), sent_us, at_us)
            self._entries += len(facts) - before
            self._version += 1
        if len(self._kept) > 2 * CLUSTERS or self._entries > 2 * self._room:
            self._thin()

    @property
    def version(self) -> int:
        """A number that rises whenever something was entered into the sample or left it."""
        self._thin()
        return self._version

    def facts(self, keys: Iterable[SequenceName]) -> dict[str, dict[Number, RecordFact]]:
        """Return what every client received of some sequences, in the order of the hashes."""
        self._thin()
        wanted, found = set(keys), dict[str, dict[Number, RecordFact]]()
        for cluster in sorted(self._kept, key=lambda one: (one[0], one[1] or "", one[1] is not None, one[2])):
            key = cluster[1]
            if key in wanted:
                for client, facts in self._kept[cluster].items():
                    mine = found.setdefault(client, {})
                    mine.update({(key, number): fact for number, fact in sorted(facts.items()) if fact is not None})
        return found

    def _thin(self) -> None:
        if len(self._kept) <= CLUSTERS and self._entries <= ENTRIES:
            return
        clusters, entries = 0, 0
        for cluster in sorted(self._kept, key=lambda one: one[0]):
            clusters, entries = clusters + 1, entries + sum(map(len, self._kept[cluster].values()))
            if clusters > CLUSTERS or (entries > ENTRIES and clusters > LEAST):
                # Those with the same hash go together: which of them came first must not matter.
                self._limit = cluster[0]
                self._version += 1
                break
        self._kept = {one: facts for one, facts in self._kept.items() if one[0] < self._limit}
        self._entries = sum(len(facts) for clients in self._kept.values() for facts in clients.values())
        self._room = max(ENTRIES, self._entries)


def _short(text: bytes, at_us: int) -> bytes:
    return text if len(text) <= SHORT else b"%08x" % zlib.crc32(timeless(text, at_us))
