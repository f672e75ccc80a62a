"""One block by itself: whether its fields agree with its messages, and which seqs it holds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from services.collector.scan import Source
from services.contract import blocklog


class BlockContent(NamedTuple):
    """What the messages of a block say of it.

    Attributes:
        spans: the seqs that it holds, as inclusive ranges in ascending order.
        in_line: its messages are those of one range, in the order of seq.
        size: bytes of its records.
        problem: in which way the block's own fields contradict its messages, None when they agree.
    """

    spans: list[tuple[int, int]]
    in_line: bool
    size: int
    problem: str | None

    def every(self, stride: int, messages: Sequence[blocklog.Message]) -> Sequence[blocklog.Message]:
        """Return those of the block's messages whose seq is a multiple of ``stride``."""
        if self.in_line:
            return messages[-self.spans[0][0] % stride :: stride]
        return [message for message in messages if not message.seq % stride]


class OpenIndexRow(NamedTuple):
    """What is kept of an open line."""

    fence: int
    block_size: int
    source: Source


def number(digest: str) -> int:
    """Return a digest as the number that it writes: ``x0000000a`` is 10."""
    return int(digest[1:], 16)


def examine(block: blocklog.Block) -> BlockContent:
    """Hold a block to its messages, each of which is looked at once where they are as they mostly are: in line."""
    messages, count = block.messages, len(block.messages)
    seqs = [message.seq for message in messages]
    # The bounds are compared first: of a block that lies, the range could fill the memory.
    in_line = 0 < count == block.last - block.first + 1 and seqs == list(range(block.first, block.last + 1))
    held = [(block.first, block.last)] if in_line else spans(seqs)
    records = [message.record for message in (messages if in_line else sorted(messages, key=attrgetter("seq")))]
    joined = b"\n".join(records)
    problem = _miscounted(block, seqs) if not in_line or block.count != count else None
    if problem is None:
        found = blocklog.joined_digest(joined) if records else blocklog.records_digest(())
        problem = f"digest is {block.digest}, its records give {found}" if found != block.digest else None
    return BlockContent(held, in_line, len(joined) - max(0, count - 1), problem)


def _miscounted(block: blocklog.Block, seqs: list[int]) -> str | None:
    different = len(set(seqs))
    if different != len(seqs) or block.count != different:
        return f"count is {block.count}, it holds {len(seqs)} messages of {different} seqs"
    if seqs and (min(seqs), max(seqs)) != (block.first, block.last):
        return f"it says seq {block.first}-{block.last} and holds {min(seqs)}-{max(seqs)}"
    return None


def spans(seqs: Sequence[int]) -> list[tuple[int, int]]:
    """Return seqs, in whatever order, as inclusive ranges in ascending order."""
    rows = (list(row) for _, row in groupby(enumerate(sorted(set(seqs))), lambda pair: pair[1] - pair[0]))
    return [(row[0][1], row[-1][1]) for row in rows]
