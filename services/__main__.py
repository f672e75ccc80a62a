"""``python -m services``: the whole system on this machine without containers, each service as a child process.

Restarts a service that crashes, as compose would. Exits with the code of the verdict when all runs are closed, unless
``KEEP=1``. An invocation judges only the runs that it has started itself; its processes end with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from services.local.invocation_runs import InvocationRuns
from services.local.repeated_errors import RepeatedErrors
from services.local.service import SupervisedService
from services.local.stdout_writer import StdoutWriter
from services.local.verdict import exit_code_when_stopped, wait_for_verdicts
from services.runtime import invocation, lifecycle, process_setup
from services.runtime.errors import EXIT_ABORTED, BadSettings, PortInUse
from services.runtime.setting_tables.parsers import ALL_INTERFACES
from services.runtime.settings import is_external_feed, names_profile, read

_STOP_SECONDS = 8.0
_STOP_ALL_SECONDS = 9.5
_DRAIN_SECONDS = 2.0
"""How long a stopped invocation waits for a reader that does not read its output."""


class Supervisor:
    """The services of one invocation.

    Args:
        environment: the services' settings.
        clients: the number of client processes.
        servers: the number of server processes.
        output: the supervisor's standard output.
        in_place: standard output is a terminal; the collector is connected to it.
    """

    def __init__(
        self, environment: dict[str, str], clients: int, output: StdoutWriter, *, in_place: bool, servers: int = 1
    ) -> None:
        names = [f"client-{number}" for number in range(1, clients + 1)]
        self._width = max(map(len, ["collector", *names]))
        self._output = output
        show_collector = None if in_place else self._prefixed("collector", output.write_line)
        self.collector = SupervisedService("collector", "services.collector", environment, output.write, show_collector)
        show_line = self.collector.show_line if in_place else output.write_line
        self.runs = InvocationRuns(self.collector.send_line, servers)
        # An external feed has no server.
        server_names = [] if is_external_feed(environment) else _numbered("server", servers)
        self.servers = [
            SupervisedService(
                name,
                "services.server",
                environment,
                output.write,
                self._shown_and_read(self._prefixed(name, show_line)),
            )
            for name in server_names
        ]
        errors = RepeatedErrors()
        self.clients = [
            SupervisedService(
                name,
                "services.client",
                {**environment, "CLIENT_ID": name},
                output.write,
                errors.once(name, self._prefixed(name, show_line)),
            )
            for name in names
        ]

    def _prefixed(self, name: str, show: Callable[[str], None]) -> Callable[[str], None]:
        return lambda line: show(f"{name:<{self._width}} | {line}")

    def _shown_and_read(self, show: Callable[[str], None]) -> Callable[[str], None]:
        def accept(line: str) -> None:
            show(line)
            self.runs.add_log_line(line)

        return accept

    @property
    def first(self) -> list[SupervisedService]:
        """The services that start before the clients, in order; an external feed has no server."""
        return [self.collector, *self.servers]

    async def stop(self) -> None:
        """Stop all services: the clients first, which seal their logs, and last the collector, which reads them."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _STOP_ALL_SECONDS
        await asyncio.gather(*(service.stop(_STOP_SECONDS) for service in self.clients))
        for service in reversed(self.first):
            await service.stop(max(1.0, until - loop.time()))


def _numbered(name: str, count: int) -> list[str]:
    return [name] if count == 1 else [f"{name}-{number}" for number in range(1, count + 1)]


