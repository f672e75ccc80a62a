"""Tests of the faults that data crossing a boundary can have."""

from __future__ import annotations

import pytest

from services.contract import errors

LEAVES = [
    errors.MalformedFrame,
    errors.FrameTooBig,
    errors.TornLine,
    errors.ChecksumMismatch,
    errors.MalformedLine,
    errors.UnsupportedVersion,
]


@pytest.mark.parametrize("leaf", LEAVES)
def test_carries_what_it_saw(leaf: type[errors.PeerError | errors.LineError]) -> None:
    """A fault says one sentence and carries the first bytes of the offending data, not all of it."""
    detail, data = "this is why", b"x" * 1000
    fault = leaf(detail, data)

    assert detail == str(fault) == fault.detail
    assert data[:200] == fault.data


@pytest.mark.parametrize("leaf", LEAVES)
def test_says_who_is_to_blame(leaf: type[Exception]) -> None:
    """A fault is either the peer's or a line's, and always the contract's."""
    assert issubclass(leaf, errors.ContractError)
    assert issubclass(leaf, errors.PeerError) != issubclass(leaf, errors.LineError)
