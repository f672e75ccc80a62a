"""``make foreign``: judges the feeds of other servers in every condition, and compares the reports with the truth.

Exits with 1 if a report is not the expected one, or if no server could be tried.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

from chaos.external.conditions import CONDITIONS, long
from chaos.external.decodings import DECODINGS
from chaos.external.false_alarms import RUNS, tallies
from chaos.external.matrix import rows
from chaos.external.page_table import with_rows
from chaos.external.registry import ALL_SERVERS

ROW = "{:<20}{:<23}{:<12}{:<28}{:<28}{}"
HEADINGS = ("server", "preset", "condition", "expected", "reported", "")
_INTERRUPTED = 130
TALLY_ROW = "{:<28}{:>6}{:>14}"


def main(arguments: Sequence[str]) -> int:
    """Test the servers that are named in the arguments, or all; return the exit code."""
    chosen = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ThreadPoolExecutor(chosen.jobs) as pool:
        try:
            if chosen.decodings is not None:
                return _print_tallies(chosen.names, chosen.decodings, pool)
            return _print_matrix(chosen, pool)
        except KeyboardInterrupt:
            return _INTERRUPTED
        finally:
            # The runs that have begun end by themselves, and end their servers.
            pool.shutdown(wait=False, cancel_futures=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m chaos.external", description=__doc__.partition("\n")[0] if __doc__ else ""
    )
    known = ", ".join(f"{server.name} ({server.preset})" for server in ALL_SERVERS)
    parser.add_argument("names", nargs="*", help=f"servers or presets to test, of {known}; default: all")
    conditions = ", ".join(condition.name for condition in CONDITIONS)
    parser.add_argument("--only", metavar="CONDITION", help=f"one condition, of {conditions}")
    parser.add_argument(
        "--long",
        type=float,
        nargs="?",
        const=100.0,
        metavar="SECONDS",
        help="instead, judge one healthy run of this length for each server, 100 s by default",
    )
    parser.add_argument("--jobs", type=int, default=2, help="runs at the same time; default: %(default)s")
    parser.add_argument("--headlines", action="store_true", help="show the headline of every summary")
    parser.add_argument("--page", type=Path, help="a Markdown file into which the table is written, between its marks")
    parser.add_argument(
        "--decodings", nargs="?", const=RUNS, type=int, metavar="RUNS",
        help=f"instead, judge healthy feeds of each kind of decoding, or of those that are named, {RUNS} times: "
        + ", ".join(DECODINGS),
    )  # fmt: skip
    return parser


def _print_matrix(chosen: argparse.Namespace, pool: Executor) -> int:
    names = set(chosen.names)
    servers = [one for one in ALL_SERVERS if not names or {one.name, one.preset} & names]
    conditions = [one for one in CONDITIONS if chosen.only in (None, one.name)]
    if chosen.long is not None:
        conditions = [long(chosen.long)]
    print(ROW.format(*HEADINGS).rstrip(), flush=True)
    count: Counter[str] = Counter()
    found = []
    for row in rows(servers, conditions, pool, has_clients=chosen.long is None):
        found.append(row)
        mark = {True: "right", False: "WRONG", None: "not tried"}[row.is_right]
        count[mark] += 1
        print(ROW.format(row.server, row.preset, row.condition, row.expected, row.reported, mark), flush=True)
        if chosen.headlines or row.is_right is False:
            print(f"    {row.headline}", flush=True)
    if chosen.page is not None:
        order = [(server.name, server.preset) for server in ALL_SERVERS]
        page = chosen.page.read_text(encoding="utf-8")
        page = with_rows(page, found, order, time.strftime("%Y-%m-%d", time.gmtime()))
        chosen.page.write_text(page, encoding="utf-8")
    print(", ".join(f"{count[mark]} {mark}" for mark in ("right", "WRONG", "not tried")), flush=True)
    return 0 if count["right"] and not count["WRONG"] else 1


def _print_tallies(names: Sequence[str], runs: int, pool: Executor) -> int:
    print(TALLY_ROW.format("decoding", "runs", "false alarms"), flush=True)
    alarms = 0
    for tally in tallies([kind for kind in DECODINGS if not names or kind in names], runs, pool):
        alarms += len(tally.alarms) + (tally.runs < runs)
        print(TALLY_ROW.format(tally.kind, tally.runs, len(tally.alarms)), flush=True)
        for alarm in tally.alarms:
            print(f"    {alarm}", flush=True)
    print(f"{alarms} false alarms", flush=True)
    return 1 if alarms else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
