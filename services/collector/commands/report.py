"""`report`: makes the files of a run again from its ledger and logs, byte for byte as the collector wrote them."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from services.collector.commands import verify
from services.collector.commands.run_loader import VolumesNotFound, add_jobs, load_evidence, runs_of
from services.collector.publish.files import run_files
from services.collector.publish.files.run_files import render_files
from services.collector.publish.terminal import summary_text
from services.collector.publish.terminal.printer import summary_width
from services.collector.publish.view_model import view
from services.collector.settings import CollectorSettings
from services.collector.verdict.snapshot import Snapshot, snapshot
from services.collector.verdict.threshold_settings import read_limits
from services.contract.summary import EXIT_CODES
from services.runtime import durable_file
from services.runtime.cli import Commands
from services.runtime.errors import UnwritableFolder


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = commands.add(
        "report",
        "make the files of a run again, from its logs and its ledger alone",
        run,
        {
            "report volumes": "the newest run; its files in volumes/summary/RUN are written again",
            "report volumes --run 20261122T073000Z --out here": "writes them to another folder and nothing to volumes",
            "report volumes --json | jq .totals": "the content of summary.json as one line",
            "report volumes --thresholds 'latency.p99<50ms'": "as if these limits had been set",
        },
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="the folder that holds logs/ and ledger/")
    parser.add_argument("--run", help="the run; the newest if none is named")
    parser.add_argument("--json", action="store_true", help="print the summary as one line of JSON")
    parser.add_argument("--out", metavar="FOLDER", type=Path, help="folder of the files; DIR/summary/RUN if not given")
    parser.add_argument("--thresholds", metavar="LIMITS", help="check the run against these instead of THRESHOLDS")
    add_jobs(parser)


def run(chosen: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Make the chosen files and print the summary; return the exit code of the verdict."""
    settings, volumes = CollectorSettings.read(environment), chosen.folder
    limits = settings.limits if chosen.thresholds is None else read_limits("--thresholds", chosen.thresholds)
    runs = runs_of(volumes)
    if not runs:
        raise VolumesNotFound(f"{volumes}: no run")
    (name,) = runs_of(volumes, chosen.run or runs[-1])
    evidence = load_evidence(volumes, name, chosen.jobs)
    # Dated by the end of the run, so that the same evidence gives the same bytes at any time (ADR 42).
    taken = snapshot(evidence, limits, final=True, made_at=evidence.ended_at)
    if chosen.out is not None:
        # Before the summary, which names the folder.
        with _writing_to(chosen.out):
            chosen.out.mkdir(parents=True, exist_ok=True)
    if chosen.json:
        sys.stdout.write(verify.json_line(taken.summary))
    else:
        places = run_files.places(volumes, name) if chosen.out is None else f"files in {chosen.out}"
        colour = settings.colour and sys.stdout.isatty()
        print(summary_text.render(view(taken, places), colour=colour, width=summary_width()))
    if chosen.out is None and taken.summary.state != "closed":
        # The collector of the run may still be writing these files.
        print(f"run {name} has no end: its files were not written; --out writes them elsewhere", file=sys.stderr)
    else:
        _write(taken, volumes, chosen.out, newest=name == runs[-1])
    return EXIT_CODES[taken.summary.verdict]


def _write(taken: Snapshot, volumes: Path, out: Path | None, *, newest: bool) -> None:
    with _writing_to(out or run_files.summary_path(volumes, taken.summary.run).parent):
        if out is None:
            run_files.store(volumes, taken, newest=newest)
            return
        for name, data in render_files(taken).items():
            # Not synced: these files can be made again at any time.
            durable_file.replace(out / name, data, durable=False)


@contextlib.contextmanager
def _writing_to(folder: Path) -> Iterator[None]:
    """Report a folder that cannot be written as the operator's error."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise UnwritableFolder(f"{folder}", reason, "fix: name a writable folder with --out") from error
