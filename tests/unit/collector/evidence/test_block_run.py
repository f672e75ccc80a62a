"""Tests of services/collector/evidence/block_run.py: blocks that are added together give the evidence of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.collector.evidence.block_run import BlockRun, RunContent, is_plain
from services.collector.evidence.log_evidence import LogEvidence
from services.collector.evidence.timing import RunTiming
from services.collector.scan import Source
from services.contract import blocklog
from services.contract.jsonl import FIRST, reseal
from tests.builders.runs import START_US, Files, Session, block, blocks_of, log_files

OTHER_BYTES = b'0"\\,}Z\xff1'
"""Bytes that take the place of another one: each of them is part of the syntax, of a number or of a time."""


class WatchedLog(LogEvidence):
    """A log that notes each run of blocks: its first and last seq, blocks, messages, and whether it was added whole."""

    def __init__(self, client: str, times: RunTiming) -> None:
        super().__init__(client, times)
        self.runs: list[tuple[int, int, int, int, bool]] = []

    def add_run(self, run: RunContent) -> bool:
        """Add a run, and note it."""
        is_added = super().add_run(run)
        self.runs.append((run.first, run.last, len(run.blocks), len(run.messages), is_added))
        return is_added


def all_of(evidence: LogEvidence, times: RunTiming) -> dict[str, Any]:
    """Return everything that the evidence holds, in a form that can be compared."""
    timing = evidence.times
    return {
        "faults": [file.chain.damages for file in evidence.files],
        "lines": [(file.chain.number, file.chain.after, file.ended, file.segment) for file in evidence.files],
        "blocks": [(key, evidence.blocks.of(key)) for key in evidence.blocks],
        "copies": (evidence.blocks.count, evidence.blocks.repeated),
        "ends": evidence.ends,
        "seqs": (evidence.logged, evidence.twice, evidence.corrupt),
        "counts": (evidence.messages, evidence.bytes, evidence.duplicates, evidence.reordered),
        "clock": (evidence.clock_error_us, evidence.clock_offset_us, evidence.clocks._blocks),
        "times": (timing.first_us, timing.last_us, timing.blocks.bars()),
        "edges": (timing.edges._firsts, timing.edges._lasts),
        "silences": (timing.silences.longest, timing.silences.sessions),
        "catch-up": (
            timing.catch_up.histogram.counts,
            {at_us: late.counts for at_us, late in timing.catch_up.undecided().items()},
        ),
        "durations": (timing.latency, timing.transit, timing.block_durations),
        "spread": times.spread.rows(),
        "slots": times.buckets.slots(scheduled=True),
    }


def read(files: Iterable[tuple[Source, Sequence[bytes]]], sizes: Sequence[int] | None = None) -> dict[str, Any]:
    """Return the evidence of files, line by line, or in batches of these sizes in turn."""
    times = RunTiming()
    evidence = LogEvidence("client-1", times)
    for source, lines in files:
        file = evidence.file(source)
        if sizes is None:
            for line in lines:
                file.add_line(line)
            continue
        begin = turn = 0
        while begin < len(lines):
            size = sizes[turn % len(sizes)]
            file.add_lines(lines[begin : begin + size])
            begin, turn = begin + size, turn + 1
    return all_of(evidence, times)


def chained(lines: Iterable[bytes]) -> list[bytes]:
    """Return lines with the checksums that their writer would have given them."""
    prev, made = FIRST, []
    for line in lines:
        sealed, prev = reseal(line, prev)
        made.append(sealed)
    return made


def one_file(blocks: int, *, size: int = 3, **changes: Any) -> tuple[Source, list[bytes]]:
    """Return the file of a client that logged some blocks."""
    files = log_files(Session("client-1", 1, 1, 0, blocks_of(1, blocks * size, size), size, **changes))
    return next(iter(files.items()))


@pytest.mark.parametrize("sealed_again", [True, False])
def test_every_altered_byte_of_a_block_gives_the_faults_of_a_single_line(*, sealed_again: bool) -> None:
    """Whichever byte of a block between others is altered, the evidence is that of reading line by line."""
    source, lines = one_file(4, size=2)
    for place in range(len(lines[2]) - 1):
        other = OTHER_BYTES[place % len(OTHER_BYTES)]
        altered = lines[2][:place] + bytes([other]) + lines[2][place + 1 :]
        changed = [*lines[:2], altered, *lines[3:]]
        given_lines = chained(changed) if sealed_again else changed

        assert read([(source, given_lines)]) == read([(source, given_lines)], [100]), altered


CHANGES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "duplicates": st.integers(0, 1),
        "reordered": st.integers(0, 1),
        "idle_ns": st.integers(0, 10_000_000),
        "duration_ns": st.integers(0, 10_000_000),
        "clock_offset_us": st.sampled_from([0, 5, -START_US - 10_000, 2**53 - START_US]),
        "clock_error_us": st.integers(0, 3),
        "count": st.integers(1, 4),
        "block": st.integers(1, 8),
        "client": st.sampled_from(["client-1", "client-2"]),
        "digest": st.just("x00000000"),
        "messages": st.just([]),
        "corrupt": st.just([(1, 1)]),
        "stalls": st.just([blocklog.Stall("2026-11-22T07:30:00.000000Z", "2026-11-22T07:30:01.000000Z")]),
    },
)


@st.composite
def logs(draw: st.DrawFn) -> list[tuple[Source, list[bytes]]]:
    """Return files of a log in which blocks may contradict each other, and lines be missing, repeated and swapped."""
    ranges: list[tuple[int, int]] = []
    for _ in range(draw(st.integers(1, 8))):
        # Mostly the next seqs; also ranges that leave a gap, or that overlap earlier ones.
        after = ranges[-1][1] if ranges else 0
        first = max(1, after + 1 + draw(st.sampled_from([0, 0, 0, 0, 2, -2])))
        ranges.append((first, first + draw(st.integers(0, 3))))
    changes = draw(st.dictionaries(st.integers(1, len(ranges)), CHANGES, max_size=2))
    cuts = {draw(st.integers(1, len(ranges)))} - {len(ranges)}
    attempted_us = draw(st.sampled_from([None, None, START_US, START_US + 8_000]))
    session = Session(
        "client-1", 1, 1, 0, ranges, 4, cuts=cuts, changes=changes, attempted_us=attempted_us,
        later_us=draw(st.sampled_from([0, 997_000])),
    )  # fmt: skip
    files: Files = log_files(session)
    damaged = []
    for source, lines in files.items():
        places = list(range(len(lines)))
        match draw(st.sampled_from(["whole", "whole", "removed", "repeated", "swapped", "garbage"])):
            case "removed":
                places.pop(draw(st.integers(0, len(lines) - 1)))
            case "repeated":
                places.insert(draw(st.integers(0, len(lines))), draw(st.integers(0, len(lines) - 1)))
            case "swapped":
                one = draw(st.integers(0, len(lines) - 2))
                places[one : one + 2] = [one + 1, one]
            case "garbage":
                places[draw(st.integers(0, len(lines) - 1))] = -1
        chosen = [lines[place] if place >= 0 else b'{"crc":"x' + b"\n" for place in places]
        damaged.append((source, chosen))
    return draw(st.permutations(damaged))


@given(logs(), st.lists(st.integers(1, 9), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_batches_give_the_evidence_of_single_lines(files: list[tuple[Source, list[bytes]]], sizes: list[int]) -> None:
    """However lines are divided into batches, and whatever is wrong with them, the evidence is the same."""
    assert read(files) == read(files, sizes)


def test_good_blocks_are_added_together() -> None:
    """All blocks between an open line and an end line are one run, which `LogEvidence` takes as a whole."""
    source, lines = one_file(5)
    evidence = WatchedLog("client-1", RunTiming())
    evidence.file(source).add_lines(lines)

    assert [(1, 15, 5, 15, True)] == evidence.runs


@pytest.mark.parametrize(
    "changes",
    [
        {"digest": "x00000000"},
        {"count": 2},
        {"last": 4},
        {"last": 2**53 - 1},
        {"messages": block(Session("client-1", 1, 1, 0, []), 1, 1, 3).messages[::-1]},
    ],
)
def test_a_run_with_a_contradiction_is_refused(changes: dict[str, Any]) -> None:
    """A run in which header and messages of a block differ has no content."""
    _, lines = one_file(1)
    sealed, entry = blocklog.codec.decode(lines[1])
    run, good = BlockRun(), block(Session("client-1", 1, 1, 0, []), 1, 1, 3)
    run.add(sealed, msgspec.structs.replace(good, **changes))

    assert good == entry
    assert is_plain(run.blocks[0])
    assert RunContent.of(run) is None
