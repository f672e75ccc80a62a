"""Tests of the value types that all formats share."""

from __future__ import annotations

import re
import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract import scalars
from services.contract.scalars import MAX_INTEGER, digest, digest_text, is_name, utc_text, utc_us

LAST_US = 253_402_300_799_999_999
"""The end of the year 9999, the last that RFC 3339 can write."""

since_1970 = st.integers(0, LAST_US)


@pytest.mark.parametrize("name", ["client-2", "client-2.1", "client-2~2", "0", "a" * 63, "a._~-"])
def test_is_name_accepts(name: str) -> None:
    """A name of lower-case letters, digits and four signs can name a client."""
    assert is_name(name)


@pytest.mark.parametrize(
    "name", ["", "Client", ".hidden", "..", "-a", "~a", "a" * 64, "a/b", "a b", "é", "a\n", "\na", "a\x00"]
)
def test_is_name_refuses(name: str) -> None:
    """A name that could leave its folder, be hidden in it or break a line is refused."""
    assert not is_name(name)


@pytest.mark.parametrize(
    ("epoch_us", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1, "1970-01-01T00:00:00.000001Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (1_795_332_600_000_000, "2026-11-22T07:30:00.000000Z"),
        (LAST_US, "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_utc_text_examples(epoch_us: int, text: str) -> None:
    """A time has six digits and Z even when it is a whole second."""
    assert text == utc_text(epoch_us)


@given(st.integers(-MAX_INTEGER, MAX_INTEGER))
def test_utc_round_trip(epoch_us: int) -> None:
    """Every microsecond that the formats allow is unchanged after writing and reading."""
    assert epoch_us == utc_us(utc_text(epoch_us))


@given(since_1970, since_1970)
def test_utc_text_sorts(one: int, other: int) -> None:
    """Times in the order of their text are in the order of time."""
    assert (one < other) == (utc_text(one) < utc_text(other))


@given(since_1970)
def test_utc_text_form(epoch_us: int) -> None:
    """Every time has the one form that the formats allow."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", utc_text(epoch_us))


def test_utc_us_reads_offsets() -> None:
    """A time with an offset is the same instant as in UTC."""
    assert utc_us("2026-11-22T07:30:00.25Z") == utc_us("2026-11-22T08:30:00.250000+01:00")


@pytest.mark.parametrize("text", ["", "now", "2026-11-22T07:30:00.000000", "2026-13-01T00:00:00Z", "1795332600"])
def test_utc_us_refuses(text: str) -> None:
    """A text that is no time, or a time without a zone, is refused."""
    with pytest.raises(ValueError, match=r"."):
        utc_us(text)


def test_digest_text_pads() -> None:
    """A digest has its letter and all eight digits, also for a small number."""
    assert digest_text(0) == "x00000000"
    assert digest_text(0xABC) == "x00000abc"
    assert digest_text(0xFFFFFFFF) == "xffffffff"


@given(st.binary(), st.binary())
def test_digest_continues(one: bytes, other: bytes) -> None:
    """A digest of pieces is the digest of the whole, and zlib's CRC-32."""
    assert zlib.crc32(one + other) == digest(other, digest(one))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (scalars.Name, "client-1\n"),
        (scalars.Run, "20261122T073000Z\n"),
        (scalars.Run, "20261122T073000Z-"),
        (scalars.Run, "2026-11-22"),
        (scalars.Run, "../20261122T073000Z"),
        (scalars.Digest, "xABCDEF01"),
        (scalars.Digest, "00000000"),
        (scalars.Digest, "x0000000"),
        (scalars.Digest, "x00000000\n"),
        (scalars.Count, -1),
        (scalars.Count, MAX_INTEGER + 1),
        (scalars.Positive, 0),
        (scalars.Positive, MAX_INTEGER + 1),
        (scalars.Integer, MAX_INTEGER + 1),
        (scalars.Integer, -MAX_INTEGER - 1),
        (scalars.Integer, 10**300),
        (scalars.Rate, -1),
        (scalars.Rate, -0.5),
        (scalars.Rate, 10_000_000.5),
        (scalars.Count, 9_007_199_254_740_992),
        (scalars.Rate, 10_000_001),
        (scalars.Span, [1]),
        (scalars.Span, [1, 2, 3]),
        (scalars.Span, [-1, 2]),
    ],
)
def test_types_refuse(kind: Any, value: Any) -> None:
    """A value outside the bounds of its type is refused."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(value), type=kind)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (scalars.Count, 0),
        (scalars.Count, 9_007_199_254_740_991),
        (scalars.Positive, 1),
        (scalars.Positive, 9_007_199_254_740_991),
        (scalars.Integer, 9_007_199_254_740_991),
        (scalars.Integer, -9_007_199_254_740_991),
        (scalars.Rate, 0),
        (scalars.Rate, 0.0),
        (scalars.Rate, 0.5),
        (scalars.Rate, 10_000_000),
        (scalars.Rate, 10_000_000.0),
        (scalars.Span, (0, 0)),
        (scalars.Name, "a"),
        (scalars.Digest, "x0123abcf"),
    ],
)
def test_types_accept(kind: Any, value: Any) -> None:
    """A value at a bound of its type is accepted."""
    assert value == msgspec.json.decode(msgspec.json.encode(value), type=kind)


def test_runs_are_ordered_by_their_opening() -> None:
    """Runs are sorted by the time of opening, the tenth of one second after the second."""
    runs = ["20251231T235959Z", "20261122T073000Z", "20261122T073000Z-2", "20261122T073000Z-10", "20261122T073001Z"]

    assert runs == sorted({*runs}, key=scalars.run_order)
    assert ("20261122T073000Z", 1) == scalars.run_order(runs[1])


@pytest.mark.parametrize("run", ["20261122T073000Z", "20261122T073000Z-2", "20261122T073000Z-10"])
def test_run_names(run: str) -> None:
    """A run has the name of its opening time, with a number if that name is taken."""
    assert run == msgspec.convert(run, scalars.Run)
