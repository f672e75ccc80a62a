"""`merge`: merges the parts of a run, which `part` wrote on its nodes, and gives the verdict on the whole."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from services.collector import formatting
from services.collector.commands import verify
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.publish.files.run_files import render_files
from services.collector.publish.terminal import summary_text
from services.collector.publish.terminal.printer import summary_width
from services.collector.publish.view_model import view
from services.collector.results.builders.part_builder import merged_course
from services.collector.results.client_result import client_order
from services.collector.results.run_part import EvidencePart, MalformedPart, PartReader, RunPart
from services.collector.results.run_result import TWICE, NotMergeable, RunResult, merge, merged_pulls
from services.collector.verdict.snapshot import Snapshot, empty, snapshot_of, with_clients
from services.collector.verdict.snapshot import snapshot as snapshot_of_evidence
from services.collector.verdict.summary import summarise
from services.collector.verdict.threshold_settings import read_limits
from services.collector.verdict.thresholds import ThresholdLimit
from services.contract.bounds import PART_BYTES
from services.contract.summary import EXIT_CODES
from services.runtime import durable_file
from services.runtime.cli import Commands
from services.runtime.errors import OperatorError, UnwritableFolder


class PartsRefused(OperatorError):
    """Files that are no parts, or no parts of one run."""


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = commands.add(
        "merge",
        "merge the parts of a run that `part` wrote on its nodes: the verdict on all clients",
        run,
        {
            "merge node-*.part": "the summary and the verdict, as if one collector had read all logs",
            "merge node-*.part --out here": "also summary.json, clients.csv, junit.xml and summary.md",
        },
    )
    parser.add_argument("files", metavar="FILE", type=Path, nargs="+", help="the parts, in any order")
    parser.add_argument(
        "--absent", action="store_true", help="clients whose log no part has wrote none: judge them without it"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as one line of JSON")
    parser.add_argument("--out", metavar="FOLDER", type=Path, help="write the files of the run into this folder")


def run(chosen: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Merge the chosen parts and print the summary; return the exit code of the verdict."""
    # A large run has millions of objects, none of which is garbage before the command ends.
    gc.disable()
    parts = read_parts(chosen.files)
    limits = read_limits("thresholds", ",".join(parts[0].thresholds))
    snapshot = merged_snapshot(parts, limits, absent=chosen.absent, drawn=not chosen.json or chosen.out is not None)
    summary = snapshot.summary
    if chosen.json:
        sys.stdout.write(verify.json_line(summary))
    else:
        places = "" if chosen.out is None else f"files in {chosen.out}"
        colour = not environment.get("NO_COLOR") and sys.stdout.isatty()
        print(summary_text.render(view(snapshot, places), colour=colour, width=summary_width()))
    if chosen.out is not None:
        try:
            chosen.out.mkdir(parents=True, exist_ok=True)
            for name, data in render_files(snapshot).items():
                durable_file.replace(chosen.out / name, data, durable=False)
        except OSError as error:
            reason = os.strerror(error.errno or 0).lower()
            raise UnwritableFolder(str(chosen.out), reason, "fix: name a writable folder with --out") from error
    return EXIT_CODES[summary.verdict]


@contextmanager
def _parts_as_data() -> Iterator[None]:
    """Report a contradiction within a part as one: a part comes from another host, and only its form was checked.

    Raises:
        PartsRefused: in place of the errors to which values of a wrong type or range lead.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise PartsRefused(f"a part contradicts itself: {type(error).__name__}: {error}") from error


@_parts_as_data()
def read_parts(files: Sequence[Path]) -> list[RunPart] | list[EvidencePart]:
    """Read the parts of one run.

    Raises:
        PartsRefused: a file cannot be read, is no part, or is of another run, version, ledger or other settings.
    """
    reader, parts = PartReader(), list[RunPart | EvidencePart]()
    for file in files:
        try:
            with file.open("rb") as opened:
                part = reader.read(opened.read(PART_BYTES.value + 1))
        except (OSError, MalformedPart, NotMergeable) as error:
            reason = (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
            raise PartsRefused(f"{file}: {reason}") from error
        if parts and part.run != parts[0].run:
            raise PartsRefused(f"{file}: it is of run {part.run}, and {files[0]} of {parts[0].run}")
        if parts and part.thresholds != parts[0].thresholds:
            raise PartsRefused(f"{file}: its thresholds are not those of {files[0]}; make both with the same ones")
        parts.append(part)
    results = [part for part in parts if isinstance(part, RunPart)]
    if results and len(results) < len(parts):
        file = next(file for file, part in zip(files, parts, strict=True) if isinstance(part, EvidencePart))
        raise PartsRefused(f"{file}: it was made without a ledger, and other parts with one; make it with the ledger")
    return results or [part for part in parts if isinstance(part, EvidencePart)]


@_parts_as_data()
def merged_snapshot(
    parts: Sequence[RunPart] | Sequence[EvidencePart],
    limits: Sequence[ThresholdLimit] = (),
    *,
    absent: bool = False,
    drawn: bool = True,
) -> Snapshot:
    """Merge the parts of one run.

    Args:
        parts: of the run, all with a ledger or all without one.
        limits: the operator's.
        absent: clients whose log no part has wrote none.
        drawn: the timeline is needed as well.

    Raises:
        PartsRefused: as `merged` and `merged_evidence` do, or the timeline of a part cannot be read.
    """
    results = [part for part in parts if isinstance(part, RunPart)]
    if not results:
        evidence = merged_evidence([part for part in parts if isinstance(part, EvidencePart)])
        return snapshot_of_evidence(evidence, limits, final=True, made_at=evidence.ended_at)
    result, made_at = merged(results, absent=absent), results[0].ended_at
    if not drawn:
        summary = summarise(result, limits, made_at=made_at)
        return with_clients(summary, empty(summary.run), result)
    try:
        return snapshot_of(result, merged_course(results, result), limits, made_at=made_at)
    except MalformedPart as error:
        raise PartsRefused(f"the timeline of a part cannot be read: {error}") from error


def merged_evidence(parts: Sequence[EvidencePart]) -> RunEvidence:
    """Merge the parts of one run without a ledger. They must not be used any more.

    Raises:
        PartsRefused: two of them have the log of one client.
    """
    evidence, *others = [part.evidence for part in parts]
    pulled = merged_pulls([one.pulled for one in (evidence, *others) if one.pulled is not None])
    for other in others:
        if both := sorted(evidence.logs.keys() & other.logs.keys(), key=client_order):
            raise PartsRefused(f"{both[0]} has a log in two parts; {TWICE}")
        evidence.merge(other)
    evidence.pulled = pulled
    return evidence


def merged(parts: Sequence[RunPart], *, absent: bool = False) -> RunResult:
    """Merge the parts of one run. ``absent`` says that clients whose log no part has wrote none.

    Raises:
        PartsRefused: two of them have the log of one client, or none of them has that of a client of the ledger.
    """
    try:
        result = merge([part.result for part in parts])
    except NotMergeable as error:
        raise PartsRefused(str(error)) from error
    # A part that was forgotten must not pass for clients that lost everything.
    logging = {client.client for client in result.clients if client.has_log}
    known = {client.client for client in result.clients} if absent else logging
    if lacking := [name for name in parts[0].ledger_clients if name not in known]:
        how = "make one part with --absent" if absent else "add --absent"
        raise PartsRefused(
            f"no part has the log of {formatting.names(lacking)}: add the parts of their nodes; if there is none, {how}"
        )
    return result
