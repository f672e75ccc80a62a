"""Damages a run in twelve ways, one at a time, and shows what the collector says of each: whether it sees what it must.

The books are read and never written; what a damage changes is changed in memory and judged as `verify` judges a folder.
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
from services.collector.commands.run_loader import VolumesNotFound, books_of, new_folder, runs_of
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
    "a latency changed, the crc made anew": mutations.latency_forged,
    "a record changed, all that hangs on it made anew": mutations.record_forged,
    "a receipt removed from the ledger": mutations.receipt_removed,
    "the end removed from the ledger": mutations.end_removed,
}


class NotProvable(OperatorError):
    """The run does not pass as it is: a verdict that is no PASS would show nothing."""


class DamageResult(msgspec.Struct, frozen=True):
    """What came of one damage.

    ``said`` is the sentence that names the place, of all that the collector says. ``caught`` is null where the run has
    nothing that could be damaged like this; then ``where`` says why.
    """

    number: int
    damage: str
    where: str
    verdict: Verdict | None
    said: str
    caught: bool | None


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add(
        "prove",
        "damage a copy of a run in twelve ways and show that each is caught",
        run,
        {
            "prove volumes": "the newest run; nothing is written",
            "prove volumes --seed 7 --keep proof": "other places; the damaged copies stay, for you to look at",
        },
        EXITS,
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="the folder that holds logs/ and ledger/")
    parser.add_argument("--run", help="this run; without it the newest")
    parser.add_argument("--seed", type=int, default=1, help="chooses the places: same seed, same damages (default 1)")
    parser.add_argument("--keep", metavar="OUT", type=Path, help="write each damaged copy below this folder")
    parser.add_argument("--json", action="store_true", help="print a line of JSON for each damage")


def run(chosen: argparse.Namespace, _environment: Mapping[str, str]) -> int:
    """Damage the run that was chosen; return the exit code."""
    runs = runs_of(chosen.folder, chosen.run)
    if not runs:
        raise VolumesNotFound(f"{chosen.folder}: no run")
    keep = None if chosen.keep is None else new_folder("--keep", chosen.keep)
    sound = books_of(chosen.folder, runs[-1])
    made = passing(sound)
    if not chosen.json:
        print(f"run {made.run}   {made.verdict}   {made.headline}\n")
    every = []
    for caught in prove(chosen.folder, sound, chosen.seed, keep):
        print(msgspec.json.encode(caught).decode() if chosen.json else _text(caught, made.run), flush=True)
        every.append(caught.caught)
    if not chosen.json:
        print(_last(every, keep))
    return EXIT_CODES["FAIL" if False in every or True not in every else "PASS"]


def passing(sound: RunEvidence) -> Summary:
    """Return the summary of books that nobody has damaged yet.

    Raises:
        Unproved: they do not pass: then no damage could be seen to take the PASS away.
    """
    if sound.is_one_sided:
        raise NotProvable(
            f"run {sound.run} is of a feed that is not ours: its books have one side, and prove damages both"
        )
    made = reconcile(sound, final=True)
    if made.verdict != "PASS":
        raise NotProvable(f"run {made.run} is {made.verdict} as it is, so a damage would not show: {made.headline}")
    return made


def prove(volumes: Path, sound: RunEvidence, seed: int, keep: Path | None = None) -> Iterator[DamageResult]:
    """Damage a run in every way there is, one at a time; return what came of each.

    Args:
        volumes: the volumes folder.
        sound: the books of the run as they lie there.
        seed: chooses the places.
        keep: an empty folder into which every damaged copy is written.
    """
    for number, (name, damage) in enumerate(DAMAGES.items(), 1):
        files = RunFileSet(volumes, sound.run, Random(f"{seed} {number}"))
        try:
            damaged = damage(files)
        except NotApplicable as why:
            yield DamageResult(number, name, str(why), None, "", None)
            continue
        found = reconcile(_fold(sound, files, damaged), final=True)
        said = _sentence(found, damaged)
        if keep:
            _write(files, damaged, keep / f"{number:02d}")
        yield DamageResult(number, name, damaged.where, found.verdict, said or found.headline, said is not None)


def _fold(sound: RunEvidence, files: RunFileSet, damaged: Mutation) -> RunEvidence:
    """Return the books with a damage: only the sides that it touches are read anew."""
    books = RunEvidence(sound.run)
    touched = {source.client for source in damaged.files}
    books.logs = {name: log for name, log in sound.logs.items() if name not in touched}
    if None not in touched:
        books.ledger = sound.ledger
    sources = [source for source in (*files.ledger, *files.logs) if source.client in touched]
    books.take_sources(source for source in sources if damaged.files.get(source, ()) is not None)
    for source in sources:
        lines = damaged.files.get(source, ())
        for line in files.lines(source) if lines == () else lines or ():
            if line.endswith(b"\n"):
                books.take(source, line)
            else:
                books.take_tails([FileTail(source, len(line))])
    return books


def _sentence(found: Summary, damaged: Mutation) -> str | None:
    if found.verdict == "PASS":
        return None
    sentences = [*map(consistency.fault_sentence, found.faults), *found.reasons]
    return next((said for named in damaged.named for said in sentences if _names(said, named)), None)


def _names(said: str, named: str) -> bool:
    # A line's number must not be taken for the beginning of a longer one.
    _, is_there, rest = said.partition(named)
    return bool(is_there) and not (named[-1].isdigit() and rest[:1].isdigit())


def _write(files: RunFileSet, damaged: Mutation, folder: Path) -> None:
    for source in (*files.ledger, *files.logs):
        lines = damaged.files.get(source, ())
        path = folder / source.place
        path.parent.mkdir(parents=True, exist_ok=True)
        if lines == ():
            shutil.copyfile(files.volumes / source.place, path)
        elif lines is not None:
            path.write_bytes(b"".join(lines))


def _text(caught: DamageResult, run: str) -> str:
    def short(text: str) -> str:
        return text.replace(f"logs/{run}/", "").replace(f"ledger/{run}/", "ledger ")

    head = f"  {formatting.MARKS[caught.caught]} {caught.number:>2}  {caught.damage}"
    if caught.caught is None:
        return f"{head}: not possible, {caught.where}"
    said = textwrap.fill(
        f"{caught.verdict:<8} {short(caught.said)}", WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 17
    )
    return f"{head:<56} {short(caught.where)}\n{said}"


def _last(every: list[bool | None], keep: Path | None) -> str:
    done = [one for one in every if one is not None]
    said = f"\n  {sum(done)} of {len(done)} damages caught"
    if keep:
        said += f"; the damaged copies are in {keep}/01 and so on: try verify {keep}/01"
    return said
