"""Measures all servers with the profile, one after the other."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.peers.install import NotAvailable
from benchmarks.profile.measurement import Outcome, run_profile
from benchmarks.profile.servers import CANDIDATES
from benchmarks.scale.serving import open_file_limit
from benchmarks.scale.sizes import Profile

SEED = 42
FULL = Profile(1_000, 2, 120, 15, 2)
"""The published profile, with a tenth of its clients."""
QUICK = Profile(200, 2, 30, 5, 2)
TINY = Profile(60, 2, 4, 2, 1)
"""Enough to check that all deliveries are classified, in ten seconds per server."""
PUBLISHED = FULL._replace(clients=10_000)
"""The published profile with its own number of clients."""
RESUMING = ("ours", "npm socket.io with recovery")
"""The servers by which no client loses anything."""


class Results(NamedTuple):
    """The outcomes by server, and the reasons for which other servers were skipped."""

    profile: Profile
    seed: int
    outcomes: list[Outcome]
    skipped: dict[str, str]

    @property
    def is_consistent(self) -> bool:
        """Whether the logs of all servers are consistent."""
        return all(outcome.is_consistent for outcome in self.outcomes)


def measure(folder: Path, profile: Profile, seed: int = SEED, names: Sequence[str] = tuple(CANDIDATES)) -> Results:
    """Measure the servers with these names, with the same cuts.

    Raises:
        InvalidRun: a server or its clients ended early.
    """
    results = Results(profile, seed, [], {})
    if (most := open_file_limit()) < profile.clients:
        results.skipped.update(dict.fromkeys(names, f"a process may open {most:,} files"))
        return results
    for name in names:
        try:
            candidate = CANDIDATES[name]()
        except NotAvailable as reason:
            results.skipped[name] = str(reason)
            continue
        began, server_folder = time.monotonic(), folder / f"profile-{len(results.outcomes)}"
        results.outcomes.append(run_profile(candidate, server_folder, profile, seed))
        shutil.rmtree(server_folder)
        print(f"profile, {candidate.title}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return results
