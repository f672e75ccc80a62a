"""Begins the clients of one process in one run of an external feed."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable

from services.client.external.connection import ConnectRateLimit, tls_context
from services.client.external.rendezvous import join, settings_of
from services.client.external.request_headers import request_headers
from services.client.external.settings import FeedSettings
from services.client.external.speaker import Speaker
from services.client.external.subscriber import ExternalSubscriber
from services.client.settings import ClientConfig
from services.runtime import invocation
from services.runtime.clock import Clock
from services.runtime.jsonlogs import RateLimitedLog

log = logging.getLogger(__name__)


async def external_subscribers(
    settings: FeedSettings, clients: Iterable[tuple[str, ClientConfig]], clock: Clock, retry_log: RateLimitedLog
) -> list[ExternalSubscriber]:
    """Join or open a run, and return the subscribers of this process.

    Args:
        settings: of the feed.
        clients: names of the clients, and how each logs.
        clock: of this process.
        retry_log: limits how often failed attempts are logged.

    Raises:
        BadSettings: a file that the settings name cannot be used.
        OSError: the folder of the logs refuses.
    """
    tls = tls_context(settings.reach)
    # Read for their errors alone: a file that cannot be used is reported at the start instead of at every attempt, and
    # before a run is opened.
    request_headers(settings.reach)
    Speaker("", settings).prepare()
    clients = list(clients)
    logs = clients[0][1].logs
    shared, invoked_by = settings_of(settings.given), invocation.current(os.environ)
    run = await asyncio.to_thread(
        join, logs, settings.reach.shown, settings.seconds, clock.now_us(), shared, invoked_by
    )
    if not run.is_on(clock.now_us()):
        # A client that crashed and comes back too late leaves its log as it is, so the rest of the run counts as lost.
        # One that has no log yet makes one, which shows that it was not connected.
        clients = [(name, config) for name, config in clients if not (logs / run.run / name).exists()]
        log.warning("the run is over", extra={"run": run.run, "too_late": [name for name, _ in clients]})
    gate = ConnectRateLimit(settings.reach.connects_per_second)
    return [ExternalSubscriber(name, settings, run, config, clock, gate, retry_log, tls) for name, config in clients]
