"""Crash matrix of the block logs: the collector classifies each kind of damage, and attributes the missing records."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from chaos.atrest import damaged_run, reference
from chaos.atrest.conftest import Count
from chaos.atrest.damaged_run import fault_kinds, intact_lines, logs, record_count, summary_with
from services.collector.scan import Source
from services.contract.summary import Causes, Summary

CASES: Counter[str] = Counter()
"""Number of damaged volumes by test."""
_BEGAN = time.perf_counter()

FILES = pytest.mark.parametrize("source", logs(), ids=lambda source: f"{source.client}/{source.name}")


def assert_only(summary: Summary, cause: str, lost: int) -> None:
    """Assert that ``lost`` records are missing, all from one cause, and that the run does not pass."""
    expected = Causes(**({cause: lost} if lost else {}))
    assert expected == summary.missing_by_cause, summary.reasons
    assert lost == summary.totals.missing
    assert summary.verdict != "PASS"


def with_line_replaced(lines: list[bytes], index: int, *instead: bytes) -> bytes:
    """Return the lines with one replaced by any number of others."""
    return b"".join([*lines[:index], *instead, *lines[index + 1 :]])


def test_the_sound_volume_passes() -> None:
    """The volume that the other tests damage passes without a fault."""
    source = logs()[0]
    summary = summary_with(source, damaged_run.intact_volume()[source])
    assert ("PASS", []) == (summary.verdict, summary.faults)


@FILES
def test_cut(source: Source, count: Count) -> None:
    """A log cut off at any byte lacks the receipted records after it, and has a torn tail unless cut between lines."""
    data = damaged_run.intact_volume()[source]
    for size in range(len(data)):
        summary = summary_with(source, data[:size])
        whole, tail = reference.split(data[:size])
        assert_only(summary, "receipted_not_logged", record_count(intact_lines()[source]) - record_count(whole))
        assert ({"torn"} if tail else set()) == fault_kinds(summary, source)
        count("log: cut at every byte")


@FILES
def test_flip(source: Source, count: Count) -> None:
    """A flipped bit damages its line; a flipped newline damages the next line, too, or leaves a torn tail."""
    lines, data = intact_lines()[source], damaged_run.intact_volume()[source]
    for offset, text in damaged_run.flips(data, 2):
        index = data.count(b"\n", 0, offset)
        is_newline = data[offset : offset + 1] == b"\n"
        summary = summary_with(source, text)
        if is_newline and index == len(lines) - 1:
            assert_only(summary, "receipted_not_logged", record_count(lines[index:]))
            assert {"torn"} == fault_kinds(summary, source)
        else:
            assert_only(summary, "corrupt_block", record_count(lines[index : index + 1 + is_newline]))
            assert {"corrupt_block"} == fault_kinds(summary, source)
            assert {index + 1, index + 2} >= {fault.line for fault in summary.faults if fault.file == source.path}
        count("log: flip")


@FILES
def test_zeroed_sector(source: Source, count: Count) -> None:
    """A zeroed sector damages the lines that it touches; at the end of the file it looks like a torn tail."""
    lines, data = intact_lines()[source], damaged_run.intact_volume()[source]
    for start in (*range(0, len(data), reference.SECTOR), *range(8, len(data), 24)):
        stop = min(start + reference.SECTOR, len(data))
        summary = summary_with(source, data[:start] + bytes(stop - start) + data[stop:])
        at, lost = 0, []
        for line in lines:
            if start < at + len(line) and at <= stop:
                lost.append(line)
            at += len(line)
        torn = stop == len(data)
        assert_only(summary, "receipted_not_logged" if torn else "corrupt_block", record_count(lost))
        assert {"torn" if torn else "corrupt_block"} == fault_kinds(summary, source)
        count("log: zero every sector")


@FILES
def test_drop(source: Source, count: Count) -> None:
    """Dropped lines are missing although receipted; the next line reveals the gap, unless the file ends there."""
    lines = intact_lines()[source]
    for first in range(len(lines)):
        for stop in range(first + 1, len(lines) + 1):
            summary = summary_with(source, b"".join(lines[:first] + lines[stop:]))
            assert_only(summary, "receipted_not_logged", record_count(lines[first:stop]))
            assert ({"line_missing"} if stop < len(lines) else set()) == fault_kinds(summary, source)
            count("log: drop")


@FILES
def test_repeat(source: Source, count: Count) -> None:
    """A repeated line counts once, and is reported."""
    lines = intact_lines()[source]
    for index, line in enumerate(lines):
        for offset in range(len(lines) + 1):
            summary = summary_with(source, b"".join([*lines[:offset], line, *lines[offset:]]))
            assert_only(summary, "receipted_not_logged", 0)
            kinds_found = fault_kinds(summary, source)
            if offset > index:
                assert {"repeated"} == kinds_found - {"misplaced"}
            else:
                assert kinds_found
                assert {"moved", "misplaced", "line_missing", "repeated", "end_mismatch"} >= kinds_found
            count("log: repeat")


@FILES
def test_swap(source: Source, count: Count) -> None:
    """Swapped lines count in full, and are reported as moved or misplaced."""
    lines = intact_lines()[source]
    for first in range(len(lines)):
        for second in range(first + 1, len(lines)):
            text = list(lines)
            text[first], text[second] = text[second], text[first]
            summary = summary_with(source, b"".join(text))
            assert_only(summary, "receipted_not_logged", 0)
            kinds_found = fault_kinds(summary, source)
            assert kinds_found & {"moved", "misplaced"}
            assert {"moved", "misplaced", "line_missing", "end_mismatch"} >= kinds_found
            count("log: swap")


@FILES
def test_glue(source: Source, count: Count) -> None:
    """Two lines without a newline between them are one damaged line; without the last newline the tail is torn."""
    lines = intact_lines()[source]
    for index, line in enumerate(lines):
        summary = summary_with(source, with_line_replaced(lines, index, line[:-1]))
        last = index == len(lines) - 1
        assert_only(
            summary, "receipted_not_logged" if last else "corrupt_block", record_count(lines[index : index + 2])
        )
        assert {"torn" if last else "corrupt_block"} == fault_kinds(summary, source)
        count("log: glue")


def test_the_matrix_is_as_large_as_promised() -> None:
    """More than twenty thousand damaged volumes were checked, if all tests of the module ran."""
    took = time.perf_counter() - _BEGAN
    print(f"\nlogs: {sum(CASES.values()):,} damaged volumes in {took:.1f} s: {CASES}")
    if len(CASES) == 7:
        assert sum(CASES.values()) > 20_000
