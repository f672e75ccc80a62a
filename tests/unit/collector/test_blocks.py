"""Tests of services/collector/blocks.py."""

import msgspec
import pytest

from services.collector.blocks import contradiction, number, spans
from tests.unit.collector.books_factory import Session, block

SESSION = Session("a", 1, 1, 0, [(1, 10)])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"digest": "x00000000"}, "digest is x00000000"),
        ({"count": 9}, "count is 9, it holds 10 messages"),
        ({"last": 11}, "it says seq 1-11 and holds 1-10"),
    ],
)
def test_a_block_that_contradicts_itself_is_told(changes: dict[str, object], says: str) -> None:
    """The digest is computed again, the counts and bounds are held to the messages."""
    made = msgspec.structs.replace(block(SESSION, 1, 1, 10), **changes)

    assert says in (contradiction(made) or "")
    assert contradiction(block(SESSION, 1, 1, 10)) is None


@pytest.mark.parametrize(
    ("seqs", "expected"),
    [([], []), ([5], [(5, 5)]), ([1, 2, 3], [(1, 3)]), ([1, 2, 2, 4, 5, 9], [(1, 2), (4, 5), (9, 9)])],
)
def test_seqs_become_ranges(seqs: list[int], expected: list[tuple[int, int]]) -> None:
    """Sorted seqs, repeated ones too, become inclusive ranges."""
    assert expected == spans(seqs)


def test_a_digest_is_a_number() -> None:
    """Digests that differ as texts differ as numbers."""
    assert [0, 10, 2**32 - 1] == [number("x00000000"), number("x0000000a"), number("xffffffff")]
