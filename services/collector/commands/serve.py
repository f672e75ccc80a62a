"""`serve`: hands out the logs and ledgers of this host to a collector on another host that pulls them."""

from __future__ import annotations

import argparse
import asyncio
import logging
import socket
from collections.abc import Mapping

from services.collector.settings import NodeSettings
from services.runtime import jsonlogs, lifecycle
from services.runtime.access.access_control import AccessControl
from services.runtime.cli import Commands

log = logging.getLogger(__name__)


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    commands.add(
        "serve",
        "hand out this host's logs and ledgers to a collector elsewhere",
        run,
        {
            "NODE_TOKEN_FILE=token HOST='*' TLS_CERT_FILE=tls.crt TLS_KEY_FILE=tls.key … serve": (
                "on every host; the collector pulls with NODES=https://host1,https://host2"
            )
        },
        "exit codes: 0 stopped, 104 bad configuration",
    )


def run(_chosen: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Serve until the process is stopped; return the exit code.

    Raises:
        BadSettings: a setting is wrong, or there is no token.
    """
    jsonlogs.configure("node")
    return lifecycle.run(lambda: NodeSettings.read(environment), serve)


async def serve(settings: NodeSettings, stop: asyncio.Event) -> int:
    """Serve until ``stop`` is set; return the exit code."""
    # Imported here, so that the other commands do not load the web server.
    from services.collector.publish.web.node_server import NodeServer, make_app  # noqa: PLC0415
    from services.runtime.heartbeat import beat  # noqa: PLC0415

    node = socket.gethostname()
    access = AccessControl(settings.access)
    server = NodeServer(settings.host, settings.port, make_app(settings.volumes, settings.token, node), access.tls)
    tasks = [asyncio.create_task(work) for work in (beat(), server.serve(), access.follow_files())]
    shown = {"node": node, "port": server.port, "tls": access.tls is not None, "volumes": str(settings.volumes)}
    log.info("serving", extra=shown)
    try:
        await stop.wait()
    finally:
        await server.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return 0
