"""How the messages of a block are written and digested, and how long a line can become. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from operator import attrgetter

import msgspec

from services.contract.blocklog import Message, OwnMessage
from services.contract.scalars import digest, digest_text

BESIDE_RECORD, BESIDE_KEY = 220, 730
"""Most bytes in a line of an external feed for a message beside its record and its key, and for a key."""


def longest_line(count: int, size: int, record: int, beside: int = 212) -> int:
    """Return how many bytes the line of a block can have at most.

    Args:
        count: messages in a block, at most.
        size: bytes of records at which a block closes.
        record: bytes of the longest record, by which a block may go beyond ``size``.
        beside: bytes in the line for each message beside its record: its numbers and times, and a gap before it.
    """
    return 4096 + size + record + count * beside


def longest_record(size: int) -> int:
    """Return how many bytes a message of ``size`` bytes can have as a record: those of its base64 as a JSON string.

    A text that would have more, since most of its characters are escaped, is logged as base64, too.
    """
    return 4 * -(-size // 3) + 2


def messages_text(
    first: int, records: Sequence[bytes], received_at: bytes, latencies_ns: Sequence[int] | int, transit_ns: int
) -> bytes:
    """Return consecutive messages that arrived together as they stand in a block, each followed by a comma.

    One call formats them all: made one by one and encoded as `Message` they take three times as long.

    Args:
        first: seq of the first.
        records: their bytes, at least one.
        received_at: when all of them arrived, as it stands in the line.
        latencies_ns: of each, or the one that all have.
        transit_ns: which all have.
    """
    head, seqs = b'{"seq":%%d,"received_at":"%b","latency_ns":' % received_at, range(first, first + len(records))
    if isinstance(latencies_ns, int):
        form = head + b'%d,"transit_ns":%d,"record":%%b},' % (latencies_ns, transit_ns)
        return form * len(records) % tuple(chain.from_iterable(zip(seqs, records, strict=True)))
    form = head + b'%%d,"transit_ns":%d,"record":%%b},' % transit_ns
    return form * len(records) % tuple(chain.from_iterable(zip(seqs, latencies_ns, records, strict=True)))


def records_digest(records: Sequence[bytes | msgspec.Raw]) -> str:
    """Return the digest of records given in the order of seq: each as its bytes and a newline."""
    return joined_digest(b"\n".join(records)) if records else digest_text(0)


def joined_digest(joined: bytes) -> str:
    """Return the digest of one record or more that are joined by newlines already."""
    return digest_text(digest(b"\n", digest(joined)))


def block_digest(messages: Sequence[OwnMessage]) -> str:
    """Return the digest of a block of the own feed; the messages may be in any order."""
    in_order = sorted(messages, key=attrgetter("seq"))
    return records_digest([message.record for message in in_order])


def messages_digest(messages: Iterable[Message]) -> str:
    """Return the digest of a block of an external feed: of its records in the order received."""
    return records_digest([message.record for message in messages])
