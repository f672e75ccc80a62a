"""What one client received under every number, as two bytes a record: enough to find where two clients differ."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from services.collector.reconcile.heard import Name

BIN = 64
"""Numbers that are kept together."""
NONE, TORN = 0, 0xFFFF
"""Under this number nothing came; two different records came, so it cannot be compared. A record whose digest is one of
these two by chance, one in 32,768, is not compared either."""
_EMPTY = bytes(2 * BIN)


class Contents:
    """The digests of one client's records by sequence and number, in any order of entry."""

    def __init__(self) -> None:
        self._bins: dict[Name, dict[int, bytearray]] = {}

    def add(self, key: Name, first: int, digests: Sequence[int]) -> None:
        """Enter records of consecutive numbers; ``digests`` are theirs, 32 bits each."""
        bins = self._bins.setdefault(key, {})
        halves = memoryview(array("I", digests)).cast("B").cast("H")[::2].tobytes()
        done = 0
        while done < len(digests):
            number = first + done
            place, count = number % BIN, min(BIN - number % BIN, len(digests) - done)
            held = bins.get(number // BIN)
            if held is None:
                held = bins[number // BIN] = bytearray(_EMPTY)
            old, new = held[2 * place : 2 * (place + count)], halves[2 * done : 2 * (done + count)]
            held[2 * place : 2 * (place + count)] = new if not old.strip(b"\0") else _merged(old, new)
            done += count

    def bins(self, key: Name) -> Mapping[int, bytearray]:
        """Return the digests of a sequence in bins of `BIN` numbers, two bytes each."""
        return self._bins.get(key, {})


def _merged(old: bytes | bytearray, new: bytes) -> bytes:
    pairs = zip(memoryview(old).cast("H"), memoryview(new).cast("H"), strict=True)
    return array("H", [one if two in (one, NONE) else two if one == NONE else TORN for one, two in pairs]).tobytes()


def conflicts(clients: Mapping[str, Contents], key: Name) -> Iterator[tuple[int, str, str]]:
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
            yield from _of_bin(at * BIN, [(name, memoryview(one).cast("H")) for name, one in here])


def _of_bin(first: int, here: Sequence[tuple[str, memoryview]]) -> Iterator[tuple[int, str, str]]:
    for place in range(BIN):
        found = {name: one[place] for name, one in here if one[place] not in (NONE, TORN)}
        if len(set(found.values())) > 1:
            # Of equally many the first client's counts: Counter keeps the order in which it met them.
            usual = Counter(found.values()).most_common(1)[0][0]
            reference = next(name for name, digest in found.items() if digest == usual)
            yield from ((first + place, reference, name) for name, digest in found.items() if digest != usual)
