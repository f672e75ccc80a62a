"""The external servers that are tested: how each is installed and started, and the settings that read its feed."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.peers import install
from tests.integration.processes import ROOT, free_port
from tests.poll import poll_until

_HERE = Path(__file__).parent
RECORD = {"FEED_SEQ": "$.seq", "FEED_TIME": "$.ts ms"}
HELLO = {"FEED_HELLO": '{"op":"subscribe"}', "FEED_IGNORE": '"op":'}


class FeedSize(NamedTuple):
    """The feed that a server sends: number of clients and records, and records per second."""

    clients: int
    records: int
    rate: int


class RunningServer(NamedTuple):
    """A listening server: its URL, and the settings that read its feed."""

    url: str
    settings: dict[str, str]


@dataclass(frozen=True)
class ExternalServer:
    """One server; ``start`` raises `install.NotAvailable` if it cannot be installed."""

    name: str
    start: Callable[[FeedSize, Path], contextlib.AbstractContextManager[RunningServer]]


@contextlib.contextmanager
def _processes(*commands: list[str], environment: dict[str, str] | None = None) -> Iterator[None]:
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
    processes = [subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, cwd=ROOT) for command in commands]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _node(
    package: str, script: str, path: str, settings: dict[str, str]
) -> Callable[[FeedSize, Path], contextlib.AbstractContextManager[RunningServer]]:
    @contextlib.contextmanager
    def start(size: FeedSize, _folder: Path) -> Iterator[RunningServer]:
        program, port = install.npm(package), free_port()
        command = [program.command[0], str(_HERE / script), program.command[1], str(port), *map(str, size)]
        with _processes(command):
            _wait_for_port(port)
            yield RunningServer(f"ws://127.0.0.1:{port}{path}", {**RECORD, **settings})

    return start


def _python(
    script: str, package: str | None = None
) -> Callable[[FeedSize, Path], contextlib.AbstractContextManager[RunningServer]]:
    @contextlib.contextmanager
    def start(size: FeedSize, _folder: Path) -> Iterator[RunningServer]:
        interpreter, port = install.python(package).command[0] if package else sys.executable, free_port()
        with _processes([interpreter, str(_HERE / script), str(port), *map(str, size)]):
            _wait_for_port(port)
            yield RunningServer(f"ws://127.0.0.1:{port}/", {**RECORD, **HELLO})

    return start


@contextlib.contextmanager
def _nats(size: FeedSize, folder: Path) -> Iterator[RunningServer]:
    program = install.debian("nats-server", "--version")
    port, monitor, websocket = free_port(), free_port(), free_port()
    settings, log = folder / "nats.conf", folder / "nats.log"
    settings.write_text(
        f"host: 127.0.0.1\nport: {port}\nlogfile: {log}\nhttp: 127.0.0.1:{monitor}\n"
        f"websocket {{ host: 127.0.0.1, port: {websocket}, no_tls: true }}\n"
    )
    publisher = [sys.executable, str(_HERE / "publish_nats.py"), *map(str, (port, monitor, *size))]
    with _processes([*program.command, "--config", str(settings)], environment=program.environment):
        _wait_for_port(websocket)
        with _processes(publisher):
            nats_settings = {
                "FEED_HELLO": 'binary:CONNECT {"verbose":false}\\r\\n\nbinary:SUB feed 1\\r\\n',
                "FEED_MATCH": r"MSG [^\r]*\r\n(.*?)\r\n",
                "FEED_PING": r"^PING\r\n",
                "FEED_PONG": r"binary:PONG\r\n",
                "FEED_IGNORE": r"^(INFO|\+OK)",
            }
            yield RunningServer(f"ws://127.0.0.1:{websocket}/", {**RECORD, **nats_settings})


def _wait_for_port(port: int) -> None:
    def is_open() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    poll_until(is_open, f"a server listens on port {port}", 20, 0.05)


_SOCKET_IO = {
    "FEED_HELLO": "40",
    "FEED_MATCH": r'^42\["tick",(.*)\]$',
    "FEED_PING": "^2$",
    "FEED_PONG": "3",
    "FEED_IGNORE": "^(0|40)",
}
FROM_PYTHON = (
    ExternalServer("websockets", _python("serve_websockets.py")),
    ExternalServer("uvicorn + starlette", _python("serve_starlette.py")),
)
"""Servers that are in the project's own virtual environment."""
ALL_SERVERS = (
    ExternalServer("ws", _node("ws", "serve_ws.js", "/", HELLO)),
    ExternalServer(
        "socket.io", _node("socket.io", "serve_socketio.js", "/socket.io/?EIO=4&transport=websocket", _SOCKET_IO)
    ),
    ExternalServer("nats-server", _nats),
    ExternalServer("aiohttp", _python("serve_aiohttp.py", "aiohttp")),
    *FROM_PYTHON,
)
