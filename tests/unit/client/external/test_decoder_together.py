"""Tests that messages which are read together give the records that each gives by itself."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.client.external.decoder import RecordPaths
from tests.unit.client.external.fakes import feed_settings

NUMBERS = st.one_of(
    st.integers(-2, 2**64), st.floats(), st.booleans(), st.none(), st.sampled_from(["7", "0x1f", "7.0", "-7", "seven"])
)
KEYS = st.one_of(st.text(max_size=5), st.just("k" * 119), st.just("k" * 120), st.integers(0, 9), st.none())
TIMES = st.one_of(
    st.integers(1_700_000_000, 1_700_000_009).map(lambda seconds: seconds * 10**9),
    st.integers(0, 10**20),
    st.sampled_from([1795332600, 1795332600000, "2026-11-22T07:30:00Z", "1795332600000", "late", None, 1.5, True]),
)
RECORDS = st.fixed_dictionaries(
    {}, optional={"seq": NUMBERS, "sym": KEYS, "ts": TIMES, "in": st.dictionaries(st.sampled_from(["seq"]), NUMBERS)}
)
DEEP = b'{"seq":1,"x":' + b"[" * 120 + b"]" * 120 + b"}"
TEXTS = st.one_of(
    RECORDS.map(json.dumps).map(str.encode),
    RECORDS.map(json.dumps).map(str.encode),
    st.tuples(st.sampled_from(["", " ", "\t", "  "]), RECORDS.map(json.dumps), st.sampled_from(["", " ", "\t ", "\n"]))
    .map("".join)
    .map(str.encode),
    st.lists(RECORDS, max_size=3).map(json.dumps).map(str.encode),
    st.sampled_from([DEEP, b'{"seq":\r\n1}', b"{'seq':1}", b"[]", b"7", b"", b"tick", b"\xff", b'{"seq":1,"x":1e999}']),
    st.binary(max_size=10),
)
FEEDS: list[dict[str, Any]] = [
    {"FEED_TIME": "$.ts", "FEED_KEY": "$.sym"},
    {"FEED_SEQ": "$.in.seq", "FEED_TIME": "$.ts ms"},
    {"FEED_KEY": "$.sym,$.ts"},
    {"FEED_SEQ": "", "FEED_TIME": "$.ts"},
    {"FEED_RECORDS": "$.in"},
    {"FEED_PREVIOUS": "$.ts"},
]


def paths_of(changed: dict[str, str]) -> RecordPaths:
    """Return the paths of a feed with these settings."""
    return feed_settings(**changed).reading


@pytest.mark.parametrize("changed", FEEDS, ids=str)
@given(texts=st.lists(TEXTS, min_size=1, max_size=6), binary=st.booleans())
def test_messages_read_together_are_those_read_one_by_one(
    changed: dict[str, str], texts: list[bytes], binary: bool
) -> None:
    """Records, numbers, times, keys and remarks do not depend on how many messages are read at once."""
    paths = paths_of(changed)

    assert [record for text in texts for record in paths.records_in(text, binary=binary)] == paths.records_of(
        texts, binary=binary
    )
