"""``make foreign``: every foreign server, as it is and harmed; prints server, fault, injected and reported.

Ends with 1 when anything is reported that was not injected, or the other way round, and when no server could be had.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks.peers.install import NotHere
from chaos.external.servers import EVERY, Foreign
from chaos.external.verification import Judged, judge

HEADS = ("server", "run", "fault", "injected", "reported", "verdict")
FORM = "{:<22}{:<10}{:<14}{:>9}{:>10}  {}"
FAULTS = ("dropped", "doubled", "swapped")


def main(arguments: Sequence[str]) -> int:
    """Judge the servers that are named, all when none is; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m chaos.external", description=__doc__.partition("\n")[0] if __doc__ else ""
    )
    parser.add_argument("servers", nargs="*", help=f"of {', '.join(one.name for one in EVERY)}; all when none is named")
    chosen = parser.parse_args(arguments).servers
    print(FORM.format(*HEADS), flush=True)
    right, tried = True, 0
    for server in (one for one in EVERY if not chosen or one.name in chosen):
        for harm in (False, True):
            told = _one(server, harm=harm)
            if told is None:
                break
            tried += 1
            right &= told
    return 0 if right and tried else 1


def _one(server: Foreign, *, harm: bool) -> bool | None:
    try:
        judged = judge(server, harm=harm)
    except NotHere as why:
        print(f"{server.name:<22}not tried: {why}", flush=True)
        return None
    expected = "FAIL" if harm else "PASS"
    for fault, injected, reported in zip(FAULTS, judged.injected, judged.reported, strict=True):
        verdict = judged.summary["verdict"]
        print(
            FORM.format(server.name, "harmed" if harm else "as it is", fault, injected, reported, verdict), flush=True
        )
    return is_right(judged) and judged.summary["verdict"] == expected


def is_right(judged: Judged) -> bool:
    """Tell whether exactly what was injected is reported, of the one client that was harmed."""
    return judged.injected == judged.reported and judged.others == (0, 0, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
