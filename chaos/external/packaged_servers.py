"""Servers from package managers: how each is installed, configured and started."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from benchmarks.peers import install
from chaos.external import unpacked
from chaos.external.servers import (
    SCRIPTS,
    ExternalServer,
    FeedSize,
    RunningServer,
    Start,
    processes,
    wait_for_port,
)
from tests.integration.processes import free_port

RECORD = {"FEED_SEQ": "$.seq", "FEED_TIME": "$.ts ms"}
HELLO = {**RECORD, "FEED_HELLO": '{"op":"subscribe"}', "FEED_IGNORE": '"op":'}


def node(script: str, path: str, *packages: str) -> Start:
    """Return how to start a script with npm packages; the first one's version decides the folder."""

    @contextlib.contextmanager
    def start(size: FeedSize, _folder: Path) -> Iterator[RunningServer]:
        program, port = install.npm(*packages), free_port()
        with processes() as started:
            started.start([program.command[0], str(SCRIPTS / script), program.command[1], str(port), *map(str, size)])
            wait_for_port(port)
            yield RunningServer(f"ws://127.0.0.1:{port}{path}", started, program.version)

    return start


def python(script: str, package: str, *, is_separate: bool = False) -> Start:
    """Return how to start a script, with a package in the project's own environment or in a separate one."""

    @contextlib.contextmanager
    def start(size: FeedSize, _folder: Path) -> Iterator[RunningServer]:
        if is_separate:
            program = install.python(package)
        else:
            program = install.Program(metadata.version(package), [sys.executable], {})
        port = free_port()
        with processes() as started:
            started.start([*program.command, str(SCRIPTS / script), str(port), *map(str, size)])
            wait_for_port(port)
            yield RunningServer(f"ws://127.0.0.1:{port}/", started, program.version)

    return start


def _publisher(script: str, *arguments: object) -> list[str]:
    return [sys.executable, str(SCRIPTS / script), *map(str, arguments)]


@contextlib.contextmanager
def _nats(size: FeedSize, folder: Path) -> Iterator[RunningServer]:
    program = install.debian("nats-server", "--version")
    port, monitor, websocket = free_port(), free_port(), free_port()
    settings, log = folder / "nats.conf", folder / "nats.log"
    settings.write_text(
        f"host: 127.0.0.1\nport: {port}\nlogfile: {log}\nhttp: 127.0.0.1:{monitor}\n"
        # The server cuts off a client that leaves two pings unanswered.
        f'ping_interval: "1s"\nping_max: 2\n'
        f"websocket {{ host: 127.0.0.1, port: {websocket}, no_tls: true }}\n"
    )
    with processes() as started, processes() as publisher:
        started.start([*program.command, "--config", str(settings)], program.environment)
        wait_for_port(websocket)
        publisher.start(_publisher("publish_nats.py", port, monitor, *size))
        yield RunningServer(f"ws://127.0.0.1:{websocket}/", started, program.version)


@contextlib.contextmanager
def _mosquitto(size: FeedSize, folder: Path) -> Iterator[RunningServer]:
    program = install.debian("mosquitto", "-h")
    port, websocket, settings = free_port(), free_port(), folder / "mosquitto.conf"
    # The broker publishes its number of subscriptions; without a user it would become one that cannot read the folder.
    settings.write_text(
        f"user root\nallow_anonymous true\nsys_interval 1\nlistener {port} 127.0.0.1\n"
        f"listener {websocket} 127.0.0.1\nprotocol websockets\n"
    )
    with processes() as started, processes() as publisher:
        started.start([*program.command, "-c", str(settings)], program.environment)
        wait_for_port(websocket)
        publisher.start(_publisher("publish_mqtt.py", port, *size))
        yield RunningServer(f"ws://127.0.0.1:{websocket}/", started, program.version)


