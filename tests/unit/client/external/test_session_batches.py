"""Tests that the blocks of a session do not depend on how many records come in one read."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from services.client.block_encoder import PendingLine
from services.client.external.decoder import DecodedRecord
from services.client.external.session import ExternalSession, Sequences
from tests.unit.client.external.fakes import OPENED, feed_settings
from tests.unit.client.fakes import START_NS, StoppedClock, client_config

NUMBERED = st.builds(
    lambda seq, key, size: DecodedRecord(b'"%b"' % (b"x" * size), None, seq, key, START_NS),
    st.one_of(st.none(), st.integers(0, 9), st.integers(40, 60)),
    st.sampled_from(["a", "b"]),
    st.sampled_from([1, 3, 300]),
)


@given(st.lists(st.lists(NUMBERED, min_size=1, max_size=12), min_size=1, max_size=6), st.booleans())
def test_blocks_are_those_of_records_received_one_by_one(reads: list[list[DecodedRecord]], has_key: bool) -> None:
    """What a block states, also of gaps and duplicates, does not depend on how many records came in one read."""
    reads = [[record if has_key else record._replace(key=None) for record in read] for read in reads]

    def lines(batches: list[tuple[list[DecodedRecord], int]]) -> list[dict[str, Any]]:
        with TemporaryDirectory() as folder:
            config = client_config(Path(folder), block_size=5, block_bytes=1024, block_seconds=2.5)
            session = ExternalSession("client-1", OPENED, feed_settings(FEED_KEY="$.k").feed, config, StoppedClock())
            put: list[PendingLine] = []
            with patch.object(session._queue, "put", put.append):
                for batch, received_ns in batches:
                    session.receive(batch, received_ns)
                session.close_block("end")
            session.close()
        return [{**line.fields, "messages": bytes(line.fields["messages"])} for line in put]

    # A second from read to read: some blocks are closed for their age.
    together = [(read, START_NS + index * 10**9) for index, read in enumerate(reads)]
    singly = [([record], received_ns) for read, received_ns in together for record in read]

    assert lines(singly) == lines(together)


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=60))
def test_no_count_of_a_block_is_below_zero(numbers: list[tuple[int, bool]]) -> None:
    """Whatever is taken for something else later on, a reader of the log refuses a count below zero."""
    sequences = Sequences()
    for place, (seq, is_taken) in enumerate(numbers):
        sequences.accept(DecodedRecord(b"%d" % place, seq=seq))
        counts = sequences.take_counts() if is_taken else {}

        assert all(count >= 0 for count in counts.values())


def test_a_zero_at_the_end_of_a_block_is_no_negative_count_in_the_next() -> None:
    """A count from 1 that begins again with 0 states a late record at first, and nothing after that."""
    sequences, counts = Sequences(), list[dict[str, int]]()
    for block in ([*range(1, 100), 0], range(1, 26)):
        for seq in block:
            sequences.accept(DecodedRecord(b"%d" % len(counts), seq=seq))
        counts.append(sequences.take_counts())

    assert [(1, 0), (0, 1)] == [(of["reordered"], of["restarts"]) for of in counts]
