"""Shared by all benchmarks: sizes of the runs, collected figures, and CPU time of processes."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Literal, NamedTuple

from services.runtime.settings import BY_NAME

_TICKS = os.sysconf("SC_CLK_TCK")


class InvalidRun(Exception):
    """A run failed, or its deliveries do not add up, so its figures are worthless."""


class Metric(NamedTuple):
    """A measured quantity: its unit, whether more or less is better, and its target.

    The target applies to the median of at least ``rounds`` rounds: with fewer, noise may be larger than the target.
    """

    name: str
    unit: str
    better: Literal["more", "less"]
    target: float | None = None
    rounds: int = 1


class Sizes(NamedTuple):
    """The number of rounds, and the number of records of each benchmark.

    In a comparison of fan-outs each server uses about ``fan_out_seconds`` of CPU time per number of subscribers.
    """

    rounds: int
    warm_up: int
    generator: int
    full_speed: int
    fixed_rate: int
    fan_out: int
    naive: int
    fan_out_seconds: float
    subscribers: tuple[int, ...]
    all_peers: bool
    containers: bool
    """Whether latency and age of the published numbers are measured with containers, too."""
    busy: int = 4_000
    """Records that are sent beside busy loops, 200 per second."""
    external: int = 60_000
    """Messages of a client of an external feed at full speed."""
    connections: int = 3_000
    """Connections that are opened and ended, of each kind and server."""
    evidence: int = 100_000
    """Records of each run with less and less evidence."""
    half_busy: int = 4_000
    """Records that are sent while half of the processors are busy, 200 per second."""

    @classmethod
    def full(cls) -> Sizes:
        """Return the sizes of `make bench`."""
        return cls(
            rounds=5,
            warm_up=50_000,
            generator=512_000,
            full_speed=400_000,
            fixed_rate=10_000,
            fan_out=1_000_000,
            naive=10_000,
            fan_out_seconds=0.6,
            subscribers=(5, 200),
            all_peers=True,
            containers=True,
        )

    @classmethod
    def quick(cls) -> Sizes:
        """Return the sizes of `make bench QUICK=1`."""
        return cls(
            rounds=1,
            warm_up=0,
            generator=128_000,
            full_speed=100_000,
            fixed_rate=2_000,
            fan_out=400_000,
            naive=3_000,
            fan_out_seconds=0.3,
            subscribers=(5,),
            all_peers=False,
            containers=False,
            busy=600,
            external=6_000,
            connections=300,
            evidence=5_000,
            half_busy=300,
        )


@dataclass
class Figures:
    """The values of every metric, one per round; the metrics that were skipped, with the reason; and the other servers.

    ``peers`` has the settings of each other server that differ from its defaults, by its name with its version.
    """

    values: dict[Metric, list[float]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    peers: dict[str, str] = field(default_factory=dict)

    def add(self, metric: Metric, value: float) -> None:
        """Add the value of one round."""
        self.values.setdefault(metric, []).append(value)

    def skip(self, name: str, reason: str) -> None:
        """Record that something is not measured, for the table."""
        self.skipped[name] = reason

    def median(self, metric: Metric) -> float:
        """Return the median over the rounds."""
        return median(self.values[metric])

    def meets_target(self, metric: Metric) -> bool | None:
        """Return whether the median meets its target, None if there is no target or too few rounds."""
        if metric.target is None or len(self.values[metric]) < metric.rounds:
            return None
        value = self.median(metric)
        return value >= metric.target if metric.better == "more" else value <= metric.target


def free_port() -> int:
    """Return a port that no process listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**settings: object) -> dict[str, str]:
    """Return this process's environment with these settings and no others.

    Writing bytecode is allowed, so that later starts find it, as in the images: compiling the libraries at every start
    would take time and memory that the figures should not include.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in (*BY_NAME, "PYTHONDONTWRITEBYTECODE")}
    return {**inherited, **{name: str(value) for name, value in settings.items()}}


def cpu_seconds(pid: int) -> float | None:
    """Return the CPU time that a process has used, None if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / _TICKS


def cpu_clock(pid: int) -> float:
    """Return the CPU time of all threads of a process, in seconds with nanosecond resolution."""
    # The clock id of another process's CPU clock, computed as in the C library's clock_getcpuclockid().
    return time.clock_gettime((~pid << 3) | 2)


def children(pid: int) -> dict[int, str]:
    """Return the process ids of a process's children, with the Python module that each runs."""
    modules = {}
    for path in Path("/proc").iterdir():
        if not path.name.isdecimal():
            continue
        try:
            parent = (path / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[1]
            command = (path / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if int(parent) == pid and b"-m" in command:
            modules[int(path.name)] = command[command.index(b"-m") + 1].decode()
    return modules
