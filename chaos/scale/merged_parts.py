"""Part (e): random splits of a run merge to the whole, and 100 parts of 1,000 clients merge in time.

A split divides the logs of a run of the conformance kit among up to six folders, each with the whole ledger. The
parts are written to files and merged in a random order; summary and timeline have to be those of the whole byte for
byte, of an external feed too.
"""

from __future__ import annotations

import gc
import random
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks.scale.logging_clients import write
from benchmarks.scale.run_files import RUN
from chaos.scale.part import Part, PartOutcome
from services.collector.commands.merge import merged, merged_snapshot, read_parts
from services.collector.commands.parallel_reading import read_files
from services.collector.results.builders.part_builder import build_part
from services.collector.results.client_result import client_order
from services.collector.results.run_part import EvidencePart, RunPart, encode, encode_evidence
from services.collector.scan import find_runs, log_clients
from services.collector.verdict.snapshot import snapshot
from services.collector.verdict.summary import summarise
from services.collector.verdict.threshold_parser import parse

SPLITS = 18
NODES, CLIENTS = 100, 1000
SECONDS = 2.0
"""The time in which the parts of all nodes are to be merged."""
LIMITS = parse("latency{client:*}.p99<50ms, spread.max<1s, silence<1s, missing{client:*}==0")
THRESHOLDS = [limit.expression for limit in LIMITS]
KIT = Path("docs/conformance/volumes")
_SEED = 20261129


class NotAsWhole(AssertionError):
    """A run that was merged from its parts differs from the whole."""


def _play(folder: Path) -> PartOutcome:
    try:
        outcome = PartOutcome([splits(folder)])
        merging = _many(folder / "many")
    except NotAsWhole as error:
        return PartOutcome(problems=[str(error)])
    outcome.lines += [merging.headline, merging.text]
    if not merging.is_in_time:
        outcome.problems.append(f"the parts were merged in more than {SECONDS:.0f} s")
    return outcome


def splits(folder: Path) -> str:
    """Divide runs of the conformance kit at random, and merge them; return how many divisions gave the whole.

    Raises:
        NotAsWhole: one of them did not.
    """
    dice = random.Random(_SEED)
    runs = [(case, run) for case in sorted(KIT.iterdir()) for run in find_runs(case) if len(log_clients(case, run)) > 1]
    counts = [_split(*dice.choice(runs), folder / str(number), dice) for number in range(SPLITS)]
    into = f"{min(counts)} to {max(counts)} parts"
    return f"{SPLITS} random splits into {into} merged: summary and timeline are those of the whole"


def _split(case: Path, run: str, folder: Path, dice: random.Random) -> int:
    """Divide the logs of a run among folders, merge them, and compare; return how many there were."""
    places = [folder / str(number) for number in range(dice.randint(2, 6))]
    for place in places:
        if (case / "ledger").is_dir():
            shutil.copytree(case / "ledger" / run, place / "ledger" / run)
        (place / "logs" / run).mkdir(parents=True)
    for name in log_clients(case, run):
        shutil.copytree(case / "logs" / run / name, dice.choice(places) / "logs" / run / name)
    dice.shuffle(places)
    whole = read_files(case, run)
    files = []
    for place in places:
        files.append(place / "part")
        files[-1].write_bytes(_encoded(build_part(read_files(place, run), THRESHOLDS)))
    got = merged_snapshot(read_parts(files), LIMITS, absent=True)
    expected = snapshot(whole, LIMITS, final=True, made_at=whole.ended_at)
    if msgspec.json.encode(expected[:2]) != msgspec.json.encode(got[:2]):
        one, other = got.summary.headline, expected.summary.headline
        raise NotAsWhole(f"{case.name}, {len(places)} parts: {one}; the whole: {other}")
    return len(places)


def _encoded(part: RunPart | EvidencePart) -> bytes:
    return encode_evidence(part) if isinstance(part, EvidencePart) else encode(part, [99.0])


class ManyMerged(NamedTuple):
    """The merging of the parts of many nodes.

    Attributes:
        headline: verdict and headline of the merged summary.
        size: bytes of all parts.
        seconds: from the files to the merged result.
        cpu_seconds: of this process, meanwhile.
        judged_seconds: from the files to the verdict.
    """

    headline: str
    size: int
    seconds: float
    cpu_seconds: float
    judged_seconds: float

    @property
    def is_busy(self) -> bool:
        """Whether other processes had the processor for a fifth of the time: then its length says little."""
        return self.cpu_seconds < 0.8 * self.seconds

    @property
    def is_in_time(self) -> bool:
        """Whether it took no longer than it may; on a busy machine only the processor time tells."""
        return self.cpu_seconds <= SECONDS and (self.is_busy or self.seconds <= SECONDS)

    @property
    def text(self) -> str:
        """What is printed."""
        busy = ", on a busy machine: not judged" if self.is_busy else ""
        return (
            f"{NODES} parts of {CLIENTS:,} clients, {self.size / 1e6:.0f} MB, merged in {self.seconds:.2f} s"
            f" ({self.cpu_seconds:.2f} s of processor time{busy}), with the verdict in {self.judged_seconds:.2f} s"
        )


def _many(folder: Path) -> ManyMerged:
    """Merge the parts of many nodes, made of one run whose clients have other names at each node.

    Raises:
        NotAsWhole: the merged run does not pass.
    """
    files = _write_many(folder)
    gc.collect()
    gc.disable()
    try:
        began, used = time.perf_counter(), time.process_time()
        result = merged([part for part in read_parts(files) if isinstance(part, RunPart)])
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - used
        summary = summarise(result, LIMITS)
        judged = time.perf_counter() - began
    finally:
        gc.enable()
    if (NODES * CLIENTS, "PASS") != (summary.client_count, summary.verdict):
        raise NotAsWhole(f"{summary.client_count:,} clients, {summary.verdict}: {summary.headline}")
    size = sum(file.stat().st_size for file in files)
    return ManyMerged(f"{summary.verdict}  {summary.headline}", size, seconds, cpu_seconds, judged)


def _write_many(folder: Path) -> list[Path]:
    """Write the parts of the nodes; return their files."""
    write(folder / "node", CLIENTS, 6, 10)
    part = build_part(read_files(folder / "node", RUN), THRESHOLDS)
    if not isinstance(part, RunPart):
        raise NotAsWhole("a run with a ledger has a part without one")
    names = [[f"node-{node}~{number}" for number in range(1, CLIENTS + 1)] for node in range(1, NODES + 1)]
    every = tuple(sorted((name for of_node in names for name in of_node), key=client_order))
    files = []
    for node, of_node in enumerate(names):
        clients = [
            msgspec.structs.replace(one, client=name) for one, name in zip(part.result.clients, of_node, strict=True)
        ]
        files.append(folder / f"{node}.part")
        renamed = replace(
            part, result=replace(part.result, clients=tuple(clients)), ledger_clients=every, has_absent=False
        )
        files[-1].write_bytes(_encoded(renamed))
    return files


MERGED_PARTS = Part(
    letter="e",
    what=f"{SPLITS} random splits of runs merged, and {NODES} parts of {CLIENTS:,} clients each",
    is_short=False,
    play=_play,
)
