"""Crash matrix of the codec: every cut, every flipped bit, every lost sector of a log is seen by the real decoder."""

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
"""How many damaged files each test looked at."""
_BEGAN = time.process_time()


@cache
def files() -> Files:
    """Return the reference books: about 2.9 million bits."""
    return reference.books(reference.sessions(600, 10), 600)


@cache
def originals() -> frozenset[bytes]:
    """Return every line that was ever written."""
    return frozenset(line for lines in files().values() for line in lines)


def _codecs() -> Iterator[tuple[Kinds[Any], list[bytes]]]:
    for source, lines in files().items():
        yield (ledger.codec if source.client is None else blocklog.codec), lines


def _refusal(line: bytes) -> type[LineError] | None:
    try:
        unseal(line)
    except LineError as problem:
        return type(problem)
    return None


def _read(codec: Kinds[Any], data: bytes) -> tuple[list[bytes], int]:
    """Return the lines of a file that are believed, and how many are not. An invented one is an error."""
    lines, tail = reference.split(data)
    believed = []
    for line in lines:
        try:
            sealed, entry = codec.decode(line)
        except LineError:
            continue
        assert line == sealed.text
        assert line in originals(), entry
        believed.append(line)
    return believed, len(lines) - len(believed) + bool(tail)


def test_every_flipped_bit_is_seen(count: Count) -> None:
    """Whichever bit of whichever line is flipped, no piece of that line is believed."""
    cases = 0
    for _, lines in _codecs():
        for line in lines:
            for place in range(len(line) - 1):
                good = line[place]
                for bit in range(8):
                    changed = bytearray(line)
                    changed[place] = good ^ (1 << bit)
                    # A byte that became a newline makes two lines of one.
                    pieces = [bytes(changed)] if changed[place] != 10 else [changed[: place + 1], changed[place + 1 :]]
                    for piece in pieces:
                        assert ChecksumMismatch is _refusal(bytes(piece)), (line, place, bit)
                    cases += 1
    count("flip every bit", cases)


def test_a_flipped_newline_takes_its_neighbour_and_no_more(count: Count) -> None:
    """Without its newline a line is glued to the next one, neither is believed, and all others are."""
    cases = 0
    for codec, lines in _codecs():
        for index, line in enumerate(lines):
            for bit in range(8):
                glued = line[:-1] + bytes([10 ^ (1 << bit)])
                data = b"".join([*lines[:index], glued, *lines[index + 1 :]])
                if cases % 8 == 0 or index == len(lines) - 1:
                    assert (lines[:index] + lines[index + 2 :], 1) == _read(codec, data)
                else:
                    follower = lines[index + 1] if index + 1 < len(lines) else b""
                    assert ChecksumMismatch is _refusal(glued + follower)
                cases += 1
    count("flip every newline", cases)


def test_every_cut_is_seen(count: Count) -> None:
    """A file cut at any byte keeps its whole lines, and what stands after them is torn or nothing."""
    cases = 0
    for _, lines in _codecs():
        for line in lines:
            for size in range(1, len(line)):
                assert TornLine is _refusal(line[:size])
                cases += 1
    count("cut at every byte", cases)


def test_every_cut_that_was_written_on_is_seen(count: Count) -> None:
    """A torn line that the next one was glued to is not believed, wherever it was torn."""
    cases = 0
    for _, lines in _codecs():
        for line, follower in pairwise(lines):
            for size in range(1, len(line)):
                assert ChecksumMismatch is _refusal(line[:size] + follower)
                cases += 1
    count("cut and written on at every byte", cases)


@pytest.mark.parametrize("size", [reference.SECTOR, 4096])
def test_every_zeroed_sector_is_seen(size: int, count: Count) -> None:
    """Lines that a zeroed sector does not touch are read as they were; those that it touches are not believed."""
    cases = 0
    for codec, lines in _codecs():
        data = b"".join(lines)
        for start in range(0, len(data), size):
            stop = min(start + size, len(data))
            expected, at = [], 0
            for line in lines:
                # Not the one that begins where the zeros stop either: it is glued to them.
                if at > stop or at + len(line) <= start:
                    expected.append(line)
                at += len(line)
            damaged = data[:start] + bytes(stop - start) + data[stop:]
            found, refused = _read(codec, damaged)
            assert (expected, 1) == (found, min(refused, 1)), start
            cases += 1
    count(f"zero every {size} bytes", cases)


def test_the_matrix_is_as_large_as_promised() -> None:
    """A million damaged files were looked at; how long that took is printed."""
    took = time.process_time() - _BEGAN
    print(f"\ncodec: {sum(CASES.values()):,} cases in {took:.1f} s: {CASES}")
    if len(CASES) == 6:
        assert sum(CASES.values()) >= 1_000_000
