"""The server process with what its settings ask of NATS JetStream: ``LEDGER`` and ``SOURCE``."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from services.server import app
from services.server.jetstream.client import JetStreamClient
from services.server.jetstream.exchange import JetStreamExchange
from services.server.jetstream.stream_feed import StreamFeed
from services.server.runs.process_identity import new_instance
from services.server.settings import ServerSettings


async def main(settings: ServerSettings, stop: asyncio.Event, *, invocation: str = "") -> int:
    """Serve until ``stop`` is set; return the exit code.

    Raises:
        OperatorError: see `services.server.app.main`; or a stream cannot be used.
    """
    folder = settings.volumes / "ledger"
    async with AsyncExitStack() as stack:
        feed, exchange = None, None
        if settings.source is not None:
            feed = StreamFeed(JetStreamClient(settings.source, "SOURCE"), folder, settings.records)
            await asyncio.to_thread(feed.start)
            stack.push_async_callback(asyncio.to_thread, feed.close)
        if settings.ledger is not None:
            exchange = JetStreamExchange(JetStreamClient(settings.ledger, "LEDGER"), folder, new_instance())
            await asyncio.to_thread(exchange.start)
            # After the ledger is closed, so that its last lines are sent too.
            stack.push_async_callback(asyncio.to_thread, exchange.close)
        return await app.main(settings, stop, feed=feed, invocation=invocation, exchange=exchange)
    raise AssertionError("the stack suppresses no exception")
