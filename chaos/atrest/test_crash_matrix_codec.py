"""Crash matrix of the codec: the decoder detects every cut, every flipped bit and every zeroed sector."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any

import pytest

from chaos.atrest import reference
from chaos.atrest.conftest import Count
from services.contract import blocklog, ledger
from services.contract.errors import ChecksumMismatch, LineError, TornLine
from services.contract.jsonl import Kinds, unseal
from tests.builders.runs import Files

CASES: Counter[str] = Counter()
"""Number of damaged files by test."""
_BEGAN = time.process_time()


@cache
def files() -> Files:
    """Return the files of the reference run: about 2.9 million bits."""
    return reference.run_files(reference.sessions(600, 10), 600)


@cache
def originals() -> frozenset[bytes]:
    """Return every line of the files."""
    return frozenset(line for lines in files().values() for line in lines)


def _codecs() -> Iterator[tuple[Kinds[Any], list[bytes]]]:
    for source, lines in files().items():
        yield (ledger.codec if source.client is None else blocklog.codec), lines


def _error_of(line: bytes) -> type[LineError] | None:
    try:
        unseal(line)
    except LineError as problem:
        return type(problem)
    return None


def _read_valid(codec: Kinds[Any], data: bytes) -> tuple[list[bytes], int]:
    """Return the valid lines of a file, and the number of damaged ones. A valid line that was never written fails."""
    lines, tail = reference.split(data)
    valid = []
    for line in lines:
        try:
            sealed, entry = codec.decode(line)
        except LineError:
            continue
        assert line == sealed.text
        assert line in originals(), entry
        valid.append(line)
    return valid, len(lines) - len(valid) + bool(tail)


def test_every_flipped_bit_is_seen(count: Count) -> None:
    """With any bit of any line flipped, no piece of that line is valid."""
    cases = 0
    for _, lines in _codecs():
        for line in lines:
            for offset in range(len(line) - 1):
                good = line[offset]
                for bit in range(8):
                    changed = bytearray(line)
                    changed[offset] = good ^ (1 << bit)
                    # A byte that becomes a newline splits the line.
                    pieces = (
                        [bytes(changed)] if changed[offset] != 10 else [changed[: offset + 1], changed[offset + 1 :]]
                    )
                    for piece in pieces:
                        assert ChecksumMismatch is _error_of(bytes(piece)), (line, offset, bit)
                    cases += 1
    count("flip every bit", cases)


def test_a_flipped_newline_takes_its_neighbour_and_no_more(count: Count) -> None:
    """A line without its newline is joined with the next one: both are invalid, all others valid."""
    cases = 0
    for codec, lines in _codecs():
        for index, line in enumerate(lines):
            for bit in range(8):
                glued = line[:-1] + bytes([10 ^ (1 << bit)])
                data = b"".join([*lines[:index], glued, *lines[index + 1 :]])
                if cases % 8 == 0 or index == len(lines) - 1:
                    assert (lines[:index] + lines[index + 2 :], 1) == _read_valid(codec, data)
                else:
                    follower = lines[index + 1] if index + 1 < len(lines) else b""
                    assert ChecksumMismatch is _error_of(glued + follower)
                cases += 1
    count("flip every newline", cases)


def test_every_cut_is_seen(count: Count) -> None:
    """A line cut off at any byte is recognised as torn."""
    cases = 0
    for _, lines in _codecs():
        for line in lines:
            for size in range(1, len(line)):
                assert TornLine is _error_of(line[:size])
                cases += 1
    count("cut at every byte", cases)


def test_every_cut_that_was_written_on_is_seen(count: Count) -> None:
    """A torn line that was continued by the next one is invalid, wherever it was torn."""
    cases = 0
    for _, lines in _codecs():
        for line, follower in pairwise(lines):
            for size in range(1, len(line)):
                assert ChecksumMismatch is _error_of(line[:size] + follower)
                cases += 1
    count("cut and written on at every byte", cases)


@pytest.mark.parametrize("size", [reference.SECTOR, 4096])
def test_every_zeroed_sector_is_seen(size: int, count: Count) -> None:
    """Lines outside a zeroed sector are valid and unchanged; lines that it touches are invalid."""
    cases = 0
    for codec, lines in _codecs():
        data = b"".join(lines)
        for start in range(0, len(data), size):
            stop = min(start + size, len(data))
            expected, at = [], 0
            for line in lines:
                # The line that begins where the zeros end is joined with them, so it is invalid, too.
                if at > stop or at + len(line) <= start:
                    expected.append(line)
                at += len(line)
            damaged = data[:start] + bytes(stop - start) + data[stop:]
            lines_read, damaged_count = _read_valid(codec, damaged)
            assert (expected, 1) == (lines_read, min(damaged_count, 1)), start
            cases += 1
    count(f"zero every {size} bytes", cases)


def test_the_matrix_is_as_large_as_promised() -> None:
    """At least a million damaged files were read, if all tests of the module ran."""
    took = time.process_time() - _BEGAN
    print(f"\ncodec: {sum(CASES.values()):,} cases in {took:.1f} s: {CASES}")
    if len(CASES) == 6:
        assert sum(CASES.values()) >= 1_000_000
