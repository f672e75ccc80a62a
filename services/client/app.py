"""The client process: one subscriber per connection, each with a name and a log of its own."""

from __future__ import annotations

import asyncio
import logging
import socket
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from services.client.external.run_participants import external_subscribers
from services.client.naming.container_name import FoundName, find_name
from services.client.naming.identity import identities
from services.client.settings import ClientConfig, ClientSettings
from services.client.subscriber import Subscriber
from services.client.write_budget import WriteBudget
from services.runtime import heartbeat
from services.runtime.access.server_access import ServerAccess
from services.runtime.clock import Clock, boot_id
from services.runtime.jsonlogs import RateLimitedLog
from services.runtime.saturation import SaturationMonitor
from services.runtime.volumes import check_writable, remove_old_runs_regularly

log = logging.getLogger(__name__)

# Compose kills a container 10 s after the signal to stop; this leaves time to seal, say goodbye and close.
_STOP_SECONDS = 7.0
_RETENTION_SECONDS = 5.0
_CONNECTING_AT_ONCE = 50
"""Of a thousand that connect at once on a busy machine none is answered within its limit, and all try again."""


class AnySubscriber(Protocol):
    """A client of this process: a `Subscriber` of the own feed, or an `ExternalSubscriber`."""

    @property
    def is_connected(self) -> bool:
        """Whether the client is connected, or has nothing more to receive."""

    async def run(self) -> None:
        """Receive until there is nothing more to receive, or until cancelled."""

    async def stop(self) -> None:
        """Seal the log and disconnect."""

    async def close(self) -> None:
        """Release tasks and files as they are, without sealing."""


async def subscribers(
    settings: ClientSettings, found: FoundName, saturation: SaturationMonitor
) -> Sequence[AnySubscriber]:
    """Return the clients that this process runs.

    Args:
        settings: the operator's.
        found: the name of this process.
        saturation: measures this process.

    Raises:
        BadSettings: a file that an external feed needs cannot be used.
        OSError: the folder of the logs refuses.
    """
    hostname = socket.gethostname()
    if found.doubt:
        log.warning("the client's name may change", extra={"client": found.name, "why": found.doubt})
    clock, boot, instance, retry_log = Clock(), boot_id(), uuid.uuid4().hex[:12], RateLimitedLog()
    budget = WriteBudget()
    clients: list[tuple[str, ClientConfig]] = []
    for identity in identities(found.name, found.source, settings.connections, settings.block_sizes):
        config = ClientConfig(
            logs=settings.volumes / "logs",
            block_size=identity.block_size,
            block_bytes=settings.block_bytes,
            block_seconds=settings.block_seconds,
            fsync=settings.fsync,
            instance=instance,
            boot=boot,
            host=hostname,
            saturation=saturation,
            budget=budget,
        )
        log.info("client", extra={"client": identity.name, "from": found.source, "block_size": identity.block_size})
        clients.append((identity.name, config))
    if settings.feed is not None:
        return await external_subscribers(settings.feed, clients, clock, retry_log)
    access = ServerAccess(settings.server_url, settings.token_file, settings.ca_file)
    url, turns = settings.server_url, asyncio.Semaphore(_CONNECTING_AT_ONCE)
    return [Subscriber(name, url, config, clock, retry_log, access=access, turns=turns) for name, config in clients]


async def main(settings: ClientSettings, stop: asyncio.Event) -> int:
    """Receive until ``stop`` is set; then seal the logs. Returns the exit code."""
    logs = Path(settings.volumes) / "logs"
    check_writable(logs)
    found = await asyncio.to_thread(
        find_name,
        settings.client_id,
        settings.compose_project_name,
        settings.client_service,
        logs,
        hostname=socket.gethostname(),
    )
    if settings.unreachable_address is not None:
        fix = "name this machine host.docker.internal, and let the server listen on 0.0.0.0"
        log.warning("the address is the container itself", extra={"server": settings.unreachable_address, "fix": fix})
    saturation = SaturationMonitor()
    clients = await subscribers(settings, found, saturation)
    tasks = [asyncio.create_task(client.run()) for client in clients]
    # Healthy only while connected: a client that cannot receive does not do its work.
    tasks.append(asyncio.create_task(heartbeat.beat(alive=lambda: all(client.is_connected for client in clients))))
    tasks.append(asyncio.create_task(saturation.watch()))
    tasks.append(asyncio.create_task(remove_old_runs_regularly(logs, settings.keep_runs, _RETENTION_SECONDS)))
    for task in tasks:
        task.add_done_callback(lambda ended: None if ended.cancelled() or ended.exception() is None else stop.set())
    await stop.wait()
    await _stop(clients)
    for task in tasks:
        task.cancel()
    failures = [
        outcome for outcome in await asyncio.gather(*tasks, return_exceptions=True) if isinstance(outcome, Exception)
    ]
    log.info("stopped")
    if failures:
        # End the process, so that it is restarted: a client that only looks alive would be worse.
        raise failures[0]
    return 0


async def _stop(clients: Sequence[AnySubscriber]) -> None:
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await asyncio.gather(*(client.stop() for client in clients))
    except TimeoutError:
        log.warning("not all logs could be sealed in time")
    for client in clients:
        await client.close()