@contextlib.contextmanager
def _rabbitmq(size: FeedSize, folder: Path) -> Iterator[RunningServer]:
    root = install.debian_root("rabbitmq-server")
    programs, environment = unpacked.erlang(root)
    (server,) = root.glob("usr/lib/rabbitmq/lib/*/sbin/rabbitmq-server")
    port, name_port, start = free_port(), free_port(), folder / "start"
    listeners = {"listeners.tcp.1": free_port(), "stomp.listeners.tcp.1": free_port(), "web_stomp.tcp.listener": port}
    (folder / "rabbitmq.conf").write_text(
        "".join(f"{name} = 127.0.0.1:{number}\n" for name, number in listeners.items())
    )
    (folder / "plugins").write_text("[rabbitmq_web_stomp].\n")
    environment |= {
        "HOME": str(folder),
        "ERL_EPMD_PORT": str(name_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": f"streamgauge{port}@localhost",
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "rabbitmq-logs"),
    }
    with processes() as started, processes() as others:
        others.start([str(programs / "epmd"), "-port", str(name_port)], environment)
        wait_for_port(name_port)
        started.start(["sh", str(server)], environment)
        wait_for_port(port, 90)
        others.start(_publisher("publish_stomp.py", f"ws://127.0.0.1:{port}/ws", start, *size))
        version = server.parent.parent.name.rpartition("-")[2]
        yield RunningServer(f"ws://127.0.0.1:{port}/ws", started, version, start.touch)


@contextlib.contextmanager
def _action_cable(size: FeedSize, _folder: Path) -> Iterator[RunningServer]:
    root = install.debian_root("ruby-actioncable", "puma")
    ruby, environment = unpacked.ruby(root)
    gem = next(root.glob("usr/share/rubygems-integration/*/gems/actioncable-*")).name
    port = free_port()
    with processes() as started:
        started.start([ruby, str(SCRIPTS / "serve_actioncable.rb"), str(port), *map(str, size)], environment)
        wait_for_port(port)
        yield RunningServer(f"ws://127.0.0.1:{port}/cable", started, gem.rpartition("-")[2])


_SOCKET_IO = {"FEED_VARIABLES": "event=tick", **RECORD}
_QUERY = {"FEED_VARIABLES": 'query="subscription { ticks { seq ts text } }"'}
_DATA = "$.payload.data.ticks"
_STOMP = {"FEED": "stomp", "FEED_VARIABLES": "destination=/topic/ticks", **RECORD}

FROM_PYTHON = (
    ExternalServer("websockets", python("serve_websockets.py", "websockets"), HELLO),
    ExternalServer("uvicorn + starlette", python("serve_starlette.py", "starlette"), HELLO),
)
"""Servers that are in the project's own virtual environment."""
PACKAGED_SERVERS = (
    ExternalServer("ws", node("serve_ws.js", "/", "ws"), HELLO),
    ExternalServer("aiohttp", python("serve_aiohttp.py", "aiohttp", is_separate=True), HELLO),
    *FROM_PYTHON,
    ExternalServer(
        "socket.io 4",
        node("serve_socketio.js", "/socket.io/?EIO=4&transport=websocket", "socket.io@4"),
        {"FEED": "socketio", **_SOCKET_IO},
    ),
    ExternalServer(
        "socket.io 2",
        node("serve_socketio.js", "/socket.io/?EIO=3&transport=websocket", "socket.io@2"),
        {"FEED": "engineio2", **_SOCKET_IO},
    ),
    ExternalServer(
        "graphql-ws",
        node("serve_graphql.js", "/graphql", "graphql-ws", "graphql", "ws"),
        {"FEED": "graphql-ws", **_QUERY, "FEED_SEQ": f"{_DATA}.seq", "FEED_TIME": f"{_DATA}.ts ms"},
    ),
    ExternalServer("mosquitto", _mosquitto, {"FEED": "mqtt", **RECORD}),
    ExternalServer("RabbitMQ", _rabbitmq, _STOMP, subscribed=re.compile(rb"^CONNECTED")),
    ExternalServer("stomp-broker-js", node("serve_stomp.js", "/stomp", "stomp-broker-js"), _STOMP),
    ExternalServer("nats-server", _nats, {"FEED": "nats", "FEED_VARIABLES": "subject=feed", **RECORD}),
    ExternalServer(
        "Rails Action Cable",
        _action_cable,
        {
            "FEED": "actioncable",
            "FEED_ORIGIN": "https://app.example",
            "FEED_VARIABLES": "channel=TicksChannel",
            "FEED_SEQ": "$.message.seq",
            "FEED_TIME": "$.message.ts ms",
        },
    ),
    ExternalServer(
        "ganache", node("serve_ganache.js", "/", "ganache"), {"FEED": "jsonrpc"}, re.compile(rb'"eth_subscription"')
    ),
)
