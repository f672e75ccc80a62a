"""``python -m benchmarks``: runs all benchmarks and prints the figures; exits with 1 if a run lost or repeated records.

At the end it names each figure that became worse, by more than its noise, since the last full run. ``QUICK=1`` makes
one round of smaller runs, and updates neither ``docs/performance.md`` nor ``docs/performance.json``.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from benchmarks import busy, comparison, containers, evidence, fanout, generator, half_busy, report, system
from benchmarks.external import suite as external
from benchmarks.measure import Figures, InvalidRun, Sizes
from benchmarks.peers import connecting, naive
from benchmarks.peers import fanout as peers
from benchmarks.profile import figures as profile_figures
from benchmarks.profile import report as profile_report
from benchmarks.profile import suite as profile
from benchmarks.scale import sizes as scale_sizes
from benchmarks.scale import suite as scale
from tests import doc_tables

DOCUMENT, FIGURES = Path("docs/performance.md"), Path("docs/performance.json")


def measure(sizes: Sizes, folder: Path) -> Figures:
    """Run every benchmark once per round, one after the other, after a warm-up that does not count."""
    figures = Figures()
    servers = peers.prepare(figures, sizes, folder)
    if sizes.warm_up:
        system.full_speed(Figures(), folder / "warm-up", sizes.warm_up)
    for number in range(1, sizes.rounds + 1):
        began = time.monotonic()
        generator.measure(figures, sizes.generator)
        system.full_speed(figures, folder / f"flat-out-{number}", sizes.full_speed)
        naive.measure(figures, folder, sizes.naive)
        system.fixed_rate(figures, folder / f"paced-{number}", sizes.fixed_rate)
        if sizes.containers:
            containers.fixed_rate(figures, folder / f"containers-{number}", sizes.fixed_rate)
        fanout.measure(figures, folder / f"fan-out-{number}", sizes.fan_out)
        peers.measure(figures, folder, servers, sizes)
        connecting.measure(figures, folder / f"connecting-{number}", sizes.connections)
        evidence.measure(figures, folder / f"evidence-{number}", sizes.evidence)
        external.measure(figures, folder, sizes.external)
        print(f"round {number} of {sizes.rounds}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return figures


def main() -> int:
    """Measure, print the report and the comparison, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures of every round to this file")
    parser.add_argument("--against", type=Path, default=FIGURES, help=f"compare with this file; {FIGURES} by default")
    parser.add_argument("--no-document", action="store_true", help=f"update neither {DOCUMENT} nor {FIGURES}")
    arguments = parser.parse_args()
    is_quick = os.environ.get("QUICK", "") not in ("", "0")
    try:
        # Read first, since a full run replaces the file.
        before = comparison.EarlierRun.of(arguments.against.read_bytes())
    except (OSError, msgspec.MsgspecError) as problem:
        parser.error(f"--against {arguments.against}: {problem}")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        try:
            figures, profile_results = _measure_all(Path(folder), is_quick=is_quick)
        except InvalidRun as problem:
            print(f"error: {problem}", file=sys.stderr)
            return 1
    details = {"profile": profile_report.as_dict(profile_results)}
    report.print_report(figures, arguments.json, **details)
    profile_report.print_errors(profile_results)
    compared = comparison.compare(before, figures)
    print(comparison.report(before, compared, doc_tables.conditions(), is_quick=is_quick))
    if not profile_results.is_consistent:
        return 1
    if not is_quick and not arguments.no_document:
        doc_tables.write(DOCUMENT, report.table(figures))
        doc_tables.write(DOCUMENT, profile_report.table(profile_results), profile_report.MARK)
        FIGURES.write_text(report.as_json(figures, report.today()), encoding="utf-8")
    return 0


def _measure_all(folder: Path, *, is_quick: bool) -> tuple[Figures, profile.Results]:
    """Run every benchmark; return the figures, and the outcomes of the profile with the most servers."""
    sizes = Sizes.quick() if is_quick else Sizes.full()
    figures = measure(sizes, folder)
    if is_quick:
        # The figure of neighbours is a difference of runs in turn, and one round says nothing about it.
        names = [name for name in scale.BENCHMARKS if name != "neighbours"]
        scale.measure(figures, folder, scale_sizes.Sizes.quick(), names)
    else:
        scale.measure(figures, folder, scale_sizes.Sizes.full())
    busy.measure(figures, folder / "busy", sizes.busy, containers=sizes.containers)
    for number in range(sizes.rounds):
        half_busy.measure(figures, folder / f"half-busy-{number}", sizes.half_busy)
    if is_quick:
        results = profile.measure(folder, profile.TINY, names=profile.RESUMING)
    else:
        results = profile.measure(folder, profile.FULL)
        profile_figures.add(figures, profile.measure(folder, profile.PUBLISHED, names=profile.RESUMING))
    profile_figures.add(figures, results)
    return figures, results


if __name__ == "__main__":
    sys.exit(main())
