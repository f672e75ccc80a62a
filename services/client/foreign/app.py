"""The clients of a foreign feed: they agree on a run, and each listens under a name of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from services.client.entries import Conditions
from services.client.foreign.connect import Gate, authorization, tls_context
from services.client.foreign.join import join
from services.client.foreign.listener import Listener
from services.client.foreign.settings import FeedSettings
from services.runtime.clock import Clock
from services.runtime.jsonlogs import Sparingly


async def listeners(
    settings: FeedSettings, clients: Iterable[tuple[str, Conditions]], clock: Clock, sparingly: Sparingly
) -> list[Listener]:
    """Return the listeners of this process, after the run has been joined or opened.

    Raises:
        BadSettings: a file that they name cannot be used.
        OSError: the folder of the logs refuses.
    """
    tls = tls_context(settings.reach)
    authorization(settings.reach)
    every = list(clients)
    logs = every[0][1].logs
    run = await asyncio.to_thread(join, logs, settings.reach.shown, settings.seconds, clock.now_us())
    gate = Gate(settings.reach.connects_per_second)
    return [Listener(name, settings, run, conditions, clock, gate, sparingly, tls) for name, conditions in every]
