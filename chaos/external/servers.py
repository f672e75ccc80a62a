"""The servers that are judged: how each is had, started and read. None of them was written here."""

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


class Play(NamedTuple):
    """What a server is to play: to so many clients so many records, at a rate per second."""

    clients: int
    records: int
    rate: int


class Playing(NamedTuple):
    """A server that listens: its address, and how its feed is read."""

    url: str
    settings: dict[str, str]


@dataclass(frozen=True)
class Foreign:
    """One server: ``start`` has it listen; it raises `install.NotHere` when the server cannot be had."""

    name: str
    start: Callable[[Play, Path], contextlib.AbstractContextManager[Playing]]


@contextlib.contextmanager
def _running(*commands: list[str], environment: dict[str, str] | None = None) -> Iterator[None]:
    given = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
    started = [subprocess.Popen(command, env=given, stdout=subprocess.DEVNULL, cwd=ROOT) for command in commands]
    try:
        yield
    finally:
        for one in started:
            one.kill()
            one.wait()


def _node(
    package: str, script: str, path: str, settings: dict[str, str]
) -> Callable[[Play, Path], contextlib.AbstractContextManager[Playing]]:
    @contextlib.contextmanager
    def start(play: Play, _folder: Path) -> Iterator[Playing]:
        program, port = install.npm(package), free_port()
        words = [program.command[0], str(_HERE / script), program.command[1], str(port), *map(str, play)]
        with _running(words):
            _listening(port)
            yield Playing(f"ws://127.0.0.1:{port}{path}", {**RECORD, **settings})

    return start


def _python(
    script: str, package: str | None = None
) -> Callable[[Play, Path], contextlib.AbstractContextManager[Playing]]:
    @contextlib.contextmanager
    def start(play: Play, _folder: Path) -> Iterator[Playing]:
        interpreter, port = install.python(package).command[0] if package else sys.executable, free_port()
        with _running([interpreter, str(_HERE / script), str(port), *map(str, play)]):
            _listening(port)
            yield Playing(f"ws://127.0.0.1:{port}/", {**RECORD, **HELLO})

    return start


@contextlib.contextmanager
def _nats(play: Play, folder: Path) -> Iterator[Playing]:
    program = install.debian("nats-server", "--version")
    port, monitor, websocket = free_port(), free_port(), free_port()
    settings, log = folder / "nats.conf", folder / "nats.log"
    settings.write_text(
        f"host: 127.0.0.1\nport: {port}\nlogfile: {log}\nhttp: 127.0.0.1:{monitor}\n"
        f"websocket {{ host: 127.0.0.1, port: {websocket}, no_tls: true }}\n"
    )
    publisher = [sys.executable, str(_HERE / "publish_nats.py"), *map(str, (port, monitor, *play))]
    with _running([*program.command, "--config", str(settings)], environment=program.environment):
        _listening(websocket)
        with _running(publisher):
            said = {
                "FEED_HELLO": 'binary:CONNECT {"verbose":false}\\r\\n\nbinary:SUB feed 1\\r\\n',
                "FEED_MATCH": r"MSG [^\r]*\r\n(.*?)\r\n",
                "FEED_PING": r"^PING\r\n",
                "FEED_PONG": r"binary:PONG\r\n",
                "FEED_IGNORE": r"^(INFO|\+OK)",
            }
            yield Playing(f"ws://127.0.0.1:{websocket}/", {**RECORD, **said})


def _listening(port: int) -> None:
    def there() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    poll_until(there, f"somebody listens on port {port}", 20, 0.05)


_SOCKET_IO = {
    "FEED_HELLO": "40",
    "FEED_MATCH": r'^42\["tick",(.*)\]$',
    "FEED_PING": "^2$",
    "FEED_PONG": "3",
    "FEED_IGNORE": "^(0|40)",
}
FROM_PYTHON = (
    Foreign("websockets", _python("serve_websockets.py")),
    Foreign("uvicorn + starlette", _python("serve_starlette.py")),
)
"""Those that the project's own environment has."""
EVERY = (
    Foreign("ws", _node("ws", "serve_ws.js", "/", HELLO)),
    Foreign("socket.io", _node("socket.io", "serve_socketio.js", "/socket.io/?EIO=4&transport=websocket", _SOCKET_IO)),
    Foreign("nats-server", _nats),
    Foreign("aiohttp", _python("serve_aiohttp.py", "aiohttp")),
    *FROM_PYTHON,
)
