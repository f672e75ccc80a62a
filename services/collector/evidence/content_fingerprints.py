"""Two bytes for every record of a client, by number: enough to find where two clients differ."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from services.collector.evidence.external_evidence import SequenceName

BIN = 64
"""Numbers that are kept together."""
NONE, TORN = 0, 0xFFFF
"""In place of a digest: nothing was received under a number; or two different records, which cannot be compared. A
record whose digest is one of these two by chance, one in 32,768, is not compared either."""
_EMPTY = array("H", bytes(2 * BIN))


class ContentFingerprints:
    """The digests of one client's records by sequence and number, in any order of entry."""

    def __init__(self) -> None:
        self._bins: dict[SequenceName, dict[int, array[int]]] = {}

    def add(self, key: SequenceName, first: int, digests: Sequence[int]) -> None:
        """Add records of consecutive numbers; ``digests`` are theirs, 16 bits each."""
        bins = self._bins.get(key)
        if bins is None:
            bins = self._bins[key] = {}
        done, count = 0, len(digests)
        if count == 1:
            # Of a feed with many keys nearly every record is a run of its own.
            held = bins.get(first // BIN)
            if held is None:
                held = bins[first // BIN] = _EMPTY[:]
            held[first % BIN] = _merged(held[first % BIN], digests[0])
            return
        while done < count:
            at, place = divmod(first + done, BIN)
            some = min(BIN - place, count - done)
            held = bins.get(at)
            if held is None:
                held = bins[at] = _EMPTY[:]
            old, new = held[place : place + some], array("H", digests[done : done + some])
            held[place : place + some] = new if old == _EMPTY[:some] else array("H", map(_merged, old, new))
            done += some

    def bins(self, key: SequenceName) -> Mapping[int, array[int]]:
        """Return the digests of a sequence in bins of `BIN` numbers."""
        return self._bins.get(key, {})


def _merged(old: int, new: int) -> int:
    if old in (new, NONE):
        return new
    return old if new == NONE else TORN


def conflicts(clients: Mapping[str, ContentFingerprints], key: SequenceName) -> Iterator[tuple[int, str, str]]:
    """Yield where clients hold different records under one number of a sequence.

    Args:
        clients: those whose numbers are of one sequence, in their order.
        key: of the sequence.

    Yields:
        The number, the first of the clients that hold what most of them hold, and one that holds something else.
    """
    held = [(name, contents.bins(key)) for name, contents in clients.items()]
    for at in sorted({at for _, bins in held for at in bins}):
        here = [(name, bins[at]) for name, bins in held if at in bins]
        base = here[0][1]
        if any(one != base for _, one in here[1:]):
            yield from _of_bin(at * BIN, here)


def _of_bin(first: int, here: Sequence[tuple[str, array[int]]]) -> Iterator[tuple[int, str, str]]:
    for place in range(BIN):
        found = {name: one[place] for name, one in here if one[place] not in (NONE, TORN)}
        if len(set(found.values())) > 1:
            # Of equally many the first client's counts: Counter keeps the order in which it met them.
            usual = Counter(found.values()).most_common(1)[0][0]
            reference = next(name for name, digest in found.items() if digest == usual)
            yield from ((first + place, reference, name) for name, digest in found.items() if digest != usual)
