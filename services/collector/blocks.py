"""One block by itself: whether its fields agree with its messages, and which seqs it holds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from services.collector.scan import Source
from services.contract import blocklog


class BlockNote(NamedTuple):
    """What is kept of a block: enough to compare it with its receipt, and to know it again by its line's ``crc``.

    A run has hundreds of thousands of them, so digests are kept as numbers.
    """

    first: int
    last: int
    messages: int
    digest: int
    crc: int


class OpenNote(NamedTuple):
    """What is kept of an open line."""

    fence: int
    block_size: int
    source: Source


def number(digest: str) -> int:
    """Return a digest as the number that it writes: ``x0000000a`` is 10."""
    return int(digest[1:], 16)


def contradiction(block: blocklog.Block) -> str | None:
    """Return in which way a block's own fields contradict its messages, None when they agree."""
    seqs = {message.seq for message in block.messages}
    if len(seqs) != len(block.messages) or block.count != len(seqs):
        return f"count is {block.count}, it holds {len(block.messages)} messages of {len(seqs)} seqs"
    if seqs and (min(seqs), max(seqs)) != (block.first, block.last):
        return f"it says seq {block.first}-{block.last} and holds {min(seqs)}-{max(seqs)}"
    found = blocklog.block_digest(block.messages)
    if found != block.digest:
        return f"digest is {block.digest}, its records give {found}"
    return None


def spans(seqs: Sequence[int]) -> list[tuple[int, int]]:
    """Return sorted seqs as inclusive ranges."""
    if seqs and seqs[-1] - seqs[0] == len(seqs) - 1 and len(set(seqs)) == len(seqs):
        return [(seqs[0], seqs[-1])]
    rows = (list(row) for _, row in groupby(enumerate(sorted(set(seqs))), lambda pair: pair[1] - pair[0]))
    return [(row[0][1], row[-1][1]) for row in rows]
