"""The client: as many subscribers as the process has connections, each with a name and a log of its own."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from services.client.block_encoder import ClientConditions
from services.client.external.subscriber import listeners
from services.client.identity import base_name, identities
from services.client.reverse_dns import pointer_name
from services.client.settings import ClientSettings
from services.client.subscriber import Subscriber
from services.runtime import heartbeat
from services.runtime.clock import Clock, boot_id
from services.runtime.jsonlogs import RateLimitedLog
from services.runtime.saturation import SaturationMonitor
from services.runtime.volumes import check_writable, remove_old_runs

log = logging.getLogger(__name__)

_STOP_SECONDS = 7.0
"""For sealing and saying goodbye, within what a stop of the container allows."""

_TIDY_SECONDS = 5.0


class AnySubscriber(Protocol):
    """A client of this process: a `Subscriber` of our own feed, or a `Listener` to somebody else's."""

    @property
    def connected(self) -> bool:
        """Whether the server is there."""

    async def run(self) -> None:
        """Receive until there is nothing more to come, or until cancelled."""

    async def stop(self) -> None:
        """Seal and leave."""

    def abandon(self) -> None:
        """Leave without sealing."""


async def receivers(
    settings: ClientSettings, pointer: str | None, strain: SaturationMonitor
) -> Sequence[AnySubscriber]:
    """Return the clients that this process runs.

    Raises:
        BadSettings: what a foreign feed needs cannot be used.
        OSError: the folder of the logs refuses.
    """
    hostname = socket.gethostname()
    base, source = base_name(settings.client_id, hostname, pointer)
    clock, boot, instance, sparingly = Clock(), boot_id(), uuid.uuid4().hex[:12], RateLimitedLog()
    made: list[tuple[str, ClientConditions]] = []
    for identity in identities(base, source, settings.connections, settings.block_sizes):
        conditions = ClientConditions(
            logs=settings.volumes / "logs",
            block_size=identity.block_size,
            block_bytes=settings.block_bytes,
            block_seconds=settings.block_seconds,
            fsync=settings.fsync,
            instance=instance,
            boot=boot,
            host=hostname,
            strain=strain,
        )
        log.info("client", extra={"client": identity.name, "from": source, "block_size": identity.block_size})
        made.append((identity.name, conditions))
    if settings.feed is not None:
        return await listeners(settings.feed, made, clock, sparingly)
    return [Subscriber(name, settings.server_url, conditions, clock, sparingly) for name, conditions in made]


async def main(settings: ClientSettings, stop: asyncio.Event) -> int:
    """Receive until told to stop; then seal."""
    logs = Path(settings.volumes) / "logs"
    check_writable(logs)
    pointer, strain = await asyncio.to_thread(pointer_name) if not settings.client_id else None, SaturationMonitor()
    clients = await receivers(settings, pointer, strain)
    tasks = [asyncio.create_task(client.run()) for client in clients]
    # Healthy only while the server is there: a client that cannot receive does not do its work.
    tasks.append(asyncio.create_task(heartbeat.beat(alive=lambda: all(client.connected for client in clients))))
    tasks.append(asyncio.create_task(strain.watch()))
    tasks.append(asyncio.create_task(_forget_old_runs(logs, settings.keep_runs)))
    for task in tasks:
        task.add_done_callback(lambda ended: None if ended.cancelled() or ended.exception() is None else stop.set())
    await stop.wait()
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await asyncio.gather(*(client.stop() for client in clients))
    except TimeoutError:
        log.warning("not all could be sealed in time")
        for client in clients:
            client.abandon()
    for task in tasks:
        task.cancel()
    failed = [it for it in await asyncio.gather(*tasks, return_exceptions=True) if isinstance(it, Exception)]
    log.info("stopped")
    if failed:
        # Whoever restarts the process makes a new client; one that only looked alive would be worse.
        raise failed[0]
    return 0


async def _forget_old_runs(logs: Path, keep: int) -> None:
    sparingly = RateLimitedLog(60)
    while keep:
        try:
            await asyncio.to_thread(remove_old_runs, logs, keep, time.time())
        except OSError as problem:
            if sparingly.due(time.monotonic()):
                log.warning("old runs not removed", extra={"path": str(logs), "why": str(problem)})
        await asyncio.sleep(_TIDY_SECONDS)
