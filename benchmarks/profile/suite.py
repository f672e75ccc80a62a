"""Every server meets the profile in turn."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.peers.install import NotAvailable
from benchmarks.profile.measurement import Outcome, play
from benchmarks.profile.servers import ENTRANTS
from benchmarks.scale.sizes import Profile

SEED = 42
FULL = Profile(1_000, 2, 120, 15, 2)
"""The published profile, with a tenth of its clients."""
QUICK = Profile(200, 2, 30, 5, 2)
TINY = Profile(60, 2, 8, 2, 1)
"""Enough to see that the books of it close, in ten seconds a server."""
FEW = ("ours", "npm ws")


class Results(NamedTuple):
    """What came of it: an outcome for each server that could be had, and why the others could not."""

    profile: Profile
    seed: int
    outcomes: list[Outcome]
    skipped: dict[str, str]

    @property
    def closed(self) -> bool:
        """Whether all books are closed."""
        return all(outcome.closed for outcome in self.outcomes)


def measure(folder: Path, profile: Profile, seed: int = SEED, names: Sequence[str] = tuple(ENTRANTS)) -> Results:
    """Let the servers with these names meet the profile, with the same cuts.

    Raises:
        BooksOpen: a server or its clients ended before their time.
    """
    results = Results(profile, seed, [], {})
    for name in names:
        try:
            entrant = ENTRANTS[name]()
        except NotAvailable as why:
            results.skipped[name] = str(why)
            continue
        began, place = time.monotonic(), folder / f"profile-{len(results.outcomes)}"
        results.outcomes.append(play(entrant, place, profile, seed))
        shutil.rmtree(place)
        print(f"profile, {entrant.title}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return results
