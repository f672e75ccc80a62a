"""Publishes to nats-server once all have subscribed: ``python publish_nats.py PORT MONITOR CLIENTS COUNT RATE``."""

from __future__ import annotations

import asyncio
import json
import sys
import urllib.request

from chaos.external.scripts.feed import records


def subscriptions(monitor: int) -> int:
    """Return the number of subscriptions, from the server's monitoring port."""
    with urllib.request.urlopen(f"http://127.0.0.1:{monitor}/connz?subs=1", timeout=5) as answer:
        return sum(connection.get("subscriptions", 0) for connection in json.load(answer)["connections"])


async def main(port: int, monitor: int, clients: int, count: int, rate: float) -> None:
    """Publish all records, and stay connected until the server ends the connection."""
    while await asyncio.to_thread(subscriptions, monitor) < clients:  # noqa: ASYNC110 - the server can only be polled
        await asyncio.sleep(0.05)
    # Only now, since the server cuts off a connection that is silent and answers no ping.
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reader.readline()
    writer.write(b'CONNECT {"verbose":false}\r\n')
    async for text in records(count, rate):
        writer.write(b"PUB feed %d\r\n%b\r\n" % (len(text), text.encode()))
    await reader.read()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:6])))
