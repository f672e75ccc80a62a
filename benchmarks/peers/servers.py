"""The servers that are compared, and how each is started: configured to drop nothing, otherwise with defaults."""

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
    """One run: its folder, pool and port, and the numbers of subscribers, messages, and records per message."""

    folder: Path
    pool: Path
    port: int
    subscribers: int
    per_message: int
    messages: int


class Started(NamedTuple):
    """Command and environment that start a server for a run."""

    command: list[str]
    environment: dict[str, str]


class Server(NamedTuple):
    """One installed server.

    ``rate`` is its approximate speed, in 100,000 deliveries of single records per second of CPU time. It only decides
    the length of a run. ``settings`` has what differs from the server's defaults, for the table.
    """

    candidate: str
    version: str
    dialect: str
    rate: int
    start: Callable[[Run], Started]
    settings: str = "nothing"

    @property
    def name(self) -> str:
        """Its name with its version, for the table."""
        return f"{self.candidate} {self.version}".strip()


class Candidate(NamedTuple):
    """A server that may not be installed yet; ``prepare`` installs it, or raises `NotAvailable`."""

    name: str
    prepare: Callable[[], Server]
    essential: bool = False


def own_server() -> Server:
    """Return the project's own server at RATE=0, which generates its records while it sends."""

    def start(run: Run) -> Started:
        variables = environment(
            RATE=0,
            RECORDS=run.messages * run.per_message,
            CLIENTS=run.subscribers,
            PORT=run.port,
            VOLUMES=run.folder,
            GRACE_SECONDS=60,
        )
        return Started([sys.executable, "-m", "services.server"], variables)

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
        options_ = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        return _start_command(program, *options_)

    settings = "no snapshots, client-output-buffer-limit pubsub 0 0 0"
    return Server("redis-server", program.version, "redis", 20, start, settings)


def _nats() -> Server:
    program = install.debian("nats-server", "--version")

    def start(run: Run) -> Started:
        file = run.folder / "nats.conf"
        file.write_text(f'host: 127.0.0.1\nport: {run.port}\nmax_pending: 536870912\nwrite_deadline: "60s"\n')
        return _start_command(program, "--config", str(file))

    return Server("nats-server", program.version, "nats", 20, start, "max_pending 512 MiB, write_deadline 60 s")


def _mosquitto() -> Server:
    program = install.debian("mosquitto", "-h")

    def start(run: Run) -> Started:
        file = run.folder / "mosquitto.conf"
        # When started by root, it would switch to a user that only its package creates.
        file.write_text(
            f"listener {run.port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nuser root\nlog_type error\n"
        )
        return _start_command(program, "-c", str(file))

    settings = "max_queued_messages 0 (no limit), log_type error"
    return Server("mosquitto", program.version, "mqtt", 2, start, settings)


def _websockets() -> Server:
    program = install.Program(version("websockets"), [sys.executable], {})
    return _python("websockets.broadcast", "serve_websockets", program, "no compression, no pings")


def _picows() -> Server:
    return _python("picows", "serve_picows", install.python("picows"))


def _aiohttp() -> Server:
    return _python("aiohttp", "serve_aiohttp", install.python("aiohttp"), "no compression")


def _ws() -> Server:
    program = install.npm("ws")
    return _node("npm ws", "websocket", "serve_ws.js", program, "no compression")


def _socketio() -> Server:
    program = install.npm("socket.io")
    return _node("npm socket.io", "socket.io", "serve_socketio.js", program, "only WebSocket")


def _python(name: str, script: str, program: install.Program, settings: str = "nothing") -> Server:
    def start(run: Run) -> Started:
        return _start_command(
            program, "-m", f"benchmarks.peers.{script}", str(run.port), str(run.pool), str(run.per_message)
        )

    return Server(name, program.version, "websocket", 2, start, settings)


def _node(name: str, dialect: str, script: str, program: install.Program, settings: str) -> Server:
    node, modules = program.command

    def start(run: Run) -> Started:
        parameters = [modules, *map(str, (run.port, run.pool, run.per_message, pool.BURST, pool.MOST_BUFFERED))]
        return Started([node, str(_HERE / script), *parameters], environment())

    runs_on = install.node_version(node)
    return Server(name, program.version, dialect, 2, start, f"{settings}, Node.js {runs_on}")


def _start_command(program: install.Program, *options_: str) -> Started:
    return Started([*program.command, *options_], {**environment(), **program.environment})


CANDIDATES = (
    Candidate("picows", _picows),
    Candidate("aiohttp", _aiohttp),
    Candidate("mosquitto", _mosquitto),
    Candidate("npm socket.io", _socketio),
    Candidate("websockets.broadcast", _websockets, essential=True),
    Candidate("npm ws", _ws, essential=True),
    Candidate("redis-server", _redis, essential=True),
    Candidate("nats-server", _nats, essential=True),
)
"""All servers in the order of a round; the essential ones run in a quick benchmark, too, next to the project's own."""
