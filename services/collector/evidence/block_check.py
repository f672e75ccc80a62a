"""Checks one block by itself: whether its header agrees with its messages, and which positions they cover."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from services.collector.scan import Source
from services.contract import block_text, blocklog
from services.contract.rangeset import RangeSet


class BlockContent(NamedTuple):
    """The result of checking the messages of a block.

    Attributes:
        spans: the positions of its messages, as inclusive ranges in ascending order.
        is_in_line: whether the messages are contiguous and in order, as nearly always.
        size: bytes of the records.
        problem: how the header contradicts the messages, None if it agrees.
    """

    spans: list[tuple[int, int]]
    is_in_line: bool
    size: int
    problem: str | None

    def every(self, stride: int, messages: Sequence[blocklog.OwnMessage]) -> Sequence[blocklog.OwnMessage]:
        """Return the messages of the block whose seq is a multiple of ``stride``."""
        if self.is_in_line:
            # A slice costs less than a test of each message, and nearly all blocks are in line.
            return messages[-self.spans[0][0] % stride :: stride]
        return [message for message in messages if not message.seq % stride]


class OpenIndexRow(NamedTuple):
    """The fields of an open line that are kept, and its file."""

    fence: int
    block_size: int
    source: Source


def number(digest: str) -> int:
    """Return a digest as an integer: ``x0000000a`` is 10."""
    return int(digest[1:], 16)


def examine(block: blocklog.AnyBlock) -> BlockContent:
    """Check the header of a block against its messages."""
    messages: Sequence[blocklog.Message] = block.messages
    count = len(messages)
    first, last = block.positions
    positions = block.message_positions()
    # The length is compared first, since a wrong header may name a range that does not fit into memory.
    is_in_line = 0 < count == last - first + 1 and positions == list(range(first, last + 1))
    held = [(first, last)] if is_in_line else RangeSet.from_numbers(positions).spans()
    if not is_in_line:
        # The digest is of the records in order of seq. Sorting all blocks would cost a tenth of the time of this check,
        # so only blocks out of line are sorted.
        messages = [messages[index] for index in sorted(range(count), key=positions.__getitem__)]
    joined = b"\n".join([message.record for message in messages])
    # Messages in line have no seq twice and begin and end as the header says, so only `count` can be wrong.
    problem = _miscounted(block, positions) if not is_in_line or block.count != count else None
    if problem is None:
        # No record and one empty record give the same joined bytes, but only the record is followed by a newline.
        digest = block_text.joined_digest(joined) if count else block_text.records_digest(())
        problem = f"digest is {block.digest}, its records give {digest}" if digest != block.digest else None
    return BlockContent(held, is_in_line, len(joined) - max(0, count - 1), problem)


def _miscounted(block: blocklog.AnyBlock, positions: list[int]) -> str | None:
    different = len(set(positions))
    if different != len(positions) or block.count != different:
        return f"count is {block.count}, it holds {len(positions)} messages of {different} seqs"
    if positions and (min(positions), max(positions)) != block.positions:
        first, last = block.positions
        return f"it says seq {first}-{last} and holds {min(positions)}-{max(positions)}"
    return None
