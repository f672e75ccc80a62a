"""The sizes of the scale benchmarks."""

from __future__ import annotations

from typing import NamedTuple


class Profile(NamedTuple):
    """Connections with cuts: ``clients`` receive ``records`` records at ``rate`` per second.

    Each client is cut about every ``every`` seconds, and stays away for ``away`` seconds.
    """

    clients: int
    rate: float
    records: int
    every: float
    away: float


class Sizes(NamedTuple):
    """The sizes of one round of each benchmark."""

    rounds: int
    cuts: tuple[Profile, ...]
    growth: tuple[tuple[int, int], ...]
    """Connections, ascending, and records; each pair gives the same number of deliveries."""
    two_servers: tuple[int, int]
    """Connections and records of a run with two server processes on one port."""
    paced: int
    """Records of a run with or without slow neighbours, at 1,000 per second."""
    volumes: tuple[int, ...]
    """Sizes of the folders to verify, in MB; sizes for which the disk is too small are skipped with a message."""
    logging: int
    """Clients that log, for the memory of the collector."""
    appended: int
    """Blocks that are appended while the collector runs."""
    idle: float
    """Seconds for which an idle collector is measured."""

    @classmethod
    def full(cls) -> Sizes:
        """Return the sizes of `make bench`."""
        return cls(
            rounds=5,
            # The profile of a published benchmark (10,000 clients, on 32 cores), and half of it.
            cuts=(Profile(5_000, 2, 120, 15, 2), Profile(10_000, 2, 120, 15, 2)),
            growth=((5, 2_000_000), (200, 50_000), (5_000, 2_000)),
            two_servers=(200, 50_000),
            paced=6_000,
            volumes=(20, 100, 1_000, 10_000),
            logging=5_000,
            appended=60,
            idle=5,
        )

    @classmethod
    def quick(cls) -> Sizes:
        """Return the sizes of `make bench QUICK=1`."""
        return cls(
            rounds=1,
            cuts=(Profile(300, 2, 5, 2, 1),),
            growth=((5, 100_000), (200, 2_500)),
            two_servers=(50, 10_000),
            paced=600,
            volumes=(20,),
            logging=100,
            appended=4,
            idle=2,
        )
