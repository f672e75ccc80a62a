"""Tests of services/collector/results/run_part.py: the parts of any division of the clients merge to the whole."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from services.collector.commands.merge import merged_snapshot
from services.collector.commands.parallel_reading import read_files
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.results.builders.part_builder import build_part
from services.collector.results.run_part import EvidencePart, PartReader, RunPart, encode, encode_evidence
from services.collector.scan import find_runs
from services.collector.verdict.snapshot import Snapshot, snapshot
from services.collector.verdict.threshold_parser import parse
from tests.builders.external_runs import evidence_of, log, message
from tests.builders.runs import Files
from tests.repo.repository import ROOT

LIMITS = parse("latency{client:*}.p99<50ms, spread.max<1s, silence<1s, catch_up==0, missing{client:*}==0")
EXPRESSIONS = [limit.expression for limit in LIMITS]
CASES = sorted((ROOT / "docs/conformance/volumes").iterdir())
RUNS = [(folder, run) for folder in CASES for run in find_runs(folder)]


def published(found: Snapshot) -> bytes:
    """Return summary and timeline of a run as they are published."""
    return msgspec.json.encode((found.summary, found.timeline))


def merged(parts: list[RunEvidence], dice: random.Random) -> bytes:
    """Write parts as files, read these in any order, and return what is published of all of them."""
    files = []
    for evidence in parts:
        part = build_part(evidence, EXPRESSIONS)
        files.append(encode_evidence(part) if isinstance(part, EvidencePart) else encode(part, [99.0]))
    dice.shuffle(files)
    reader = PartReader()
    read = [reader.read(file) for file in files]
    results = [part for part in read if isinstance(part, RunPart)]
    others = [part for part in read if isinstance(part, EvidencePart)]
    assert not (results and others)
    return published(merged_snapshot(results or others, LIMITS, absent=True))


def place_of(names: set[str], count: int, dice: random.Random) -> dict[str | None, int]:
    """Return a random part for each client."""
    return {name: dice.randrange(count) for name in sorted(names)}


@settings(max_examples=2 * len(RUNS))
@given(st.sampled_from(RUNS), st.integers(1, 6), st.randoms(use_true_random=False))
def test_parts_of_a_run_of_the_kit_merge_to_the_whole(case: tuple[Path, str], count: int, dice: random.Random) -> None:
    """For any division of the clients, summary and timeline are those of the run byte for byte."""
    whole = read_files(*case)
    expected = published(snapshot(whole, LIMITS, final=True, made_at=whole.ended_at))
    places = place_of(set(whole.logs), count, dice)

    def of_part(number: int) -> RunEvidence:
        return read_files(*case, lambda source: source.client is None or places[source.client] == number)

    assert expected == merged([of_part(number) for number in range(count)], dice)


def external_logs(dice: random.Random) -> list[Files]:
    """Return logs of an external feed with gaps, other records, reconnections, restarts and repeated records."""
    kind = dice.choice(["numbers", "keys", "none", "few"])
    logs = []
    for client in range(dice.randint(2, 6)):
        sent = range(dice.choice([1, 1, 5]), dice.choice([40, 60]))
        seqs = [seq for seq in sent if dice.random() < 0.95]
        if dice.random() < 0.2:
            seqs = [seq % 23 for seq in seqs]
        texts = {seq: "another" for seq in seqs if dice.random() < 0.02}
        few = {seq: str(seq % 2) for seq in seqs} if kind == "few" else {}
        messages = [
            message(
                seq if kind in ("numbers", "keys") else None,
                seq + dice.randrange(2),
                key=f"k{seq % 3}" if kind == "keys" else None,
                text=texts.get(seq, few.get(seq, f"record {seq}")),
            )
            for seq in seqs
        ]
        cut = dice.randrange(1, len(messages))
        course: list[Any] = [
            ("opened", 0.0),
            messages[:cut],
            ("closed", 0.3, 1006, ""),
            ("opened", 0.4),
            messages[cut:],
        ]
        course.append(dice.choice([("sealed", 10.0), ("closed", 0.7, 1006, "")]))
        logs.append(
            log(
                f"client-{client + 1}",
                messages,
                course=dice.choice([None, course]),
                reason=dice.choice(["finished", "finished", None]),
                clients=dice.choice([None, 3]),
                seq="$.seq" if kind in ("numbers", "keys") else None,
                key="$.key" if kind == "keys" else None,
            )
        )
    return logs


@given(st.integers(1, 6), st.randoms(use_true_random=False))
def test_parts_of_an_external_feed_merge_to_the_whole(count: int, dice: random.Random) -> None:
    """Connections, gaps, keys, comparisons of contents, silences and timeline are those of all logs read together."""
    logs = external_logs(dice)
    whole = evidence_of(*logs)
    expected = published(snapshot(whole, LIMITS, final=True, made_at=whole.ended_at))
    parts: list[list[Files]] = [[] for _ in range(count)]
    for one in logs:
        dice.choice(parts).append(one)

    assert expected == merged([evidence_of(*part) for part in parts], dice)
