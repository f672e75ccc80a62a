"""Tests of the errors for data from another process."""

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
    """An error has one sentence and only the first bytes of the data."""
    detail, data = "this is why", b"x" * 1000
    fault = leaf(detail, data)

    assert detail == str(fault) == fault.detail
    assert data[:200] == fault.data


@pytest.mark.parametrize("leaf", LEAVES)
def test_a_terminal_can_show_it(leaf: type[errors.PeerError | errors.LineError]) -> None:
    """Control characters, line ends and changes of direction that a text quotes are escaped, and a long one is cut."""
    quoted = leaf("invalid value '\x1b[2J\n\u202e\x9b\u2028' and ü")
    long = leaf("x" * 10_000)

    assert "invalid value '\\x1b[2J\\n\\u202e\\x9b\\u2028' and ü" == str(quoted) == quoted.detail
    assert errors.MAX_DETAIL == len(long.detail)


@pytest.mark.parametrize("leaf", LEAVES)
def test_states_who_is_to_blame(leaf: type[Exception]) -> None:
    """Every error is one about a peer or about a line, and a `ContractError`."""
    assert issubclass(leaf, errors.ContractError)
    assert issubclass(leaf, errors.PeerError) != issubclass(leaf, errors.LineError)
