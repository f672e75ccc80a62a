"""``python -m services``: the whole system on this machine, without containers: the same modules, as processes.

Restarts what crashes, as compose would; ends with the verdict and exits with its code, unless ``KEEP=1``. An invocation
judges the runs that it plays itself, and no other that lies in its volumes; its processes end when it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from services.local.invocation_runs import InvocationRuns
from services.local.service import SupervisedService
from services.local.stdout_writer import StdoutWriter
from services.local.verdict import stopped, verdicts
from services.runtime import invocation, lifecycle, standard_streams
from services.runtime.errors import EXIT_ABORTED, BadSettings
from services.runtime.settings import ALL_INTERFACES, is_external_feed, read

_STOP_SECONDS = 8.0
_STOP_ALL_SECONDS = 9.5
_DRAIN_SECONDS = 2.0
"""So long a stopped invocation waits for a reader that does not read."""


class Supervisor:
    """The services of one invocation.

    Args:
        environment: the services' settings.
        clients: how many processes receive.
        output: what is shown.
        in_place: the collector gets the terminal.
    """

    def __init__(self, environment: dict[str, str], clients: int, output: StdoutWriter, *, in_place: bool) -> None:
        names = [f"client-{number}" for number in range(1, clients + 1)]
        self._width = max(map(len, ["collector", *names]))
        self._output = output
        shown = None if in_place else self._shown("collector", output.say)
        self.collector = SupervisedService("collector", "services.collector", environment, output.write, shown)
        say = self.collector.tell if in_place else output.say
        self.runs = InvocationRuns(self.collector.note)
        self.server: SupervisedService | None = None
        if not is_external_feed(environment):
            show = self._shown("server", say)
            self.server = SupervisedService("server", "services.server", environment, output.write, self._read(show))
        self.clients = [
            SupervisedService(
                name, "services.client", {**environment, "CLIENT_ID": name}, output.write, self._shown(name, say)
            )
            for name in names
        ]

    def _shown(self, name: str, say: Callable[[str], None]) -> Callable[[str], None]:
        return lambda line: say(f"{name:<{self._width}} | {line}")

    def _read(self, show: Callable[[str], None]) -> Callable[[str], None]:
        def take(line: str) -> None:
            show(line)
            self.runs.read(line)

        return take

    @property
    def first(self) -> list[SupervisedService]:
        """The services that clients depend on, in the order in which they start; an external feed has no server."""
        return [self.collector] if self.server is None else [self.collector, self.server]

    async def stop(self) -> None:
        """Stop everything: clients seal first, and the collector, which goes last, sees it."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _STOP_ALL_SECONDS
        await asyncio.gather(*(service.stop(_STOP_SECONDS) for service in self.clients))
        for service in reversed(self.first):
            await service.stop(max(1.0, until - loop.time()))


def environment_of(given: dict[str, str]) -> tuple[dict[str, str], int, int]:
    """Return the services' environment, the number of clients, and that of runs.

    Raises:
        BadSettings: with what is wrong with the settings that are read here.
    """
    given = {"CLIENTS": "5", **{name: value for name, value in given.items() if value.strip()}}
    values = read(given, ("CLIENTS", "CONNECTIONS", "HOST", "PORT", "RUNS"))
    given.setdefault("VOLUMES", str(Path.cwd() / "volumes"))
    given.setdefault("SERVER_URL", f"ws://{_within_reach(values['host'])}:{values['port']}")
    # The runs' logs are told apart by client, so one name for all would not do.
    if given.pop("CLIENT_ID", None):
        raise BadSettings(["CLIENT_ID: names one client; the clients of a local run are client-1, client-2 …"])
    # Each process is as many clients as it has connections, and the run waits for all of them.
    given["CLIENTS"] = str(values["clients"] * values["connections"])
    given[invocation.VARIABLE] = invocation.draw(time.time_ns() // 1000)
    # Nobody but our own server plays several runs.
    return given, values["clients"], 1 if is_external_feed(given) else values["runs"]


def _within_reach(hosts: Sequence[str]) -> str:
    """Return an address at which the clients on this machine reach a server that listens on these, as a URL has it."""
    loopback = {ALL_INTERFACES: "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
    near = [host for host in ("127.0.0.1", "::1") if host in hosts]
    host = near[0] if near else loopback.get(hosts[0], hosts[0])
    return f"[{host}]" if ":" in host else host


async def main(settings: tuple[dict[str, str], int, int], stop: asyncio.Event) -> int:
    """Run everything until the verdict, or until told to stop, or until nobody reads what is written."""
    environment, clients, count = settings
    loop, lost = asyncio.get_running_loop(), asyncio.Event()

    def note_loss() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            loop.call_soon_threadsafe(lost.set)

    output = StdoutWriter(sys.stdout.fileno(), sys.stdout.encoding, note_loss)
    system = Supervisor(environment, clients, output, in_place=sys.stdout.isatty())
    until = [asyncio.create_task(event.wait()) for event in (stop, lost)]
    try:
        code = await _run(system, environment, count, output, until, lost)
    finally:
        for task in until:
            task.cancel()
    await _written(output, stop)
    if lost.is_set():
        # Standard error may be closed as well.
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
            verdict = asyncio.create_task(verdicts(environment, system.runs, count, output.say))
            running += [asyncio.create_task(service.run()) for service in system.clients]
            if system.server is None:
                logs = Path(environment["VOLUMES"]) / "logs"
                beside.append(asyncio.create_task(system.runs.look(logs, environment[invocation.VARIABLE])))
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
    # What nobody could read any more has not been shown.
    return EXIT_ABORTED if lost.is_set() else stopped(Path(environment["VOLUMES"]), system.runs, count)


async def _is_ready(system: Supervisor, until: Sequence[asyncio.Task[object]]) -> bool:
    """Wait until clients can be started; tell whether they can, or something ended before."""
    if system.server is None:
        return not any(task.done() for task in until)
    listening = asyncio.create_task(system.runs.listening.wait())
    try:
        await asyncio.wait([listening, *until], return_when=asyncio.FIRST_COMPLETED)
        return listening.done()
    finally:
        listening.cancel()


async def _written(output: StdoutWriter, stop: asyncio.Event) -> None:
    """Wait until everything is written: for as long as the reader likes, or shortly if the operator has stopped it."""
    since: float | None = None
    loop = asyncio.get_running_loop()
    while not output.is_done:
        if stop.is_set():
            since = since or loop.time()
            if loop.time() - since > _DRAIN_SECONDS:
                return
        await asyncio.sleep(0.02)


if __name__ == "__main__":
    standard_streams.settle()
    sys.exit(lifecycle.run(lambda: environment_of(dict(os.environ)), main))
