"""Tests of services/collector/evidence/run_evidence.py: evidence of parts of a run merges exactly."""

from __future__ import annotations

import pickle
import random
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from services.collector.commands.parallel_reading import read_files
from services.collector.evidence.log_evidence import FilesOverlap
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.scan import FileTail, RunFiles, Source, find_runs
from services.collector.verdict.snapshot import snapshot
from services.collector.verdict.threshold_parser import parse
from tests.repo.repository import ROOT

LIMITS = parse("latency{client:*}.p99<50ms, spread.max<1s, silence<1s, catch_up==0, missing{client:*}==0")
CASES = sorted((ROOT / "docs/conformance/volumes").iterdir())
RUNS = [(folder, run) for folder in CASES for run in find_runs(folder)]


def published(evidence: RunEvidence) -> bytes:
    """Return summary and timeline of a run as they are published."""
    return msgspec.json.encode(snapshot(evidence, LIMITS, final=True))


def files_of(folder: Path, run: str) -> dict[Source, tuple[list[bytes], list[FileTail]]]:
    """Return the lines of every file of a run, and its torn end."""
    files = RunFiles(folder, run)
    found: dict[Source, tuple[list[bytes], list[FileTail]]] = {}
    for source, lines in files.batches():
        found.setdefault(source, ([], []))[0].extend(lines)
    for source in files.sources():
        found.setdefault(source, ([], []))
    for tail in files.tails():
        found.setdefault(tail.source, ([], []))[1].append(tail)
    return found


def part_of(folder: Path, run: str, sources: set[Source], dice: random.Random) -> RunEvidence:
    """Return the evidence of some files, read in any order, as another process would send it."""
    files = list(files_of(folder, run).items())
    dice.shuffle(files)
    evidence = RunEvidence(run)
    for source, (lines, tails) in files:
        if source in sources:
            for line in lines:
                evidence.add_line(source, line)
            evidence.add_sources([source])
            evidence.add_tails(tails)
    copy: RunEvidence = pickle.loads(pickle.dumps(evidence))
    return copy


def merged(parts: list[RunEvidence], dice: random.Random) -> RunEvidence:
    """Merge parts in any order and grouping."""
    dice.shuffle(parts)
    while len(parts) > 1:
        at = dice.randrange(len(parts) - 1)
        parts[at].merge(parts.pop(at + 1))
    return parts[0]


def split(folder: Path, run: str, dice: random.Random, *, by_client: bool) -> list[RunEvidence]:
    """Divide the files of a run at random; all files of the ledger, and ``by_client`` of each client, stay together."""
    parts: list[set[Source]] = [set() for _ in range(dice.randint(2, 5))]
    place: dict[object, set[Source]] = {}
    for source in files_of(folder, run):
        together = source.client if by_client or source.client is None else source
        place.setdefault(together, dice.choice(parts)).add(source)
    return [part_of(folder, run, part, dice) for part in parts]


@settings(max_examples=2 * len(RUNS))
@given(st.sampled_from(RUNS), st.randoms(use_true_random=False))
def test_evidence_of_some_clients_merges_to_that_of_the_run(case: tuple[Path, str], dice: random.Random) -> None:
    """For any division of the clients and order of merging, what is published is the same byte for byte."""
    whole = published(read_files(*case))

    assert whole == published(merged(split(*case, dice, by_client=True), dice))


@settings(max_examples=2 * len(RUNS))
@given(st.sampled_from(RUNS), st.randoms(use_true_random=False))
def test_evidence_of_some_files_merges_exactly_or_not_at_all(case: tuple[Path, str], dice: random.Random) -> None:
    """For any division of the files, what is published is the same, or the parts refuse to be merged."""
    try:
        evidence = merged(split(*case, dice, by_client=False), dice)
    except FilesOverlap:
        return

    assert published(read_files(*case)) == published(evidence)
