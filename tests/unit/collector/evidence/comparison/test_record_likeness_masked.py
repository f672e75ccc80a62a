"""Tests of removing the time of sending from records."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.evidence.comparison.record_likeness import TimeMask, timeless


def texts(time: str | None, *records: Any) -> list[bytes]:
    """Return the texts, without their times, of records that a server writes with spaces."""
    return [
        bytes(text) for text in TimeMask(time).texts([msgspec.Raw(json.dumps(record).encode()) for record in records])
    ]


@pytest.mark.parametrize(
    ("time", "one", "other"),
    [
        ("$.ts", {"ts": 1795332600123, "a": 1}, {"ts": 1795332600130, "a": 1}),
        ("$.ts", {"a": 1, "ts": "2026-11-22T07:30:00.1Z"}, {"a": 1, "ts": "2026-11-22T07:30:00.25Z"}),
        ("$.ts", {"ts": 1.5e9}, {"ts": -1}),
        ("$.meta['sent at']", {"meta": {"sent at": 1}, "a": 1}, {"meta": {"sent at": 2}, "a": 1}),
        ("$['zeit_über']", {"zeit_über": 1}, {"zeit_über": 2}),
        ("$['a\\\"b']", {'a"b': 1}, {'a"b': 2}),
        ("$[1]", ["t", 1, {"a": 1}], ["t", 2, {"a": 1}]),
        ("$.data[0][2]", {"data": [[0, 1, 2]]}, {"data": [[0, 1, 3]]}),
    ],
)
def test_the_time_of_sending_may_differ(time: str, one: Any, other: Any) -> None:
    """Records that differ only in their time have one text, in a block of one record and beside others."""
    assert 1 == len({*texts(time, one, other), *texts(time, one), texts(time, other, one)[0]})


@pytest.mark.parametrize(
    ("time", "one", "other"),
    [
        (None, {"ts": 1}, {"ts": 2}),
        ("$.ts", {"ts": 1, "a": 1}, {"ts": 1, "a": 2}),
        ("$.ts", {"ts": {"a": 1}}, {"ts": {"a": 2}}),
        ("$.ts", '"ts": 1', '"ts": 2'),
        ("$.ts", {"its": 1}, {"its": 2}),
        ("$[1]", ["t", 1, {"a": 1}], ["t", 1, {"a": 2}]),
        ("$[1]", "text", "other"),
        ("$[5]", [1], [2]),
        ("no path", {"ts": 1}, {"ts": 2}),
    ],
)
def test_everything_else_counts(time: str | None, one: Any, other: Any) -> None:
    """Records that differ in another value, or whose time is at another place, have different texts."""
    assert 2 == len(set(texts(time, one, other)))


AT_US = 1_795_332_600_123_456


@pytest.mark.parametrize(
    "time",
    [
        "2026-11-22T07:30:00.123456Z", "2026-11-22 07:30:00+01:00", 1795332600, 1795332600.5, 1795332600123,
        "1795332600123456", 1795332600123456789, 1796000000000,
    ],
)  # fmt: skip
def test_without_times_records_that_differ_in_them_are_equal(time: Any) -> None:
    """Dates, and numbers that are a current time in any unit, are removed."""
    record = json.dumps({"a": [{"at": time}]}, separators=(",", ":")).encode()

    assert b'{"a":[{"at":}]}' == timeless(record, AT_US).replace(b'""', b"")


@pytest.mark.parametrize("value", [17, 179533260, 1895332600123, 17953326001234567890123, "2026-11-22"])
def test_other_numbers_are_not_times(value: Any) -> None:
    """A number that is not a current time is kept."""
    record = json.dumps({"id": value}).encode()

    assert record == timeless(record, AT_US)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["ts", "a", "b"]), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(json_values, min_size=1, max_size=6), st.sampled_from([None, "$.ts", "$.a.ts", "$[0]", "$.b[1]"]))
def test_a_text_does_not_depend_on_the_records_beside_it(records: list[Any], time: str | None) -> None:
    """The text of a record does not depend on the records beside it."""
    assert [texts(time, record)[0] for record in records] == texts(time, *records)
