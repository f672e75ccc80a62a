"""Tests of the records of an external feed that arrived together."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.client.external.decoder import DecodedRecord
from services.client.external.external_batch import ExternalBatch
from services.contract.blocklog import ExternalMessage
from services.contract.sequence_text import integer
from tests.unit.client.fakes import START_NS

BATCH = ExternalBatch(
    11,
    [
        DecodedRecord(b'{"seq":3}', None, 3, "k", START_NS - 5),
        DecodedRecord(b'"what?"', "text"),
        DecodedRecord(b'{"seq":4}', None, 4),
    ],
    START_NS,
)


def test_messages_are_encoded_as_a_reader_decodes_them() -> None:
    """Unknown values are null; the values of each record are in its message."""
    read = msgspec.json.decode(b"[" + BATCH.text()[:-1] + b"]", type=list[ExternalMessage])

    assert [(3, 5, "k", None), (None, None, None, "text"), (4, None, None, None)] == [
        (one.seq, one.latency_ns, one.key, one.form) for one in read
    ]
    assert ["2026-11-22T07:30:00.000000Z"] * 3 == [one.received_at for one in read]
    assert BATCH.records == [bytes(one.record) for one in read]


def test_parts_keep_their_places() -> None:
    """A part of a batch has the position of its first record."""
    part = BATCH.part(1, 3)

    assert (12, 13) == (part.first, part.last)
    assert b'"what?"\n{"seq":4}\n' == part.lines()
    assert 16 == part.size


def test_a_number_that_readers_may_not_keep_is_a_text() -> None:
    """From 2^53 on a number is written as a text of digits, and a reader decodes the same number."""
    seqs = [2**53 - 1, 2**53, 2**64 - 1]
    text = ExternalBatch(1, [DecodedRecord(b"{}", None, seq) for seq in seqs], START_NS).text()
    read = msgspec.json.decode(b"[" + text[:-1] + b"]", type=list[ExternalMessage])

    assert b'"seq":9007199254740991,' in text
    assert b'"seq":"9007199254740992",' in text
    assert seqs == [one.with_numbers(integer).seq for one in read]


UNUSUAL = st.builds(
    DecodedRecord,
    st.sampled_from([b"{}", b'{"seq":5}', b"null"]),
    st.sampled_from([None, None, "text"]),
    st.one_of(st.none(), st.integers(0, 9), st.integers(2**53 - 2, 2**64 - 1)),
    st.one_of(st.none(), st.text(max_size=4)),
    st.one_of(st.none(), st.integers(1, START_NS)),
    st.none(),
    st.one_of(st.none(), st.none(), st.integers(0, 5)),
    st.one_of(st.none(), st.none(), st.integers(-1, 5)),
)


@given(
    st.lists(UNUSUAL, min_size=1, max_size=5),
    st.sampled_from([{}, {"form": None, "first_seq": None, "prev_seq": None}]),
    st.sampled_from([{}, {"seq": 7}, {"seq": None}]),
    st.sampled_from([{}, {"sent_ns": START_NS - 1}, {"sent_ns": None}]),
)
def test_messages_have_the_text_of_each_by_itself(
    drawn: list[DecodedRecord], usual: dict[str, Any], seq: dict[str, Any], sent: dict[str, Any]
) -> None:
    """The texts of records that are formatted together are those of the same records one by one."""
    records = [record._replace(**{**usual, **seq, **sent}) for record in drawn]
    batch = ExternalBatch(1, records, START_NS)
    single = [ExternalBatch(1, [record], START_NS) for record in records]

    assert b"".join(one.text() for one in single) == batch.text()
    assert b"".join(one.lines() for one in single) == batch.lines()
    assert [seq for one in single for seq in one.seqs] == list(batch.seqs)
    assert sum(one.without_key for one in single) == batch.without_key
    assert sum(one.without_time for one in single) == batch.without_time
    assert sum(one.size for one in single) == batch.size
