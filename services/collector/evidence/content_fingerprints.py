"""A 16-bit digest of each record of a client, by number: enough to find where the records of two clients differ."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from services.collector.evidence.numbers.number_ranges import SequenceName

BIN = 64
"""Consecutive numbers whose digests are in one array."""
NONE, TORN = 0, 0xFFFF
"""In place of a digest: no record was received under a number, or two different ones, which cannot be compared. Of all
records one in 32,768 has one of these as its digest by chance, and is not compared either."""
_EMPTY = array("H", bytes(2 * BIN))


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


def _merged(old: int, new: int) -> int:
    # A torn place stays torn with any further digest, so the order of adding does not matter.
    if old in (new, NONE):
        return new
    return old if new == NONE else TORN


def conflicts(clients: Mapping[str, ContentFingerprints], key: SequenceName) -> Iterator[tuple[int, str, str]]:
    """Yield the numbers of a sequence under which clients received different records.

    Args:
        clients: clients that received the same sequence, in order.
        key: of the sequence.

    Yields:
        The number, the first client with the record that most clients have, and a client with another record.
    """
    held = [(name, contents.bins(key)) for name, contents in clients.items()]
    for number in sorted({number for _, bins in held for number in bins}):
        same_bin = [(name, bins[number]) for name, bins in held if number in bins]
        base = same_bin[0][1]
        # Whole arrays are compared first: nearly all bins are equal. A record that one client misses makes them
        # unequal, too, so a difference here is not yet a conflict.
        if any(digests != base for _, digests in same_bin[1:]):
            yield from _of_bin(number * BIN, same_bin)


def _of_bin(first: int, clients: Sequence[tuple[str, array[int]]]) -> Iterator[tuple[int, str, str]]:
    for index in range(BIN):
        known = {name: digests[index] for name, digests in clients if digests[index] not in (NONE, TORN)}
        if len(set(known.values())) > 1:
            # On a tie the record of the first client is the usual one: Counter keeps the order of insertion.
            usual = Counter(known.values()).most_common(1)[0][0]
            reference = next(name for name, digest in known.items() if digest == usual)
            yield from ((first + index, reference, name) for name, digest in known.items() if digest != usual)
