"""The servers that are compared, and how each is started: so that it drops nothing, and otherwise as it comes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import environment
from benchmarks.peers import install, pool

_HERE = Path(__file__).parent


class Run(NamedTuple):
    """One run: where it happens, who subscribes, and how many messages of how many records they are sent."""

    folder: Path
    pool: Path
    port: int
    subscribers: int
    per_message: int
    messages: int


class Started(NamedTuple):
    """What starts a server for a run."""

    command: list[str]
    environment: dict[str, str]


class Server(NamedTuple):
    """One server: its name, its version, what it speaks, about how fast it is, and how it is started.

    ``rate`` counts deliveries of single records per second of processor time, in hundreds of thousands. It decides how
    long a run must be, and nothing else.
    """

    entrant: str
    version: str
    dialect: str
    rate: int
    start: Callable[[Run], Started]

    @property
    def name(self) -> str:
        """Its name with its version, as it stands in the table."""
        return f"{self.entrant} {self.version}".strip()


class Entrant(NamedTuple):
    """A peer by its name alone; ``prepare`` installs it where that is needed and raises `NotHere` when it cannot be."""

    name: str
    prepare: Callable[[], Server]
    essential: bool = False


def ours() -> Server:
    """Return the project's own server, at RATE=0: it makes its records as it goes."""

    def start(run: Run) -> Started:
        given = environment(
            RATE=0,
            RECORDS=run.messages * run.per_message,
            CLIENTS=run.subscribers,
            PORT=run.port,
            VOLUMES=run.folder,
            GRACE_SECONDS=60,
        )
        return Started([sys.executable, "-m", "services.server"], given)

    return Server("ours", "", "ours", 30, start)


def _redis() -> Server:
    program = install.debian("redis-server", "--version")

    def start(run: Run) -> Started:
        options = {
            "port": run.port,
            "bind": "127.0.0.1",
            "dir": run.folder,
            "save": "",
            "client-output-buffer-limit": "pubsub 0 0 0",
        }
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        return _started(program, *words)

    return Server("redis-server", program.version, "redis", 20, start)


def _nats() -> Server:
    program = install.debian("nats-server", "--version")

    def start(run: Run) -> Started:
        settings = run.folder / "nats.conf"
        settings.write_text(f'host: 127.0.0.1\nport: {run.port}\nmax_pending: 536870912\nwrite_deadline: "60s"\n')
        return _started(program, "--config", str(settings))

    return Server("nats-server", program.version, "nats", 20, start)


def _mosquitto() -> Server:
    program = install.debian("mosquitto", "-h")

    def start(run: Run) -> Started:
        settings = run.folder / "mosquitto.conf"
        # Started by root it would become a user that only its package makes.
        settings.write_text(
            f"listener {run.port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nuser root\nlog_type error\n"
        )
        return _started(program, "-c", str(settings))

    return Server("mosquitto", program.version, "mqtt", 2, start)


def _websockets() -> Server:
    program = install.Program(version("websockets"), [sys.executable], {})
    return _python("websockets.broadcast", "serve_websockets", program)


def _picows() -> Server:
    return _python("picows", "serve_picows", install.python("picows"))


def _aiohttp() -> Server:
    return _python("aiohttp", "serve_aiohttp", install.python("aiohttp"))


def _ws() -> Server:
    program = install.npm("ws")
    return _node("npm ws", "websocket", "serve_ws.js", program)


def _socketio() -> Server:
    program = install.npm("socket.io")
    return _node("npm socket.io", "socket.io", "serve_socketio.js", program)


def _python(name: str, script: str, program: install.Program) -> Server:
    def start(run: Run) -> Started:
        return _started(program, "-m", f"benchmarks.peers.{script}", str(run.port), str(run.pool), str(run.per_message))

    return Server(name, program.version, "websocket", 2, start)


def _node(name: str, dialect: str, script: str, program: install.Program) -> Server:
    node, modules = program.command

    def start(run: Run) -> Started:
        told = [modules, *map(str, (run.port, run.pool, run.per_message, pool.BURST, pool.MOST_BUFFERED))]
        return Started([node, str(_HERE / script), *told], environment())

    return Server(name, program.version, dialect, 2, start)


def _started(program: install.Program, *words: str) -> Started:
    return Started([*program.command, *words], {**environment(), **program.environment})


ENTRANTS = (
    Entrant("picows", _picows),
    Entrant("aiohttp", _aiohttp),
    Entrant("mosquitto", _mosquitto),
    Entrant("npm socket.io", _socketio),
    Entrant("websockets.broadcast", _websockets, essential=True),
    Entrant("npm ws", _ws, essential=True),
    Entrant("redis-server", _redis, essential=True),
    Entrant("nats-server", _nats, essential=True),
)
"""Every peer, in the order of a round; the essential ones run in a quick benchmark too, and stand next to ours."""
