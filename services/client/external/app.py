"""The clients of a foreign feed: they agree on a run, and each listens under a name of its own."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable

from services.client.block_encoder import Conditions
from services.client.external.agreement import settings_of
from services.client.external.connection import Gate, authorization, tls_context
from services.client.external.rendezvous import join
from services.client.external.settings import FeedSettings
from services.client.external.subscriber import Listener
from services.runtime import invocation
from services.runtime.clock import Clock
from services.runtime.jsonlogs import Sparingly

log = logging.getLogger(__name__)


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
    shared, invoked_by = settings_of(os.environ), invocation.current(os.environ)
    run = await asyncio.to_thread(
        join, logs, settings.reach.shown, settings.seconds, clock.now_us(), shared, invoked_by
    )
    if not run.is_on(clock.now_us()):
        # What crashed and was not back in time stays as it is, which is lost; who never came leaves a log that says so.
        every = [(name, conditions) for name, conditions in every if not (logs / run.run / name).exists()]
        log.warning("the run is over", extra={"run": run.run, "too_late": [name for name, _ in every]})
    gate = Gate(settings.reach.connects_per_second)
    return [Listener(name, settings, run, conditions, clock, gate, sparingly, tls) for name, conditions in every]
