"""Text and digest of the messages of a block, and the greatest length of its line. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from operator import attrgetter

import msgspec

from services.contract.blocklog import Message, OwnMessage
from services.contract.scalars import digest, digest_text

BESIDE_RECORD, BESIDE_KEY, BESIDE_LINK = 220, 730, 36
"""Most bytes for a message of an external feed in addition to its record and what follows here, for its key, and for
the first number of its range or the number before it, each."""


def longest_line(count: int, size: int, record: int, beside: int = 212) -> int:
    """Return the greatest length of the line of a block, in bytes.

    Args:
        count: most messages in a block.
        size: bytes of records at which a block is closed.
        record: bytes of the longest record, by which a block may exceed ``size``.
        beside: bytes for each message in addition to its record: numbers, times, and a gap before it.
    """
    # The constant covers the fields of the block itself: its ranges of missing seqs are counted with the messages.
    return 4096 + size + record + count * beside


def longest_record(size: int) -> int:
    """Return the greatest length of a record for a message of ``size`` bytes: that of its base64 as a JSON string.

    A text that would be longer, since most of its characters need escapes, is logged as base64, too.
    """
    return 4 * -(-size // 3) + 2


def messages_text(
    first: int, records: Sequence[bytes], received_at: bytes, latencies_ns: Sequence[int] | int, transit_ns: int
) -> bytes:
    """Return the JSON text of consecutive messages that were received together, each followed by a comma.

    One call formats all of them: encoding each as a `Message` takes three times as long.

    Args:
        first: seq of the first message.
        records: the bytes of the records, at least one.
        received_at: when all of them were received, as JSON text without quotes.
        latencies_ns: the latency of each message, or one number if all are equal.
        transit_ns: the transit of all messages.
    """
    # Values that all messages share are formatted once. The doubled percent signs are for the second formatting, of the
    # values that differ.
    head, seqs = b'{"seq":%%d,"received_at":"%b","latency_ns":' % received_at, range(first, first + len(records))
    if isinstance(latencies_ns, int):
        form = head + b'%d,"transit_ns":%d,"record":%%b},' % (latencies_ns, transit_ns)
        return form * len(records) % tuple(chain.from_iterable(zip(seqs, records, strict=True)))
    form = head + b'%%d,"transit_ns":%d,"record":%%b},' % transit_ns
    return form * len(records) % tuple(chain.from_iterable(zip(seqs, latencies_ns, records, strict=True)))


def records_digest(records: Sequence[bytes | msgspec.Raw]) -> str:
    """Return the digest of records in the given order: of the bytes of each and a newline."""
    return joined_digest(b"\n".join(records)) if records else digest_text(0)


def joined_digest(joined: bytes) -> str:
    """Return the digest of one or more records that are already joined by newlines."""
    # The CRC is continued with the last newline: appending it to the bytes would copy the whole block.
    return digest_text(digest(b"\n", digest(joined)))


def block_digest(messages: Sequence[OwnMessage]) -> str:
    """Return the digest of a block of the own feed: of its records in the order of seq."""
    # Messages are logged in the order received, but the digest has to follow from the seqs alone: the server computes
    # it again for each receipt, without knowing the order.
    in_order = sorted(messages, key=attrgetter("seq"))
    return records_digest([message.record for message in in_order])


def messages_digest(messages: Iterable[Message]) -> str:
    """Return the digest of a block of an external feed: of its records in the order received."""
    return records_digest([message.record for message in messages])
