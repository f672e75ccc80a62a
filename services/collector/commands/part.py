"""`part`: writes the result of the clients of one folder into a file, to be merged with those of other nodes."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from services.collector import formatting
from services.collector.commands.run_loader import VolumesNotFound, add_jobs, load_evidence, runs_of
from services.collector.results import run_part
from services.collector.results.builders.part_builder import build_part
from services.collector.results.run_part import MOST_ABSENT, EvidencePart, RunPart
from services.collector.results.run_result import NotMergeable
from services.collector.verdict.threshold_settings import chosen_limits
from services.collector.verdict.thresholds import ThresholdLimit
from services.runtime import durable_file
from services.runtime.cli import Commands
from services.runtime.errors import OperatorError, UnwritableFolder


class NoPart(OperatorError):
    """No part can be made of the run."""


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = commands.add(
        "part",
        "write the result of this node's clients into a file, for `merge`",
        run,
        {
            "part volumes --out node-1.part": "the newest run; the folder has the whole ledger and some of the logs",
            "part volumes --absent --out rest.part": "also the clients that the ledger names and that have no log here",
        },
        exits="exit codes: 0 written, 104 bad configuration, 105 aborted",
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="the folder that holds logs/ and the whole ledger/")
    parser.add_argument("--run", help="the run; the newest if none is named")
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help="the file to write")
    parser.add_argument(
        "--absent",
        action="store_true",
        help=f"include clients without a log here; always done if the ledger names at most {MOST_ABSENT:,}",
    )
    parser.add_argument("--thresholds", metavar="LIMITS", help="the limits that `merge` checks, instead of THRESHOLDS")
    add_jobs(parser)


def run(chosen: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Write the part; return 0."""
    limits = chosen_limits(chosen.thresholds, environment)
    runs = runs_of(chosen.folder)
    if not runs:
        raise VolumesNotFound(f"{chosen.folder}: no run")
    (name,) = runs_of(chosen.folder, chosen.run or runs[-1])
    evidence = load_evidence(chosen.folder, name, chosen.jobs)
    part = build_part(evidence, [limit.expression for limit in limits], absent=chosen.absent)
    try:
        data = _encoded(part, limits)
    except NotMergeable as error:
        raise NoPart(f"{chosen.folder}: {error}; copy all logs into one folder, and use verify") from error
    try:
        durable_file.replace(chosen.out, data, durable=False)
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise UnwritableFolder(str(chosen.out), reason, "fix: name a file in a writable folder with --out") from error
    logged = formatting.several(len(evidence.logs), "client")
    print(f"{name}  {logged} with a log  {formatting.size(len(data))} in {chosen.out}")
    return 0


def _encoded(part: RunPart | EvidencePart, limits: Sequence[ThresholdLimit]) -> bytes:
    if isinstance(part, EvidencePart):
        return run_part.encode_evidence(part)
    return run_part.encode(part, [limit.statistic for limit in limits if isinstance(limit.statistic, float)])
