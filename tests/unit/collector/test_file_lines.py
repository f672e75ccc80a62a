"""Tests of services/collector/file_lines.py; reading whole folders is in test_scan.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector import file_lines
from services.collector.file_lines import cut

DATA = st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\r", b"\r\n", b"0123456789"])).map(b"".join)


def batches_of(data: bytes, piece: int) -> list[list[bytes]]:
    """Return the batches of data that is read in pieces of this size."""
    pieces = [data[begin : begin + piece] for begin in range(0, len(data), piece)]
    return list(cut(lambda: pieces.pop(0) if pieces else b""))


@given(DATA, st.integers(1, 12), st.integers(1, 20))
def test_batches_have_all_lines_in_order(data: bytes, piece: int, batch: int) -> None:
    """Only a newline ends a line; no batch is empty, and all but the last have at least the size of a batch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_lines, "BATCH", batch)
        batches = batches_of(data, piece)
    *whole, rest = data.split(b"\n")

    assert [*(line + b"\n" for line in whole), *([rest] if rest else [])] == [line for one in batches for line in one]
    assert all(batches)
    assert all(sum(map(len, one)) >= batch for one in batches[:-1])
