"""`verify`: checks a volumes folder offline, and prints each fault with file, line and seq, each gap with its cause."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from services.collector import formatting
from services.collector.commands.reading_progress import reading
from services.collector.commands.run_loader import VolumesNotFound, add_jobs, load_evidence, new_folder, runs_of
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.results.build import build_result
from services.collector.results.client_result import ClientResult
from services.collector.results.run_result import RunResult
from services.collector.verdict.summary import summarise
from services.collector.verdict.threshold_settings import chosen_limits
from services.collector.verdict.thresholds import ThresholdLimit
from services.contract.summary import EXIT_CODES, Summary
from services.runtime.cli import Commands
from services.runtime.errors import UnwritableFolder
from services.runtime.output import printable

if TYPE_CHECKING:
    from services.collector.commands.salvage import SalvageResult


class VerifiedRun(NamedTuple):
    """A run with its summary, and the result and evidence it was made of."""

    summary: Summary
    result: RunResult
    evidence: RunEvidence


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = commands.add(
        "verify",
        "check a volumes folder offline: every fault with file, line and seq",
        run,
        {
            "verify volumes": "all runs of a folder; the exit code is the worst verdict's",
            "verify volumes --thresholds 'latency{client:*}.p99<50ms, missing==0'": "checks every run against limits",
            "verify volumes --salvage saved": "copies the good lines of damaged logs into valid files",
            "verify volumes --run 20261122T073000Z --json": "one run, its summary as one line of JSON",
        },
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="the folder that holds logs/ and ledger/")
    parser.add_argument("--json", action="store_true", help="print each run's summary as one line of JSON")
    parser.add_argument("--run", help="check only this run")
    parser.add_argument(
        "--salvage", metavar="OUT", type=Path, help="copy the good lines into this folder, which is empty or new"
    )
    parser.add_argument("--thresholds", metavar="LIMITS", help="check the runs against these instead of THRESHOLDS")
    add_jobs(parser)


def run(chosen: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Check the chosen folder; return the exit code."""
    verdicts: list[str | None] = []
    limits = chosen_limits(chosen.thresholds, environment)
    copies = None if chosen.salvage is None else _Copies(chosen.folder, chosen.salvage, limits, chosen.jobs)
    for verified in check(chosen.folder, limits, chosen.run, jobs=chosen.jobs):
        summary = verified.summary
        sys.stdout.write(json_line(summary) if chosen.json else text(verified))
        verdicts.append(summary.verdict)
        if copies is not None:
            about = copies.add(summary, verified.evidence)
            sys.stdout.write("" if chosen.json else about)
    if copies is not None:
        copies.finish()
    if not verdicts:
        print(f"{chosen.folder}: no run", file=sys.stderr)
    return exit_code(verdicts)


class _Copies:
    """The folder into which ``--salvage`` copies the good lines of each run.

    Raises:
        OperatorError: the folder is inside ``logs/`` or ``ledger/``, or is not empty.
    """

    def __init__(self, volumes: Path, out: Path, limits: Sequence[ThresholdLimit], jobs: int) -> None:
        if any(out.resolve().is_relative_to((volumes / side).resolve()) for side in ("logs", "ledger")):
            raise VolumesNotFound(f"--salvage {out}: it is inside logs/ or ledger/ itself; name a folder elsewhere")
        # Imported here, since it would be a tenth of the start of every other `verify`.
        from services.collector.commands import salvage  # noqa: PLC0415

        self._salvage = salvage
        self._volumes, self._out = volumes, new_folder("--salvage", out)
        self._limits, self._jobs = limits, jobs
        self._results: list[SalvageResult] = []

    def add(self, summary: Summary, evidence: RunEvidence) -> str:
        """Copy the good lines of a run; return the text about the copy."""
        try:
            # Each line is read twice: to find the good ones, and to copy them.
            with reading(self._volumes, [evidence.run], does="copying", times=2) as progress:
                result = self._salvage.salvage(self._volumes, evidence, summary.faults, self._out, progress.add)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            fix = "fix: make space, or name another folder for --salvage"
            raise UnwritableFolder(str(self._out), reason, fix) from error
        self._results.append(result)
        # The copy is judged by its files, as any other folder is, and not by the survey that wrote them.
        (copy,) = check(self._out, self._limits, summary.run, jobs=self._jobs, does="reading the copy")
        return self._salvage.text(result, copy.summary)

    def finish(self) -> None:
        """Write the results of all runs into the folder."""
        text_of = msgspec.json.format(msgspec.json.encode(self._results))
        (self._out / self._salvage.NAME).write_bytes(text_of + b"\n")


def check(
    volumes: Path,
    limits: Sequence[ThresholdLimit] = (),
    run: str | None = None,
    *,
    jobs: int = 1,
    does: str = "reading",
) -> Iterator[VerifiedRun]:
    """Read every run of a folder, or one, and yield its verdict.

    Args:
        volumes: the folder.
        limits: that every run is checked against.
        run: the only run to be read; None for all of them.
        jobs: the highest number of processes that read one run.
        does: what the progress calls this.

    Raises:
        VolumesNotFound: the folder is not a volumes folder, or does not contain the run.
        ReadingFailed: one of the processes that read a large run ended early.
    """
    runs = runs_of(volumes, run)
    with reading(volumes, runs, does=does) as progress:
        for name in runs:
            evidence = load_evidence(volumes, name, jobs, progress)
            result = build_result(evidence, final=True)
            progress.erase()
            yield VerifiedRun(summarise(result, limits, made_at=evidence.ended_at), result, evidence)


def exit_code(verdicts: Sequence[str | None]) -> int:
    """Return the exit code of the worst verdict: FAIL, then INVALID, then PASS. Without a run it is that of INVALID."""
    # A folder without a run proves nothing. The code of FAIL is the highest, so a proved failure outranks a doubt.
    codes = [EXIT_CODES[verdict] for verdict in verdicts] or [EXIT_CODES["INVALID"]]
    return max(codes)


def text(verified: VerifiedRun) -> str:
    """Return the text about one run."""
    summary = verified.summary
    lines = [f"{summary.run}  {summary.verdict}  {summary.headline}"]
    lines += [f"  {formatting.fault(fault)}" for fault in summary.faults]
    lines += [line for client in verified.result.clients for line in _missing(client)]
    # The first reason is the headline already.
    lines += [f"  {reason}" for reason in summary.reasons[1:]]
    lines += [f"  {formatting.MARKS[limit.ok]} {limit.expression}  {limit.detail}" for limit in summary.thresholds]
    lines.append(f"  residual {formatting.count(summary.totals.residual)}")
    return "\n".join(map(printable.one_line, lines)) + "\n"


def _missing(client: ClientResult) -> Iterator[str]:
    for cause, seqs in client.lost.items():
        for first, last in seqs:
            yield f"  {client.client}  missing seq {first}-{last}  {formatting.CAUSE_WORDS[cause]}"
    for key, numbers in client.external.unreadable.items():
        for first, last in numbers:
            which = f"{first}-{last}" if key is None else f"{formatting.displayable(key)} {first}-{last}"
            yield f"  {client.client}  seq {which}  {formatting.UNREADABLE}"


def json_line(summary: Summary) -> str:
    """Return a summary as one line of JSON."""
    return printable.json_text(msgspec.json.encode(summary).decode()) + "\n"