def environment_of(given: dict[str, str]) -> tuple[dict[str, str], int, int]:
    """Return the services' environment, the number of client processes and the number of runs.

    Raises:
        PortInUse: several servers are to share a port on which another program listens.
        BadSettings: a setting that the supervisor itself reads is invalid.
    """
    given = {"CLIENTS": "5", **{name: value for name, value in given.items() if value.strip()}}
    values = read(given, ("CLIENTS", "CONNECTIONS", "HOST", "PORT", "RUNS", "SERVERS"))
    given.setdefault("VOLUMES", str(Path.cwd() / "volumes"))
    if not names_profile(given) and "SERVER_URL" not in given:
        given |= _own_address(given, _reachable_host(values["host"]), values["port"])
    # Logs are stored by client name, so the client processes cannot share one.
    if given.pop("CLIENT_ID", None):
        raise BadSettings(["CLIENT_ID: names one client; the clients of a local run are client-1, client-2 …"])
    # Each process runs one client per connection, and the run waits for all of them.
    if values["servers"] > 1:
        _ensure_free(_reachable_host(values["host"]).strip("[]"), values["port"])
    given["CLIENTS"] = str(values["clients"] * values["connections"])
    given[invocation.VARIABLE] = invocation.draw(time.time_ns() // 1000)
    # An external feed has one run; several are played by this project's server only.
    return given, values["clients"], 1 if is_external_feed(given) else values["runs"]


def _own_address(given: Mapping[str, str], host: str, port: int) -> dict[str, str]:
    """Return the address at which this machine's clients reach the server, and the certificates that they trust."""
    if "TLS_CERT_FILE" not in given:
        return {"SERVER_URL": f"ws://{host}:{port}"}
    # One that `python -m services.server token` makes is its own issuer, and is for 127.0.0.1 too.
    trusted = given.get("TLS_CA_FILE", given["TLS_CERT_FILE"])
    return {"SERVER_URL": f"wss://{host}:{port}", "TLS_CA_FILE": trusted}


def _ensure_free(host: str, port: int) -> None:
    """Make sure that no other program listens on a port that several servers are to share.

    The kernel lets other processes of the same user share it too, so the clients would be divided among two systems.
    """
    with contextlib.suppress(OSError):
        socket.create_connection((host, port), timeout=1).close()
        raise PortInUse("PORT", port)


def _reachable_host(hosts: Sequence[str]) -> str:
    """Return an address, in the form of a URL, at which a client on this machine reaches a server with these hosts."""
    loopback = {ALL_INTERFACES: "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
    local = [host for host in ("127.0.0.1", "::1") if host in hosts]
    host = local[0] if local else loopback.get(hosts[0], hosts[0])
    return f"[{host}]" if ":" in host else host


async def main(settings: tuple[dict[str, str], int, int], stop: asyncio.Event) -> int:
    """Run the services until the verdict, a stop signal, or the end of the reader of standard output."""
    environment, clients, count = settings
    loop, lost = asyncio.get_running_loop(), asyncio.Event()

    def on_lost() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(lost.set)

    output = StdoutWriter(sys.stdout.fileno(), sys.stdout.encoding, on_lost)
    servers = read(environment, ["SERVERS"])["servers"]
    system = Supervisor(environment, clients, output, in_place=sys.stdout.isatty(), servers=servers)
    until = [asyncio.create_task(event.wait()) for event in (stop, lost)]
    try:
        code = await _run(system, environment, count, output, until, lost)
    finally:
        for task in until:
            task.cancel()
    await _wait_for_output(output, stop)
    if lost.is_set():
        # Standard error may be closed too.
        with contextlib.suppress(OSError):
            os.write(2, b"standard output was closed before the end\n")
    return code


async def _run(
    system: Supervisor,
    environment: dict[str, str],
    count: int,
    output: StdoutWriter,
    until: Sequence[asyncio.Task[bool]],
    lost: asyncio.Event,
) -> int:
    running = [asyncio.create_task(service.run()) for service in system.first]
    beside: list[asyncio.Task[None]] = []
    verdict: asyncio.Task[int] | None = None
    try:
        if await _is_ready(system, [*until, *running]):
            verdict = asyncio.create_task(wait_for_verdicts(environment, system.runs, count, output.write_line))
            running += [asyncio.create_task(service.run()) for service in system.clients]
            if not system.servers:
                logs = Path(environment["VOLUMES"]) / "logs"
                beside.append(
                    asyncio.create_task(system.runs.find_external_run(logs, environment[invocation.VARIABLE]))
                )
            # A service ends by itself only if its configuration is bad: crashes are restarted.
            await asyncio.wait([verdict, *until, *running], return_when=asyncio.FIRST_COMPLETED)
            if environment.get("KEEP", "") not in ("", "0") and verdict.done():
                await asyncio.wait([*until, *running], return_when=asyncio.FIRST_COMPLETED)
        code = verdict.result() if verdict is not None and verdict.done() else None
        failed = [task.result() for task in running if task.done()]
    finally:
        for task in (*beside, *([verdict] if verdict is not None else [])):
            task.cancel()
        await system.stop()
        await asyncio.gather(*running, *beside, *([verdict] if verdict is not None else []), return_exceptions=True)
    if failed:
        return failed[0]
    if code is not None:
        return code
    # Without a reader no verdict has been shown, so a published one does not count.
    return EXIT_ABORTED if lost.is_set() else exit_code_when_stopped(Path(environment["VOLUMES"]), system.runs, count)


async def _is_ready(system: Supervisor, until: Sequence[asyncio.Task[object]]) -> bool:
    """Wait until the clients can be started; return False if a service or the supervisor ends first."""
    if not system.servers:
        return not any(task.done() for task in until)
    listening = asyncio.create_task(system.runs.listening.wait())
    try:
        await asyncio.wait([listening, *until], return_when=asyncio.FIRST_COMPLETED)
        return listening.done()
    finally:
        listening.cancel()


async def _wait_for_output(output: StdoutWriter, stop: asyncio.Event) -> None:
    """Wait until all output is written; after a stop signal for at most `_DRAIN_SECONDS`."""
    stopped_at: float | None = None
    loop = asyncio.get_running_loop()
    while not output.is_done:
        if stop.is_set():
            stopped_at = stopped_at or loop.time()
            if loop.time() - stopped_at > _DRAIN_SECONDS:
                return
        await asyncio.sleep(0.02)


if __name__ == "__main__":
    process_setup.make_streams_usable()
    sys.exit(lifecycle.run(lambda: environment_of(dict(os.environ)), main))
