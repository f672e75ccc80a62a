"""`prove`: damages a run in twelve ways, one at a time, and checks that the collector reports each at its place.

The files are only read. A damage changes lines in memory, and the result is judged as `verify` judges a folder.
"""

from __future__ import annotations

import argparse
import functools
import shutil
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random

import msgspec

from services.collector import formatting
from services.collector.commands import mutations
from services.collector.commands.mutations import Mutation, NotApplicable, RunFileSet
from services.collector.commands.run_loader import VolumesNotFound, load_evidence, new_folder, runs_of
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.scan import FileTail
from services.collector.verdict import consistency
from services.collector.verdict.summary import reconcile
from services.contract.summary import EXIT_CODES, Summary, Verdict
from services.runtime.cli import Commands
from services.runtime.errors import OperatorError

EXITS = (
    "exit codes: 0 all were caught, 99 one was not, 104 bad configuration, or a run that does not pass to begin with"
)
WIDTH = 100
DAMAGES: dict[str, Callable[[RunFileSet], Mutation]] = {
    "a bit flipped in a record": functools.partial(mutations.bit_flipped, header=False),
    "a bit flipped in a block's header": functools.partial(mutations.bit_flipped, header=True),
    "a line removed": mutations.line_removed,
    "a file removed": mutations.file_removed,
    "two lines swapped": mutations.lines_swapped,
    "a line written twice": mutations.line_repeated,
    "a file cut short": mutations.tail_cut,
    "a line of another client in its place": mutations.line_of_another,
    "a latency changed, the crc recomputed": mutations.latency_forged,
    "a record changed, all that depends on it recomputed": mutations.record_forged,
    "a receipt removed from the ledger": mutations.receipt_removed,
    "the end removed from the ledger": mutations.end_removed,
}


class NotProvable(OperatorError):
    """The undamaged run does not pass, so a verdict other than PASS would prove nothing."""


class DamageResult(msgspec.Struct, frozen=True, rename={"sentence": "said"}):
    """The result of one damage.

    Attributes:
        sentence: of the collector's report, the one that names the place; else the headline. ``said`` in JSON.
        caught: whether there is such a sentence. null if the run has nothing that can be damaged in this way; ``where``
            names the missing part.
    """

    number: int
    damage: str
    where: str
    verdict: Verdict | None
    sentence: str
    caught: bool | None


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = commands.add(
        "prove",
        "damage a copy of a run in twelve ways and show that each is caught",
        run,
        {
            "prove volumes": "the newest run; nothing is written",
            "prove volumes --seed 7 --keep proof": "other places; the damaged copies are kept for inspection",
        },
        EXITS,
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="the folder that holds logs/ and ledger/")
    parser.add_argument("--run", help="the run; the newest if none is named")
    parser.add_argument(
        "--seed", type=int, default=1, help="selects the places; the same seed, the same damages (default 1)"
    )
    parser.add_argument("--keep", metavar="OUT", type=Path, help="write each damaged copy below this folder")
    parser.add_argument("--json", action="store_true", help="print a line of JSON for each damage")


def run(chosen: argparse.Namespace, _environment: Mapping[str, str]) -> int:
    """Damage the chosen run; return the exit code."""
    runs = runs_of(chosen.folder, chosen.run)
    if not runs:
        raise VolumesNotFound(f"{chosen.folder}: no run")
    keep = None if chosen.keep is None else new_folder("--keep", chosen.keep)
    sound = load_evidence(chosen.folder, runs[-1])
    summary = passing(sound)
    if not chosen.json:
        print(f"run {summary.run}   {summary.verdict}   {summary.headline}\n")
    outcomes = []
    for result in prove(chosen.folder, sound, chosen.seed, keep):
        print(msgspec.json.encode(result).decode() if chosen.json else _text(result, summary.run), flush=True)
        outcomes.append(result.caught)
    if not chosen.json:
        print(_total(outcomes, keep))
    # A run to which no damage could be done has proved nothing.
    return EXIT_CODES["FAIL" if False in outcomes or True not in outcomes else "PASS"]


