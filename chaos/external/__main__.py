"""``make foreign``: tests external servers without and with injected faults, and prints injected and reported faults.

Exits with 1 if the reported faults differ from the injected ones, or if no server is available.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks.peers.install import NotAvailable
from chaos.external.servers import ALL_SERVERS, ExternalServer
from chaos.external.verification import VerifiedRun, verify_server

HEADINGS = ("server", "run", "fault", "injected", "reported", "verdict")
ROW = "{:<22}{:<12}{:<12}{:>9}{:>10}  {}"
FAULTS = ("dropped", "duplicated", "swapped")


def main(arguments: Sequence[str]) -> int:
    """Test the servers that are named in the arguments, or all; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m chaos.external", description=__doc__.partition("\n")[0] if __doc__ else ""
    )
    known = ", ".join(server.name for server in ALL_SERVERS)
    parser.add_argument("servers", nargs="*", help=f"servers to test, of {known}; default: all")
    names = parser.parse_args(arguments).servers
    print(ROW.format(*HEADINGS), flush=True)
    all_right, tried = True, 0
    for server in (server for server in ALL_SERVERS if not names or server.name in names):
        for inject in (False, True):
            is_right = _verify(server, inject=inject)
            if is_right is None:
                break
            tried += 1
            all_right &= is_right
    return 0 if all_right and tried else 1


def _verify(server: ExternalServer, *, inject: bool) -> bool | None:
    try:
        run = verify_server(server, inject=inject)
    except NotAvailable as reason:
        print(f"{server.name:<22}not available: {reason}", flush=True)
        return None
    expected = "FAIL" if inject else "PASS"
    kind, verdict = "faults" if inject else "no faults", run.summary["verdict"]
    for fault, injected, reported in zip(FAULTS, run.injected, run.reported, strict=True):
        print(ROW.format(server.name, kind, fault, injected, reported, verdict), flush=True)
    return reports_exactly(run) and run.summary["verdict"] == expected


def reports_exactly(run: VerifiedRun) -> bool:
    """Return whether exactly the injected faults are reported, and only for the client that received them."""
    return run.injected == run.reported and run.others == (0, 0, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
