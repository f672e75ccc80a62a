"""Tests of services/collector/results/run_result.py: results of parts of a run merge exactly."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.results.build import build_result
from services.collector.results.run_result import NotMergeable, RunResult, merge
from services.collector.verdict.summary import summarise
from services.collector.verdict.threshold_parser import parse
from tests.builders.external_runs import evidence_of, log, numbered_messages
from tests.builders.runs import (
    START_US,
    Files,
    Session,
    blocks_of,
    end,
    fold,
    good_ledger,
    good_run,
    ledger_source,
    log_files,
)

LIMITS = parse("latency{client:*}.p99<50ms, spread.max<1s, silence<1s, catch_up==0, missing{client:*}==0")
TOTAL = 60


def sessions_of(client: str, fence: int, dice: random.Random) -> list[Session]:
    """Return sessions of a client that is whole, was restarted, lost some blocks, or stated some faults."""
    half, later_us = TOTAL // 2, dice.randrange(900)
    attempted_us = dice.choice([None, START_US + dice.randrange(TOTAL * 1000)])
    if dice.random() < 0.4:
        first = Session(client, 1, fence, 0, blocks_of(1, half, 10), later_us=later_us, reason="shutdown")
        second = Session(client, 2, fence + 1, half, blocks_of(half + 1, TOTAL, 10), later_us=2 * later_us)
        first.attempted_us = attempted_us
        return [first, second]
    blocks = [block for block in blocks_of(1, TOTAL, 10) if dice.random() < 0.9]
    only = Session(client, 1, fence, 0, blocks, later_us=later_us, reason=dice.choice(["finished", None]))
    only.attempted_us = attempted_us
    only.changes = {1: {"duplicates": 1, "reordered": dice.randrange(2)}} if dice.random() < 0.3 else {}
    return [only]


def run_of(dice: random.Random) -> tuple[Files, dict[str, Files]]:
    """Return the ledger of a run and the log of each client; single lines may be damaged or missing."""
    sessions = [sessions_of(f"client-{number}", 10 * number, dice) for number in range(1, dice.randint(2, 6))]
    writer = good_ledger([one for every in sessions for one in every], TOTAL, dice.choice([1000, 1000, 0]))
    if dice.random() < 0.8:
        writer.put(end(TOTAL))
    logs: dict[str, Files] = {}
    for every in sessions:
        files: Files = {}
        for session in every:
            files.update(log_files(session))
        for lines in files.values():
            if dice.random() < 0.2:
                lines[dice.randrange(len(lines))] = b"garbage\n"
            if dice.random() < 0.2:
                del lines[dice.randrange(len(lines))]
        logs[every[0].client] = {} if dice.random() < 0.1 else files
    return {ledger_source(): writer.lines} if dice.random() < 0.95 else {}, logs


def shuffled(files: Files, dice: random.Random) -> Files:
    """Return the files in another order."""
    items = list(files.items())
    dice.shuffle(items)
    return dict(items)


def part_of(ledger: Files, logs: list[Files], dice: random.Random, *, final: bool) -> RunResult:
    """Return the result of a part: the whole ledger, and the logs of some clients, read in any order."""
    files = dict(ledger)
    for one in logs:
        files.update(one)
    return build_result(fold(shuffled(files, dice)), final=final)


@given(st.randoms(use_true_random=False), st.integers(1, 6), st.booleans())
def test_the_result_of_a_run_is_the_merged_result_of_its_parts(dice: random.Random, count: int, final: bool) -> None:
    """For any division of clients and order of reading and merging, the merged result is that of the run."""
    ledger, logs = run_of(dice)
    whole = part_of(ledger, list(logs.values()), dice, final=final)
    parts: list[list[Files]] = [[] for _ in range(count)]
    for files in logs.values():
        dice.choice(parts).append(files)
    results = [part_of(ledger, part, dice, final=final) for part in parts]
    dice.shuffle(results)
    while len(results) > 1:
        at = dice.randrange(len(results) - 1)
        results[at : at + 2] = [merge(results[at : at + 2])]

    assert whole == results[0] == merge([results[0]])
    assert summarise(whole, LIMITS) == summarise(results[0], LIMITS)


def test_parts_of_different_runs_do_not_merge() -> None:
    """Parts with different ledgers, or of which one is final, do not merge."""
    good = build_result(fold(good_run()), final=True)
    longer = build_result(fold(good_run(80)), final=True)

    for other in (longer, build_result(fold(good_run()), final=False)):
        with pytest.raises(NotMergeable, match="same ledger"):
            merge([good, other])


def test_results_of_an_external_feed_do_not_merge() -> None:
    """Parts of an external feed do not merge."""
    parts = [
        build_result(evidence_of(log(name, numbered_messages([1, 2]))), final=True) for name in ("client-1", "client-2")
    ]

    with pytest.raises(NotMergeable, match="read together"):
        merge(parts)