def passing(sound: RunEvidence) -> Summary:
    """Return the summary of the undamaged run.

    Raises:
        NotProvable: it does not pass, or it is of an external feed.
    """
    # Some of the damages concern the ledger or are detected by it, and an external feed has none.
    if sound.is_one_sided:
        raise NotProvable(
            f"run {sound.run} is of an external feed: it has no ledger, and prove damages ledger and logs"
        )
    summary = reconcile(sound, final=True)
    if summary.verdict != "PASS":
        raise NotProvable(
            f"run {summary.run} is {summary.verdict} as it is, so a damage would not show: {summary.headline}"
        )
    return summary


def prove(volumes: Path, sound: RunEvidence, seed: int, keep: Path | None = None) -> Iterator[DamageResult]:
    """Damage a run in each way, one at a time; yield the results.

    Args:
        volumes: the volumes folder.
        sound: the evidence of the undamaged run.
        seed: selects the places.
        keep: an empty folder for the damaged copies; None keeps none.
    """
    for number, (name, damage) in enumerate(DAMAGES.items(), 1):
        # Dice of its own for each damage, so that its place depends on the seed alone and not on the damages before it.
        files = RunFileSet(volumes, sound.run, Random(f"{seed} {number}"))
        try:
            damaged = damage(files)
        except NotApplicable as reason:
            yield DamageResult(number, name, str(reason), None, "", None)
            continue
        summary = reconcile(_evidence(sound, files, damaged), final=True)
        sentence = _sentence(summary, damaged)
        if keep:
            _write(files, damaged, keep / f"{number:02d}")
        yield DamageResult(
            number, name, damaged.where, summary.verdict, sentence or summary.headline, sentence is not None
        )


def _evidence(sound: RunEvidence, files: RunFileSet, damaged: Mutation) -> RunEvidence:
    """Return the evidence of the damaged run; clients whose files are unchanged keep theirs, which saves reading."""
    touched = {source.client for source in damaged.files}
    evidence = sound.without(touched)
    sources = [source for source in (*files.ledger, *files.logs) if source.client in touched]
    evidence.add_sources(source for source in sources if damaged.files.get(source, ()) is not None)
    for source in sources:
        lines = damaged.files.get(source, ())
        for line in files.lines(source) if lines == () else lines or ():
            # A tail without a newline is no line for the collector, so it is handed over as it is for a file that was
            # cut short.
            if line.endswith(b"\n"):
                evidence.add_line(source, line)
            else:
                evidence.add_tails([FileTail(source, len(line))])
    return evidence


def _sentence(summary: Summary, damaged: Mutation) -> str | None:
    # A fault that is named without any effect on the verdict is not caught.
    if summary.verdict == "PASS":
        return None
    sentences = [*map(consistency.fault_sentence, summary.faults), *summary.reasons]
    return next((sentence for named in damaged.named for sentence in sentences if _names(sentence, named)), None)


def _names(sentence: str, named: str) -> bool:
    # "file:1" must not match in "file:12".
    _, match, rest = sentence.partition(named)
    return bool(match) and not (named[-1].isdigit() and rest[:1].isdigit())


def _write(files: RunFileSet, damaged: Mutation, folder: Path) -> None:
    for source in (*files.ledger, *files.logs):
        lines = damaged.files.get(source, ())
        path = folder / source.place
        path.parent.mkdir(parents=True, exist_ok=True)
        if lines == ():
            shutil.copyfile(files.volumes / source.place, path)
        elif lines is not None:
            path.write_bytes(b"".join(lines))


def _text(result: DamageResult, run: str) -> str:
    def short(text: str) -> str:
        return text.replace(f"logs/{run}/", "").replace(f"ledger/{run}/", "ledger ")

    head = f"  {formatting.MARKS[result.caught]} {result.number:>2}  {result.damage}"
    if result.caught is None:
        return f"{head}: not possible, {result.where}"
    sentence = textwrap.fill(
        f"{result.verdict:<8} {short(result.sentence)}", WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 17
    )
    return f"{head:<56} {short(result.where)}\n{sentence}"


def _total(outcomes: list[bool | None], keep: Path | None) -> str:
    known = [outcome for outcome in outcomes if outcome is not None]
    text = f"\n  {sum(known)} of {len(known)} damages caught"
    if keep:
        text += f"; the damaged copies are in {keep}/01 and so on: try verify {keep}/01"
    return text
