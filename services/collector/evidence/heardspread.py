"""How far apart the clients received the same record of a feed that is not ours, sampled in bounded memory.

Nobody numbers these records, so one is known by what it says: its number and key where it has them, and its text.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping

from services.collector.evidence.client_groups import Groups
from services.collector.evidence.external_evidence import Name
from services.contract.external_blocklog import HeardMessage
from services.contract.histogram import Histogram

MOST = 2048
"""Records kept: those whose digests are lowest. Which these are depends on what was received alone."""


class HeardSpread:
    """First and last receipt of some records, by the clients that received them."""

    def __init__(self) -> None:
        self._seen: dict[int, dict[str, int | None]] = {}
        self._keys: dict[int, Name] = {}
        self._limit = 2**32

    def take(self, client: str, messages: Iterable[HeardMessage], moments: Mapping[str, int]) -> None:
        """Note when a client received messages; ``moments`` are their times, epoch microseconds."""
        for message in messages:
            known = zlib.crc32(message.record, zlib.crc32(f"{message.key}/{message.seq}".encode()))
            if known >= self._limit:
                continue
            receipts = self._seen.setdefault(known, {})
            if message.key is not None:
                self._keys[known] = message.key
            # One that a client received twice says nothing: which of the two was it?
            receipts[client] = None if client in receipts else moments[message.received_at]
        if len(self._seen) > 2 * MOST:
            self._thin()

    def histogram(self, groups: Groups | None = None) -> Histogram:
        """Return the durations from first to last client, of the records that more than one received once.

        Records of clients that are apart in ``groups`` are not one record, even where they are equal.
        """
        self._thin()
        result = Histogram()
        every = (moments for known, receipts in self._seen.items() for moments in self._of(known, receipts, groups))
        known = [[at for at in moments if at is not None] for moments in every if None not in moments]
        result.record([(max(moments) - min(moments)) * 1000 for moments in known if len(moments) > 1])
        return result

    def _of(self, known: int, receipts: dict[str, int | None], groups: Groups | None) -> list[list[int | None]]:
        key = self._keys.get(known)
        if groups is None or key not in groups.divided:
            return [list(receipts.values())]
        found: dict[int, list[int | None]] = {}
        for client, at_us in receipts.items():
            found.setdefault(groups.group(key, client), []).append(at_us)
        return list(found.values())

    def _thin(self) -> None:
        if len(self._seen) > MOST:
            kept = sorted(self._seen)[:MOST]
            self._seen = {known: self._seen[known] for known in kept}
            self._keys = {known: self._keys[known] for known in kept if known in self._keys}
            self._limit = kept[-1] + 1
