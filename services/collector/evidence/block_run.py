"""Consecutive blocks of one file, of the own feed, whose messages are added to the evidence together.

Small blocks hold few messages, so what is done for each block costs more than what is done for each message. Nearly all
blocks continue the block before in every respect, and then a run of them is as good as one block. Only such blocks are
added here: any other block is added by itself, with all checks, and gives its faults there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from services.collector.evidence.block_check import number
from services.collector.evidence.timestamps import ascending_us
from services.contract import block_text
from services.contract.blocklog import Block, OwnMessage
from services.contract.jsonl import Sealed


class BlockRun:
    """Blocks of which each continues the one before: as the next line, the next block, and with the next seqs.

    Attributes:
        lines: their lines.
        blocks: the blocks.
    """

    def __init__(self) -> None:
        self.lines: list[Sealed] = []
        self.blocks: list[Block] = []

    def add(self, sealed: Sealed, block: Block) -> bool:
        """Add a block if it continues the one before; return whether it does. The first one is always added."""
        if self.blocks:
            last = self.blocks[-1]
            is_next = sealed.prev == self.lines[-1].crc and block.block == last.block + 1
            if not is_next or block.first != last.last + 1 or block.clock_offset_us != last.clock_offset_us:
                return False
        self.lines.append(sealed)
        self.blocks.append(block)
        return True


def is_plain(block: Block) -> bool:
    """Return whether a block has messages and reports nothing beside them."""
    return bool(block.messages) and not (block.duplicates or block.reordered or block.corrupt or block.stalls)


class RunContent:
    """The messages of a `BlockRun` that were checked: each block is in line, and has the digest that it names.

    Attributes:
        session: the session of the blocks.
        blocks: the blocks, and ``crcs`` the digests of their lines, as numbers.
        first: the lowest seq, ``last`` the highest: the messages are contiguous and in order.
        messages: of all blocks.
        times_us: when each message was received, by the client's clock; ascending epoch microseconds.
        offset_us: the clock offset of all blocks.
        size: bytes of the records.
    """

    __slots__ = ("blocks", "crcs", "first", "last", "messages", "offset_us", "session", "size", "times_us")

    def __init__(self, run: BlockRun, messages: Sequence[OwnMessage], times_us: Sequence[int], size: int) -> None:
        self.blocks, self.crcs = run.blocks, [number(sealed.crc) for sealed in run.lines]
        self.session, self.offset_us = run.blocks[0].session, run.blocks[0].clock_offset_us
        self.first, self.last = run.blocks[0].first, run.blocks[-1].last
        self.messages, self.times_us, self.size = messages, times_us, size

    @classmethod
    def of(cls, run: BlockRun) -> RunContent | None:
        """Check the blocks of a run; return None if any of them has to be added by itself."""
        blocks = run.blocks
        messages = blocks[0].messages if len(blocks) == 1 else [one for block in blocks for one in block.messages]
        first, last = blocks[0].first, blocks[-1].last
        # The length is compared first, since a wrong header may name a range that does not fit into memory.
        if len(messages) != last - first + 1 or [one.seq for one in messages] != list(range(first, last + 1)):
            return None
        size = 0
        for block in blocks:
            count = len(block.messages)
            joined = b"\n".join([message.record for message in block.messages])
            # The ranges of the blocks join, so a block of the wrong length leaves another one with the wrong length.
            if not count == block.count == block.last - block.first + 1:
                return None
            if block_text.joined_digest(joined) != block.digest:
                return None
            size += len(joined) - count + 1
        times_us = ascending_us([one.received_at for one in messages])
        return None if times_us is None else cls(run, messages, times_us, size)

    def parts(self) -> Iterator[tuple[Block, int, int]]:
        """Yield each block with the indexes of its messages: of the first one, and behind the last one."""
        begin = 0
        for block in self.blocks:
            end = begin + block.count
            yield block, begin, end
            begin = end

    def durations_ns(self, begin: int, end: int) -> tuple[list[int], list[int]]:
        """Return the latencies and transits of messages ``[begin:end]``."""
        messages = self.messages[begin:end]
        return [one.latency_ns for one in messages], [one.transit_ns for one in messages]
