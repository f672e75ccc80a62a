"""Tests of the clock of a process."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import pytest

from services.runtime.clock import Clock, boot_id

EPOCH_NS = 1_795_332_600_000_000_000
"""2026-11-22T07:30:00Z."""


class FakeTime:
    """The two clocks of a machine: ``wall`` can be set, ``monotonic`` only advances."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall, self.monotonic = EPOCH_NS, 5_000
        monkeypatch.setattr(time, "time_ns", lambda: self.wall)
        monkeypatch.setattr(time, "monotonic_ns", lambda: self.monotonic)

    def goes_on(self, nanoseconds: int) -> None:
        """Let time pass on both clocks."""
        self.wall += nanoseconds
        self.monotonic += nanoseconds


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    """Return the clocks of a machine that the test controls."""
    return FakeTime(monkeypatch)


def test_shows_the_time(now: FakeTime) -> None:
    """A clock has the wall time at its start, and advances from there."""
    clock = Clock()
    now.goes_on(1_234_567)

    expected = EPOCH_NS + 1_234_567

    assert expected == clock.now_ns()
    assert expected // 1000 == clock.now_us()


def test_is_not_set(now: FakeTime) -> None:
    """Setting the wall clock, forward or back, does not change the clock."""
    clock = Clock()
    for jump in (-3_600_000_000_000, 7_200_000_000_000):
        now.wall += jump
        now.goes_on(10)
    expected = EPOCH_NS + 20

    assert expected == clock.now_ns()


def test_goes_on_from_a_time_that_has_been(now: FakeTime) -> None:
    """A clock that is behind a recorded time is moved to it; a clock that is not stays unchanged."""
    clock = Clock()

    assert 0 == clock.not_before(EPOCH_NS // 1000 - 5)
    assert EPOCH_NS == clock.now_ns()
    assert 7 == clock.not_before(EPOCH_NS // 1000 + 7)
    now.goes_on(10)
    assert EPOCH_NS + 7010 == clock.now_ns()


def test_never_runs_backwards() -> None:
    """Each timestamp is at least the one before."""
    clock = Clock()
    stamps = [clock.now_ns() for _ in range(10_000)]

    assert all(one <= other for one, other in pairwise(stamps))


@pytest.mark.parametrize("sign", [1, -1])
def test_shows_that_it_was_set(now: FakeTime, sign: int) -> None:
    """`step_ns` returns by how much the wall clock was set, 0 for a correction of up to 50 ms."""
    clock = Clock()
    now.wall += sign * 50_000_000
    disciplined = clock.step_ns()
    now.wall += sign
    expected = (0, 50_000_001)

    assert expected == (disciplined, clock.step_ns())


def test_tie_is_taken_between_two_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The offset is that of the wall time to the middle of the two readings of the monotonic clock around it."""
    looks = iter([1_000, 3_000])
    monkeypatch.setattr(time, "monotonic_ns", lambda: next(looks))
    monkeypatch.setattr(time, "time_ns", lambda: EPOCH_NS)
    expected = EPOCH_NS - 2_000

    assert expected == Clock().offset_ns


def test_boot_id_is_the_kernels() -> None:
    """Two processes of one kernel have one boot id."""
    assert boot_id() == boot_id()


def test_boot_id_without_a_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the kernel's boot id a process gets an identity of its own."""

    def refuse(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", refuse)

    assert boot_id() != boot_id()
