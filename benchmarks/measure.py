"""What all benchmarks share: how much they do, where their figures go, and how processor time is read."""

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


class BooksOpen(Exception):
    """A run did not end with closed books: its figures mean nothing."""


class Metric(NamedTuple):
    """What is measured, its unit, which way is better, and the floor or ceiling it is held to.

    It is held to it when its median is of at least ``rounds`` rounds: less says nothing where one differs from the next
    by more than what the target is about.
    """

    name: str
    unit: str
    better: Literal["more", "less"]
    target: float | None = None
    rounds: int = 1


class Sizes(NamedTuple):
    """How many rounds, and how many records each benchmark plays.

    A comparison of fan-outs takes each server about so many seconds of its processor time, to each number of
    subscribers.
    """

    rounds: int
    warm_up: int
    generator: int
    flat_out: int
    paced: int
    fan_out: int
    naive: int
    fan_out_seconds: float
    subscribers: tuple[int, ...]
    all_peers: bool
    containers: bool
    """Whether the latency, and the age of the published numbers, are measured through containers too."""
    busy: int = 4_000
    """Records that are played beside busy loops, 200 a second."""

    @classmethod
    def full(cls) -> Sizes:
        """Return what `make bench` does."""
        return cls(
            rounds=5,
            warm_up=50_000,
            generator=512_000,
            flat_out=400_000,
            paced=10_000,
            fan_out=1_000_000,
            naive=10_000,
            fan_out_seconds=0.6,
            subscribers=(5, 200),
            all_peers=True,
            containers=True,
        )

    @classmethod
    def quick(cls) -> Sizes:
        """Return what `make bench QUICK=1` does."""
        return cls(
            rounds=1,
            warm_up=20_000,
            generator=128_000,
            flat_out=200_000,
            paced=3_000,
            fan_out=400_000,
            naive=5_000,
            fan_out_seconds=0.4,
            subscribers=(5, 200),
            all_peers=False,
            containers=False,
            busy=2_000,
        )


@dataclass
class Figures:
    """The values of every metric, one for each round; and what could not be measured here, with the reason."""

    values: dict[Metric, list[float]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def add(self, metric: Metric, value: float) -> None:
        """Note one round's value."""
        self.values.setdefault(metric, []).append(value)

    def skip(self, name: str, why: str) -> None:
        """Note that something is not measured, so that the table says it."""
        self.skipped[name] = why

    def median(self, metric: Metric) -> float:
        """Return the median over the rounds."""
        return median(self.values[metric])

    def met(self, metric: Metric) -> bool | None:
        """Tell whether the median keeps its target, None when there is none, or were too few rounds."""
        if metric.target is None or len(self.values[metric]) < metric.rounds:
            return None
        value = self.median(metric)
        return value >= metric.target if metric.better == "more" else value <= metric.target


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**settings: object) -> dict[str, str]:
    """Return this process's environment with these settings and no others.

    Bytecode may be written, so that what follows the first start finds it, as in the images: else every start compiles
    the libraries again, which takes time, and leaves memory that is counted for nobody.
    """
    mine = {name: value for name, value in os.environ.items() if name not in (*BY_NAME, "PYTHONDONTWRITEBYTECODE")}
    return {**mine, **{name: str(value) for name, value in settings.items()}}


def cpu_seconds(pid: int) -> float | None:
    """Return the processor time that a process has used, None when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / _TICKS


def cpu_clock(pid: int) -> float:
    """Return the processor time that a process with all its threads has used, in seconds, to the nanosecond."""
    # The kernel's clock of another process, as the C library's clock_getcpuclockid() numbers it.
    return time.clock_gettime((~pid << 3) | 2)


def children(pid: int) -> dict[int, str]:
    """Return a process's children with the module that each runs."""
    found = {}
    for path in Path("/proc").iterdir():
        if not path.name.isdecimal():
            continue
        try:
            parent = (path / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[1]
            words = (path / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if int(parent) == pid and b"-m" in words:
            found[int(path.name)] = words[words.index(b"-m") + 1].decode()
    return found
