"""Crash matrix of the logs, by the collector's real fold and reconcile: each damage gets its class and its cause."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from chaos.atrest import damaged_run, reference
from chaos.atrest.conftest import Count
from chaos.atrest.damaged_run import held, judged, kinds, logs, sound
from services.collector.scan import Source
from services.contract.summary import Causes, Summary

CASES: Counter[str] = Counter()
"""How many damaged volumes each test looked at."""
_BEGAN = time.perf_counter()

FILES = pytest.mark.parametrize("source", logs(), ids=lambda source: f"{source.client}/{source.name}")


def only(summary: Summary, cause: str, lost: int) -> None:
    """Assert that so many records are missing, all from one cause, and that the run did not pass."""
    expected = Causes(**({cause: lost} if lost else {}))
    assert expected == summary.missing_by_cause, summary.reasons
    assert lost == summary.totals.missing
    assert summary.verdict != "PASS"


def changed(lines: list[bytes], index: int, *instead: bytes) -> bytes:
    """Return lines with one of them replaced by any number of others."""
    return b"".join([*lines[:index], *instead, *lines[index + 1 :]])


def test_the_sound_volume_passes() -> None:
    """Nothing is said against the books that are damaged in the other tests."""
    source = logs()[0]
    summary = judged(source, damaged_run.volume()[source])
    assert ("PASS", []) == (summary.verdict, summary.faults)


@FILES
def test_cut(source: Source, count: Count) -> None:
    """A log cut at a byte lacks what was receipted after it, and has a torn tail unless it was cut between lines."""
    data = damaged_run.volume()[source]
    for size in range(len(data)):
        summary = judged(source, data[:size])
        whole, tail = reference.split(data[:size])
        only(summary, "receipted_not_logged", held(sound()[source]) - held(whole))
        assert ({"torn"} if tail else set()) == kinds(summary, source)
        count("books: cut at every byte")


@FILES
def test_flip(source: Source, count: Count) -> None:
    """A flipped bit costs its line, named as damaged; a flipped newline the next one too, or leaves a torn tail."""
    lines, data = sound()[source], damaged_run.volume()[source]
    for place, text in damaged_run.flips(data, 2):
        index = data.count(b"\n", 0, place)
        is_newline = data[place : place + 1] == b"\n"
        summary = judged(source, text)
        if is_newline and index == len(lines) - 1:
            only(summary, "receipted_not_logged", held(lines[index:]))
            assert {"torn"} == kinds(summary, source)
        else:
            only(summary, "corrupt_block", held(lines[index : index + 1 + is_newline]))
            assert {"corrupt_block"} == kinds(summary, source)
            assert {index + 1, index + 2} >= {fault.line for fault in summary.faults if fault.file == source.path}
        count("books: flip")


@FILES
def test_zeroed_sector(source: Source, count: Count) -> None:
    """Zeros cost the lines that they touch; those at the end of the file look like a torn tail."""
    lines, data = sound()[source], damaged_run.volume()[source]
    for start in (*range(0, len(data), reference.SECTOR), *range(8, len(data), 24)):
        stop = min(start + reference.SECTOR, len(data))
        summary = judged(source, data[:start] + bytes(stop - start) + data[stop:])
        at, lost = 0, []
        for line in lines:
            if start < at + len(line) and at <= stop:
                lost.append(line)
            at += len(line)
        torn = stop == len(data)
        only(summary, "receipted_not_logged" if torn else "corrupt_block", held(lost))
        assert {"torn" if torn else "corrupt_block"} == kinds(summary, source)
        count("books: zero every sector")


@FILES
def test_drop(source: Source, count: Count) -> None:
    """A row of lines that is gone was receipted; the next line names the gap, unless the file ends there."""
    lines = sound()[source]
    for first in range(len(lines)):
        for stop in range(first + 1, len(lines) + 1):
            summary = judged(source, b"".join(lines[:first] + lines[stop:]))
            only(summary, "receipted_not_logged", held(lines[first:stop]))
            assert ({"line_missing"} if stop < len(lines) else set()) == kinds(summary, source)
            count("books: drop")


@FILES
def test_repeat(source: Source, count: Count) -> None:
    """A line that stands again later counts once, and is named."""
    lines = sound()[source]
    for index, line in enumerate(lines):
        for place in range(len(lines) + 1):
            summary = judged(source, b"".join([*lines[:place], line, *lines[place:]]))
            only(summary, "receipted_not_logged", 0)
            found = kinds(summary, source)
            if place > index:
                assert {"repeated"} == found - {"misplaced"}
            else:
                assert found
                assert {"moved", "misplaced", "line_missing", "repeated", "end_mismatch"} >= found
            count("books: repeat")


@FILES
def test_swap(source: Source, count: Count) -> None:
    """Lines that changed places are all there, and named as moved or misplaced."""
    lines = sound()[source]
    for first in range(len(lines)):
        for second in range(first + 1, len(lines)):
            text = list(lines)
            text[first], text[second] = text[second], text[first]
            summary = judged(source, b"".join(text))
            only(summary, "receipted_not_logged", 0)
            found = kinds(summary, source)
            assert found & {"moved", "misplaced"}
            assert {"moved", "misplaced", "line_missing", "end_mismatch"} >= found
            count("books: swap")


@FILES
def test_glue(source: Source, count: Count) -> None:
    """Two lines without the newline between them are one damaged line; without the last one the tail is torn."""
    lines = sound()[source]
    for index, line in enumerate(lines):
        summary = judged(source, changed(lines, index, line[:-1]))
        last = index == len(lines) - 1
        only(summary, "receipted_not_logged" if last else "corrupt_block", held(lines[index : index + 2]))
        assert {"torn" if last else "corrupt_block"} == kinds(summary, source)
        count("books: glue")


def test_the_matrix_is_as_large_as_promised() -> None:
    """More than twenty thousand damaged volumes were judged."""
    took = time.perf_counter() - _BEGAN
    print(f"\nlogs: {sum(CASES.values()):,} damaged volumes in {took:.1f} s: {CASES}")
    if len(CASES) == 7:
        assert sum(CASES.values()) > 20_000
