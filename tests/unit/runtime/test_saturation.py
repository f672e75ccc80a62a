"""Tests of measuring the saturation of a process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.saturation import (
    ENOUGH_TICKS,
    EXCLUDED_TICKS,
    SaturationMonitor,
    SaturationReading,
    file_text,
    throttled_ns,
)
from tests.poll import poll_until

MS = 1_000_000


class Machine:
    """A clock, a processor and a file system that change only when a test sets them."""

    def __init__(self) -> None:
        self.now_ns = self.cpu_ns = 0
        self.files: dict[str, str] = {"/proc/self/cgroup": "0::/\n"}

    def strain(self) -> SaturationMonitor:
        """Return the saturation monitor of a process on this machine."""
        return SaturationMonitor(lambda: self.now_ns, lambda: self.cpu_ns, self.files.get)

    def throttled_us(self, taken: int) -> None:
        """Set for how long the process was throttled."""
        self.files["/sys/fs/cgroup/cpu.stat"] = f"usage_usec 7\nnr_throttled 1\nthrottled_usec {taken}\n"


@pytest.fixture
def machine() -> Machine:
    """Return a machine."""
    return Machine()


def test_what_was_before_the_window_is_not_in_it(machine: Machine) -> None:
    """Lag, processor time and throttling count from the start of the interval, and from zero when it starts again."""
    strain = machine.strain()
    machine.throttled_us(500)
    strain.tick(900 * MS)
    machine.now_ns, machine.cpu_ns = 10**9, 10 * MS
    window = strain.window()
    for late_ms in (3, 1, 2):
        strain.tick(late_ms * MS)
    machine.now_ns, machine.cpu_ns = 2 * 10**9, 25 * MS
    machine.throttled_us(1700)
    reading = window.reading()

    assert pytest.approx(3 * MS, rel=0.01) == reading.loop_lag_max_ns
    assert (None, 15 * MS, 1_200_000) == (reading.loop_lag_p99_ns, reading.cpu_ns, reading.throttled_ns)
    window.begin()
    machine.now_ns += 10**9
    assert SaturationReading(None, None, 0, 0) == window.reading()


@pytest.mark.parametrize(
    ("ticks", "p99_ms"),
    [
        ([1] * (ENOUGH_TICKS - 1), None),
        ([1] * ENOUGH_TICKS, 1),
        ([1] * 45 + [3000] * EXCLUDED_TICKS, 1),
        ([1] * 44 + [3000] * (EXCLUDED_TICKS + 1), 3000),
        ([1] * 994 + [3000] * 10, 1),
        ([1] * 989 + [3000] * 11, 3000),
    ],
)
def test_a_few_stops_are_no_strain(machine: Machine, ticks: list[int], p99_ms: float | None) -> None:
    """The p99 excludes the five latest ticks, so a few suspensions in a short window do not decide it."""
    strain = machine.strain()
    window = strain.window()
    for late_ms in ticks:
        strain.tick(late_ms * MS)
    machine.now_ns += 10**9
    p99_ns = window.reading().loop_lag_p99_ns

    assert (None if p99_ms is None else pytest.approx(p99_ms * MS, rel=0.01)) == p99_ns


@given(st.integers(ENOUGH_TICKS, 5000))
def test_exactly_five_are_left_aside(count: int) -> None:
    """In a long window the sixth latest tick counts if it is more than 1 % of all."""
    machine = Machine()
    strain = machine.strain()
    window = strain.window()
    wanted = min(count - EXCLUDED_TICKS, -(-count * 99 // 100))
    for number in range(count):
        strain.tick((1 if number < wanted - 1 else 1000) * MS)
    machine.now_ns += 10**9

    assert pytest.approx(1000 * MS, rel=0.01) == window.reading().loop_lag_p99_ns


def test_a_thousand_clients_share_their_marks(machine: Machine) -> None:
    """Readings within a short time share one snapshot."""
    reads: list[str] = []

    def read(path: str) -> str | None:
        reads.append(path)
        return machine.files.get(path)

    strain = SaturationMonitor(lambda: machine.now_ns, lambda: 0, read)
    windows = [strain.window() for _ in range(1000)]
    machine.now_ns += 10**9
    assert 1 == len({window.reading() for window in windows})

    assert ["/proc/self/cgroup", "/sys/fs/cgroup/cpu.stat"] * 2 == reads


async def test_a_delayed_loop_has_lag() -> None:
    """While the event loop is blocked the timer is late, and its lag is measured."""
    strain = SaturationMonitor()
    window, began = strain.window(), time.monotonic()
    task = asyncio.create_task(strain.watch())
    await asyncio.sleep(0)
    poll_until(lambda: time.monotonic() - began > 0.5, "the loop is held up", 5)
    await asyncio.wait([task], timeout=0.05)
    task.cancel()
    reading = window.reading()

    assert reading.loop_lag_max_ns is not None
    assert reading.cpu_ns is not None
    assert 400 * MS <= reading.loop_lag_max_ns < 5 * 10**9


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.stat": "usage_usec 9\nthrottled_usec 12\n"}, 12_000),
        ({"/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/b/cpu.stat": "throttled_usec 3\n"}, 3_000),
        ({"/proc/self/cgroup": "4:memory:/x\n1:cpu:/\n", "/sys/fs/cgroup/cpu/cpu.stat": "throttled_time 12\n"}, 12),
        ({"/proc/self/cgroup": "3:cpu,cpuacct:/d/1\n", "/sys/fs/cgroup/cpu/cpu.stat": "throttled_time 12\n"}, 12),
        ({"/proc/self/cgroup": "3:cpu,acct:/d\n", "/sys/fs/cgroup/cpu,acct/d/cpu.stat": "throttled_time 0\n"}, 0),
        (
            {
                "/proc/self/cgroup": "0::/d\n",
                "/sys/fs/cgroup/d/cpu.stat": "throttled_usec 5\n",
                "/sys/fs/cgroup/cpu.stat": "throttled_usec 9\n",
            },
            5_000,
        ),
        ({"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.stat": "usage_usec 9\n"}, None),
        ({"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.stat": "throttled_usec\nthrottled_usec x\n"}, None),
        ({"/proc/self/cgroup": "2:cpuacct:/\n", "/sys/fs/cgroup/cpu/cpu.stat": "throttled_time 12\n"}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_the_throttling_of_a_control_group_is_read(files: Mapping[str, str], expected: int | None) -> None:
    """Both versions of control groups are read, for the process's own group; without either it is None, not 0."""
    assert expected == throttled_ns(files.get)


def test_a_file_that_is_not_there_has_no_text(tmp_path: Path) -> None:
    """A file that cannot be read, or is no text, has the text None."""
    (tmp_path / "text").write_text("a b\n")
    (tmp_path / "noise").write_bytes(b"\xff")

    assert ["a b\n", None, None] == [file_text(str(tmp_path / name)) for name in ("text", "noise", "missing")]
