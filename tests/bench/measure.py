"""What all benchmarks share: how much they do, where their figures go, and how processor time is read."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Literal, NamedTuple

from services.runtime.settings import BY_NAME

_TICKS = os.sysconf("SC_CLK_TCK")


class BooksOpen(Exception):
    """A run did not end with closed books: its figures mean nothing."""


class Metric(NamedTuple):
    """What is measured, its unit, which way is better, and the floor or ceiling it is held to."""

    name: str
    unit: str
    better: Literal["more", "less"]
    target: float | None = None


class Sizes(NamedTuple):
    """How many rounds, and how many records each benchmark plays."""

    rounds: int
    warm_up: int
    generator: int
    flat_out: int
    paced: int
    fan_out: int

    @classmethod
    def full(cls) -> Sizes:
        """Return what `make bench` does."""
        return cls(rounds=5, warm_up=50_000, generator=512_000, flat_out=400_000, paced=10_000, fan_out=1_000_000)

    @classmethod
    def quick(cls) -> Sizes:
        """Return what `make bench QUICK=1` does."""
        return cls(rounds=2, warm_up=20_000, generator=128_000, flat_out=200_000, paced=4_000, fan_out=400_000)


@dataclass
class Figures:
    """The values of every metric, one for each round."""

    values: dict[Metric, list[float]] = field(default_factory=dict)

    def add(self, metric: Metric, value: float) -> None:
        """Note one round's value."""
        self.values.setdefault(metric, []).append(value)

    def median(self, metric: Metric) -> float:
        """Return the median over the rounds."""
        return median(self.values[metric])

    def met(self, metric: Metric) -> bool | None:
        """Tell whether the median keeps its target, None when there is none."""
        if metric.target is None:
            return None
        value = self.median(metric)
        return value >= metric.target if metric.better == "more" else value <= metric.target


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**settings: object) -> dict[str, str]:
    """Return this process's environment with these settings and no others."""
    mine = {name: value for name, value in os.environ.items() if name not in BY_NAME}
    return {**mine, **{name: str(value) for name, value in settings.items()}}


def cpu_seconds(pid: int) -> float | None:
    """Return the processor time that a process has used, None when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / _TICKS


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
