"""Tests of the contents of records without numbers."""

from __future__ import annotations

import zlib
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.evidence.comparison import unnumbered_records
from services.collector.evidence.comparison.unnumbered_records import UnnumberedRecords

START_US = 1_795_000_000_000_000


def added(records: UnnumberedRecords, client: str, number: int, texts: list[bytes], *, connection: int = 1) -> None:
    """Add a block whose records were received a second after those of the block before."""
    at_us = START_US + number * 1_000_000
    records.add_block(client, (1, connection, number, f"x{number}"), texts, [at_us, at_us + len(texts)])


def test_the_records_of_a_connection_are_in_the_order_received() -> None:
    """Blocks are joined by connection in the order of their numbers, whatever the order of reading."""
    records = UnnumberedRecords()
    added(records, "a", 2, [b"two"])
    added(records, "a", 3, [b"three"], connection=2)
    added(records, "a", 1, [b"one"])

    first, second = records.connections("a")

    assert array("I", [zlib.crc32(b"one"), zlib.crc32(b"two")]) == first.digests
    assert ((1, 1), (1, 2)) == (first.place, second.place)
    assert (START_US + 1_000_000, START_US + 2_000_001) == (first.first_us, first.last_us)
    assert (1, 2) == (first.block_of(0), first.block_of(1))
    assert (0, 1, 2) == tuple(first.count_until(START_US + at_us) for at_us in (1, 1_500_000, 9_000_000))
    assert [] == records.connections("b")


def test_current_times_do_not_make_records_different() -> None:
    """A server may add the time of each send: records that differ only in it are the same."""
    records = UnnumberedRecords()
    added(records, "a", 1, [b'{"price":1,"sent":%d}' % (START_US // 1000)])
    added(records, "b", 1, [b'{"price":1,"sent":%d}' % (START_US // 1000 + 2)])
    added(records, "c", 1, [b'{"price":2,"sent":%d}' % (START_US // 1000 + 2)])

    one, same, other = (records.connections(client)[0].digests for client in "abc")

    assert one == same != other


@given(st.permutations([(client, number) for client in "ab" for number in range(1, 9)]))
def test_a_sample_of_many_records_is_the_same_at_every_client(order: list[tuple[str, int]]) -> None:
    """Of too many records the same ones are kept at each client, in any order of reading, and this is known."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unnumbered_records, "MOST", 40)
        records = UnnumberedRecords()
        for client, number in order:
            added(records, client, number, [b"record %d" % (number * 10 + at) for at in range(10)])

        assert records.is_sampled
        digests = records.connections("a")[0].digests
        assert digests == records.connections("b")[0].digests
        every = [zlib.crc32(b"record %d" % number) for number in range(10, 90)]
        kept = {bits: [digest for digest in every if digest < 2**32 >> bits] for bits in range(8)}
        assert digests.tolist() == next(found for found in kept.values() if 2 * len(found) <= 40)


PLACES = [(client, number) for client in "abcd" for number in range(1, 5)]


@pytest.mark.parametrize("most", [20, 100, 1000])
@given(st.lists(st.integers(0, 2), min_size=4, max_size=4), st.permutations(PLACES), st.permutations(range(3)))
def test_records_of_other_clients_merge_to_those_of_all(
    most: int, divided: list[int], order: list[tuple[str, int]], merging: list[int]
) -> None:
    """For any division of the clients the merged records are those that one reader has, also if they are sampled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unnumbered_records, "MOST", most)
        whole, parts = UnnumberedRecords(), [UnnumberedRecords() for _ in range(3)]
        for client, number in order:
            texts = [b"%s record %d" % (client.encode(), number * 10 + at) for at in range(10)]
            for records in (whole, parts[divided["abcd".index(client)]]):
                added(records, client, number, texts)
        merged, *others = (parts[place] for place in merging)
        for other in others:
            merged.merge(other)

        assert (whole.clients, whole.is_sampled, most < 160) == (merged.clients, merged.is_sampled, merged.is_sampled)
        assert [whole.connections(client) for client in "abcd"] == [merged.connections(client) for client in "abcd"]
