"""Tests of services/collector/evidence/block_check.py."""

import msgspec
import pytest

from services.collector.evidence.block_check import examine, number
from services.contract import block_text
from tests.builders.runs import Session, block

SESSION = Session("a", 1, 1, 0, [(1, 10)])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"digest": "x00000000"}, "digest is x00000000"),
        ({"count": 9}, "count is 9, it holds 10 messages"),
        ({"last": 11}, "it says seq 1-11 and holds 1-10"),
    ],
)
def test_a_block_that_contradicts_itself_is_reported(changes: dict[str, object], says: str) -> None:
    """A header passes if its digest, counts and bounds are those of the messages; each other value is a problem."""
    made = msgspec.structs.replace(block(SESSION, 1, 1, 10), **changes)

    assert says in (examine(made).problem or "")
    assert examine(block(SESSION, 1, 1, 10)).problem is None


def test_a_block_out_of_line_is_examined_as_well() -> None:
    """Messages out of order, or with a gap between them, are compared with the same fields as messages in line."""
    straight = block(SESSION, 1, 1, 10)
    turned = msgspec.structs.replace(straight, messages=straight.messages[::-1])
    some = [message for message in straight.messages if message.seq != 4]
    gap = msgspec.structs.replace(straight, messages=some, count=9, digest=block_text.block_digest(some))
    size = sum(len(message.record) for message in straight.messages)

    assert (([(1, 10)], True, size, None)) == examine(straight)
    assert ([(1, 10)], False, size, None) == examine(turned)
    assert ([(1, 3), (5, 10)], False, size - len(straight.messages[3].record), None) == examine(gap)
    assert "its records give" in (examine(msgspec.structs.replace(turned, digest="x00000000")).problem or "")


def test_a_seq_that_occurs_twice_is_reported() -> None:
    """Two messages with one seq are a problem even if the number of messages fits the bounds."""
    made = block(SESSION, 1, 1, 10)
    twice = [*made.messages[:4], *made.messages[3:9]]
    twice[-1] = made.messages[-1]
    says = examine(msgspec.structs.replace(made, messages=twice)).problem

    assert "count is 10, it holds 10 messages of 9 seqs" == says


def test_a_block_without_messages_holds_nothing() -> None:
    """An empty block has no positions, and the range in its header is not expanded in memory."""
    made = msgspec.structs.replace(
        block(SESSION, 1, 1, 10), messages=[], count=0, last=2**53 - 1, digest=block_text.records_digest([])
    )

    assert ([], False, 0, None) == examine(made)


@pytest.mark.parametrize("stride", [1, 2, 4, 16])
def test_a_sample_is_the_same_in_any_order(stride: int) -> None:
    """`every` returns the messages whose seqs are multiples of the stride, for blocks in line and out of line."""
    straight = block(SESSION, 1, 3, 40)
    turned = msgspec.structs.replace(straight, messages=straight.messages[::-1])
    expected = [seq for seq in range(3, 41) if not seq % stride]

    assert expected == [one.seq for one in examine(straight).every(stride, straight.messages)]
    assert expected[::-1] == [one.seq for one in examine(turned).every(stride, turned.messages)]


def test_a_digest_is_a_number() -> None:
    """Digests that differ as texts differ as numbers."""
    assert [0, 10, 2**32 - 1] == [number("x00000000"), number("x0000000a"), number("xffffffff")]
