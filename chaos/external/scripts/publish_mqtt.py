"""Publishes to mosquitto once all have subscribed: ``python publish_mqtt.py PORT CLIENTS COUNT RATE``."""

from __future__ import annotations

import asyncio
import sys

from chaos.external.scripts.feed import records

_SUBSCRIPTIONS = b"$SYS/broker/subscriptions/count"


def packet(kind: int, body: bytes) -> bytes:
    """Return an MQTT packet with less than 128 bytes of body."""
    return bytes((kind, len(body))) + body


def text(value: bytes) -> bytes:
    """Return a text with its length before it."""
    return len(value).to_bytes(2) + value


async def main(port: int, clients: int, count: int, rate: float) -> None:
    """Publish all records, and stay connected until killed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(packet(0x10, text(b"MQTT") + b"\x04\x02\x00\x00" + text(b"publisher")))
    writer.write(packet(0x82, b"\x00\x01" + text(_SUBSCRIPTIONS) + b"\x00"))
    subscriptions = 0
    # This publisher's own subscription is one of them.
    while subscriptions <= clients:
        kind, size = await reader.readexactly(2)
        body = await reader.readexactly(size)
        if kind & 0xF0 == 0x30:
            subscriptions = int(body[2 + len(_SUBSCRIPTIONS) :])
    async for record in records(count, rate):
        writer.write(packet(0x30, text(b"ticks") + record.encode()))
    await reader.read()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:5])))
