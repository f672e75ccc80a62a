"""A bare reader of a feed: it stamps each read of an asyncio socket, and afterwards computes the latencies.

Its figures contain no share of a client: those of the sender, the kernel and the event loop remain.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time

from benchmarks.external.sender import FRAME_BYTES

_STAMP = re.compile(rb'"ts":([0-9]+)')


async def main() -> None:
    """Read until the server closes; print ``end`` and the latencies of all records, nanoseconds, as JSON."""
    port = int(sys.argv[1])
    reads: list[tuple[int, bytes]] = []
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    class Reads(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            reads.append((time.time_ns(), data))
            if data.endswith(b"\x88\x02\x03\xe8"):
                ended.set_result(None)

        def connection_lost(self, _: Exception | None) -> None:
            if not ended.done():
                ended.set_result(None)

    transport, _ = await loop.create_connection(Reads, "127.0.0.1", port)
    transport.write(
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    await ended
    transport.close()
    print("end", json.dumps(latencies(reads)), flush=True)


def latencies(reads: list[tuple[int, bytes]]) -> list[int]:
    """Return the time from the stamp of each record to the read that brought its last byte, nanoseconds."""
    found: list[int] = []
    content = b""
    is_open = False
    for received_ns, data in reads:
        content += data
        if not is_open:
            head, separator, rest = content.partition(b"\r\n\r\n")
            is_open, content = bool(separator), rest if separator else head
        whole = len(content) // FRAME_BYTES if is_open else 0
        for number in range(whole):
            stamp = _STAMP.search(content, number * FRAME_BYTES, (number + 1) * FRAME_BYTES)
            found.append(received_ns - int(stamp[1]) if stamp is not None else 0)
        content = content[whole * FRAME_BYTES :]
    return found


if __name__ == "__main__":
    asyncio.run(main())
