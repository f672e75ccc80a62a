"""Chooses by seed the frames of a client's feed to damage, and records the injected faults. Pure."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from typing import Literal, NamedTuple

from services.contract import wire
from services.contract.rangeset import RangeSet
from services.server.feed.batch_cache import STEP

Kind = Literal["drop", "duplicate", "swap", "corrupt", "header"]
"""``corrupt`` flips a bit in the records; ``header`` changes a digit in the header line before them."""
Position = Literal["middle", "tail", "replay"]

_APART = range(2, 30)
"""Frames from one fault in the middle to the next. A swap takes two frames, and a busy server sends fewer frames, so
that distances in records would not keep two faults apart."""
SPAN = 7 * STEP
"""Records that are dropped before a cut, so that the replay has seven frames or more."""


@dataclass(frozen=True)
class DamagePlan:
    """The faults of one client: ``times`` faults of a kind, in a position of the run."""

    kind: Kind
    times: int
    position: Position
    seed: int


class FrameFault(NamedTuple):
    """One injected fault: the records that it hit, and the number of the client's connection."""

    kind: Kind
    first: int
    last: int
    connection: int


class RecordsFrame(NamedTuple):
    """One records frame: its decoded header and its bytes."""

    header: wire.Records
    data: bytes


class Damage:
    """Applies a plan to the records frames of one client, over all of its connections."""

    def __init__(self, plan: DamagePlan) -> None:
        self.plan = plan
        self.faults: list[FrameFault] = []
        self.is_deaf = False
        """Whether the connection is about to be cut: nothing from the server is passed on any more."""
        self.must_cut = False
        """Whether the connection has to be cut now."""
        self.replayed_through = 0
        """Last record that the server sent before the cut."""
        self._random = random.Random(plan.seed)
        self._connection = 0
        self._start = 0
        self._apart = 0
        self._swapped: RecordsFrame | None = None
        self._tail: deque[RecordsFrame] = deque()
        self._total = 0
        self._reached = 0

    def connected(self, total: int) -> None:
        """Begin a connection to a run of ``total`` records."""
        self._connection += 1
        self.is_deaf = self.must_cut = False
        self._swapped, self._total = None, total
        self._tail.clear()
        if self._connection == 1 and self.plan.position == "middle":
            self._start = self._random.randrange(total // 5, total // 2)
        if self._connection == 1 and self.plan.position == "replay":
            self._start = self._random.randrange(total // 10, total // 5)

    def records(self, frame: RecordsFrame) -> list[bytes]:
        """Return the frames that are passed on instead of this one."""
        if self.plan.position == "tail":
            return self._hold_tail(frame)
        if self.plan.position == "replay" and self._connection == 1:
            return self._until_the_cut(frame)
        return self._apply(frame, is_hit=self._is_due(frame.header))

    def seqs(self) -> RangeSet:
        """Return the records that were hit."""
        return RangeSet((fault.first, fault.last) for fault in self.faults)

    @property
    def count(self) -> int:
        """How many records were hit."""
        return sum(fault.last - fault.first + 1 for fault in self.faults)

    def _is_due(self, header: wire.Records) -> bool:
        if self._swapped is not None:
            return False
        if self.plan.position == "replay":
            return len(self.faults) < self.plan.times
        if len(self.faults) == self.plan.times or _last(header) < self._start:
            return False
        self._apart -= 1
        if self._apart > 0:
            return False
        self._apart = self._random.choice(_APART)
        return True

    def _until_the_cut(self, frame: RecordsFrame) -> list[bytes]:
        last = _last(frame.header)
        if last < self._start:
            return [frame.data]
        self.is_deaf = True
        self.replayed_through = last
        self.must_cut = last >= self._start + SPAN
        return []

    def _hold_tail(self, frame: RecordsFrame) -> list[bytes]:
        """Hold back as many frames as the plan damages: only the last record of the run shows which are the last ones.

        Frames and not records are counted, since a busy server sends fewer and longer frames.
        """
        self._tail.append(frame)
        stride = 2 if self.plan.kind == "swap" else 1
        count = stride * self.plan.times
        if _last(frame.header) < self._total:
            return [self._tail.popleft().data] if len(self._tail) > count else []
        if len(self._tail) > count:
            passed = [self._tail.popleft().data]
        elif len(self._tail) == count:
            passed = []
        else:
            raise AssertionError(f"the run has only {len(self._tail)} frames, too few for {self.plan}")
        damaged = [
            data for index, held in enumerate(self._tail) for data in self._apply(held, is_hit=index % stride == 0)
        ]
        return passed + damaged

    def _apply(self, frame: RecordsFrame, *, is_hit: bool) -> list[bytes]:
        if self._swapped is not None:
            previous, self._swapped = self._swapped, None
            self._add_fault(previous.header)
            return [frame.data, previous.data]
        if not is_hit:
            return [frame.data]
        if self.plan.kind == "swap":
            self._swapped = frame
            return []
        self._add_fault(frame.header)
        if self.plan.kind == "drop":
            return []
        if self.plan.kind == "duplicate":
            return [frame.data, frame.data]
        return [self._flip_bit(frame.data) if self.plan.kind == "corrupt" else self._change_number(frame.data)]

    def _add_fault(self, header: wire.Records) -> None:
        self.faults.append(FrameFault(self.plan.kind, header.first, _last(header), self._connection))

    def _flip_bit(self, data: bytes) -> bytes:
        body = data.index(b"\n") + 1
        at, bit = self._random.randrange(body, len(data)), self._random.randrange(8)
        return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]

    def _change_number(self, data: bytes) -> bytes:
        at = self._random.choice([index for index in range(data.index(b',"crc"')) if data[index : index + 1].isdigit()])
        other = self._random.choice([digit for digit in b"0123456789" if digit != data[at]])
        return data[:at] + bytes([other]) + data[at + 1 :]


def _last(header: wire.Records) -> int:
    return header.first + header.count - 1
