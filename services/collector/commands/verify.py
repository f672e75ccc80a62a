"""Checks any volumes folder offline: every fault with file, line and seq, every missing range with its cause."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from services.collector import formatting
from services.collector.commands import salvage
from services.collector.commands.run_loader import VolumesNotFound, books_of, new_folder, runs_of
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.results.client_result import ClientResult
from services.collector.results.client_result_external import ExternalClientResult
from services.collector.settings import CollectorSettings, read_limits
from services.collector.verdict.summary import JudgedRun, judged
from services.collector.verdict.thresholds import ThresholdLimit
from services.contract.summary import EXIT_CODES, Summary
from services.runtime.cli import Commands
from services.runtime.errors import UnwritableFolder


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add(
        "verify",
        "check a volumes folder offline: every fault with file, line and seq",
        run,
        {
            "verify volumes": "all runs of a folder; the exit code is the worst verdict's",
            "verify volumes --thresholds 'latency{client:*}.p99<50ms, missing==0'": "holds every run to these limits",
            "verify volumes --salvage saved": "copies what is good of damaged logs into valid files again",
            "verify volumes --run 20261122T073000Z --json": "one run, its summary as one line of JSON",
        },
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="the folder that holds logs/ and ledger/")
    parser.add_argument("--json", action="store_true", help="print each run's summary as one line of JSON")
    parser.add_argument("--run", help="check this run alone")
    parser.add_argument(
        "--salvage", metavar="OUT", type=Path, help="copy what is good into this folder, which is empty or new"
    )
    parser.add_argument("--thresholds", metavar="LIMITS", help="hold the runs to these and not to THRESHOLDS")


def run(chosen: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Check the folder that was chosen; return the exit code."""
    verdicts: list[str | None] = []
    given = chosen.thresholds
    limits = CollectorSettings.read(environment).limits if given is None else read_limits("--thresholds", given)
    out = None if chosen.salvage is None else new_folder("--salvage", _outside(chosen.folder, chosen.salvage))
    salvaged = []
    for found in check(chosen.folder, limits, chosen.run):
        made = found.summary
        sys.stdout.write(json_line(made) if chosen.json else text(found))
        verdicts.append(made.verdict)
        if out is not None:
            salvaged.append(_salvaged(chosen.folder, made, found.evidence.books, out))
            (copy,) = check(out, limits, made.run)
            sys.stdout.write("" if chosen.json else salvage.text(salvaged[-1], copy.summary))
    if out is not None:
        (out / salvage.NAME).write_bytes(msgspec.json.format(msgspec.json.encode(salvaged)) + b"\n")
    if not verdicts:
        print(f"{chosen.folder}: no run", file=sys.stderr)
    return exit_code(verdicts)


def _outside(volumes: Path, out: Path) -> Path:
    if any(out.resolve().is_relative_to((volumes / side).resolve()) for side in ("logs", "ledger")):
        raise VolumesNotFound(f"--salvage {out}: it lies among the books themselves; name a folder elsewhere")
    return out


def _salvaged(volumes: Path, made: Summary, books: RunEvidence, out: Path) -> salvage.SalvageResult:
    try:
        return salvage.salvage(volumes, books, made.faults, out)
    except OSError as problem:
        why = (problem.strerror or str(problem)).lower()
        raise UnwritableFolder(str(out), why, "fix: make space, or name another folder for --salvage") from problem


def check(volumes: Path, limits: Sequence[ThresholdLimit] = (), run: str | None = None) -> Iterator[JudgedRun]:
    """Read every run of a folder, or one, and judge it as it stands.

    Raises:
        NoVolumes: the folder is no volumes folder, or does not hold the run.
    """
    for name in runs_of(volumes, run):
        books = books_of(volumes, name)
        yield judged(books, limits, final=True, made_at=books.ended_at)


def exit_code(verdicts: Sequence[str | None]) -> int:
    """Return the code of the worst verdict: a proven failure before a doubt. No run at all proves nothing."""
    codes = [EXIT_CODES[verdict] for verdict in verdicts] or [EXIT_CODES["INVALID"]]
    return max(codes)


def text(found: JudgedRun) -> str:
    """Return what there is to say of one run."""
    made = found.summary
    lines = [f"{made.run}  {made.verdict}  {made.headline}"]
    lines += [f"  {formatting.fault(fault)}" for fault in made.faults]
    lines += [line for account in found.evidence.accounts for line in _missing(account)]
    lines += [f"  {reason}" for reason in made.reasons[1:]]
    lines += [f"  {formatting.MARKS[limit.ok]} {limit.expression}  {limit.detail}" for limit in made.thresholds]
    lines.append(f"  residual {formatting.count(made.totals.residual)}")
    return "\n".join(lines) + "\n"


def _missing(account: ClientResult) -> Iterator[str]:
    for cause, seqs in account.causes.items():
        for first, last in seqs:
            yield f"  {account.client}  missing seq {first}-{last}  {formatting.CAUSE_WORDS[cause]}"
    if isinstance(account, ExternalClientResult):
        for key, numbers in account.unreadable.items():
            for first, last in numbers:
                which = f"{first}-{last}" if key is None else f"{key} {first}-{last}"
                yield f"  {account.client}  seq {which}  {formatting.UNREADABLE}"


def json_line(made: Summary) -> str:
    """Return a summary as one line of JSON."""
    return msgspec.json.encode(made).decode() + "\n"
