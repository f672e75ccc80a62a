"""How much the scale benchmarks do."""

from __future__ import annotations

from typing import NamedTuple


class Profile(NamedTuple):
    """Connections under cuts: ``clients`` are sent ``records`` at ``rate`` a second, and each is cut again and again.

    A client is cut ``every`` seconds, give or take, and stays away for ``away`` seconds.
    """

    clients: int
    rate: float
    records: int
    every: float
    away: float


class Sizes(NamedTuple):
    """What one round of each benchmark takes."""

    rounds: int
    cuts: tuple[Profile, ...]
    growth: tuple[tuple[int, int], ...]
    """Connections, ascending, and records: the same number of deliveries each."""
    paced: int
    """Records of a run without slow neighbours, and of one with them, at 1,000 a second."""
    volumes: tuple[int, ...]
    """Sizes of the folders to verify, in MB; what the disk has no room for is left out, and said."""
    appended: int
    """Blocks that are appended while the collector follows."""
    idle: float
    """Seconds over which an idle collector is watched."""

    @classmethod
    def full(cls) -> Sizes:
        """Return what `make bench` does."""
        return cls(
            rounds=5,
            # The profile of a published benchmark, which did it with 10,000 on 32 cores, and half of it.
            cuts=(Profile(5_000, 2, 120, 15, 2), Profile(10_000, 2, 120, 15, 2)),
            growth=((5, 2_000_000), (200, 50_000), (5_000, 2_000)),
            paced=6_000,
            volumes=(100, 1_000, 10_000),
            appended=60,
            idle=5,
        )

    @classmethod
    def quick(cls) -> Sizes:
        """Return what `make bench QUICK=1` does."""
        return cls(
            rounds=1,
            cuts=(Profile(300, 2, 12, 3, 1),),
            growth=((5, 400_000), (200, 10_000)),
            paced=1_500,
            volumes=(20,),
            appended=6,
            idle=3,
        )
