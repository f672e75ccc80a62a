"""``python -m services``: the whole system on this machine, without containers: the same modules, as processes.

Restarts what crashes, as compose would; ends with the verdict and exits with its code, unless ``KEEP=1``.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from services.contract.fields import run_order
from services.runtime import lifecycle
from services.runtime.errors import BadSettings
from services.runtime.settings import is_foreign, read

EXIT_ABORTED = 105
EXIT_BAD_SETTINGS = 104
SHOW_CURSOR = "\x1b[?25h"
_STOP_SECONDS = 8.0
_MOST_RESTART_SECONDS = 2.0
_STABLE_SECONDS = 5.0


class Process:
    """One service as a process: restarted when it ends by itself, its lines shown under its name.

    Args:
        name: of the service.
        module: what is run.
        environment: its settings.
        show: takes its lines, and what is to be said of it; None gives it the terminal.
    """

    def __init__(self, name: str, module: str, environment: dict[str, str], show: Callable[[str], None] | None) -> None:
        self.name, self._module, self._environment = name, module, environment
        self._show = show or self.tell
        self._has_terminal = show is None
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False

    async def run(self) -> int:
        """Run until stopped, or until the operator has something to mend; return the last exit code."""
        loop, delay = asyncio.get_running_loop(), 0.1
        while True:
            began = loop.time()
            code = await self._once()
            if self._over() or code == EXIT_BAD_SETTINGS:
                return code
            delay = 0.1 if loop.time() - began > _STABLE_SECONDS else min(delay * 2, _MOST_RESTART_SECONDS)
            self._show(f"exited with code {code}; restarting")
            await asyncio.sleep(delay)
            if self._over():
                return code

    def _over(self) -> bool:
        return self._stopping

    async def _once(self) -> int:
        # A session of its own: Ctrl-C reaches this process alone, which stops the others in their order.
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-u", "-m", self._module),
            env=self._environment,
            stdin=asyncio.subprocess.PIPE if self._has_terminal else None,
            stdout=None if self._has_terminal else asyncio.subprocess.PIPE,
            stderr=None if self._has_terminal else asyncio.subprocess.STDOUT,
            start_new_session=True,
            limit=1 << 20,
        )
        if self._process.stdout is not None:
            async for line in self._process.stdout:
                self._show(line.decode(errors="replace").rstrip("\n"))
        code = await self._process.wait()
        if self._has_terminal:
            # Who was killed could not give it back.
            sys.stdout.write(SHOW_CURSOR)
        return code

    def tell(self, line: str) -> None:
        """Have a line shown by the process that has the terminal, above what it shows; print it if there is none."""
        pipe = self._process.stdin if self._process is not None and self._process.returncode is None else None
        if pipe is None or pipe.is_closing():
            print(line, flush=True)
        else:
            pipe.write(f"{line}\n".encode())

    async def stop(self) -> None:
        """Ask the process to end, and make it end."""
        self._stopping = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


def processes(environment: dict[str, str], clients: int, *, in_place: bool) -> tuple[list[Process], list[Process]]:
    """Return the services that clients depend on, in the order in which they start, and the clients.

    For a feed that is not ours no server is among them. ``in_place`` gives the collector the terminal.
    """
    names = [f"client-{number}" for number in range(1, clients + 1)]
    width = max(map(len, ["collector", *names]))

    def shown(name: str, say: Callable[[str], None]) -> Callable[[str], None]:
        return lambda line: say(f"{name:<{width}} | {line}")

    printed = functools.partial(print, flush=True)
    collector = Process(
        "collector", "services.collector", environment, None if in_place else shown("collector", printed)
    )
    say = collector.tell if in_place else printed
    server = Process("server", "services.server", environment, shown("server", say))
    return (
        [collector] if is_foreign(environment) else [collector, server],
        [Process(name, "services.client", {**environment, "CLIENT_ID": name}, shown(name, say)) for name in names],
    )


def environment_of(given: dict[str, str]) -> tuple[dict[str, str], int, int]:
    """Return the services' environment, the number of clients, and that of runs.

    Raises:
        BadSettings: with what is wrong with the settings that are read here.
    """
    given = {"CLIENTS": "5", **{name: value for name, value in given.items() if value}}
    values = read(given, ("CLIENTS", "CONNECTIONS", "PORT", "RUNS"))
    given.setdefault("VOLUMES", str(Path.cwd() / "volumes"))
    given.setdefault("SERVER_URL", f"ws://127.0.0.1:{values['port']}")
    # The runs' logs are told apart by client, so one name for all would not do.
    if given.pop("CLIENT_ID", None):
        raise BadSettings(["CLIENT_ID: names one client; the clients of a local run are client-1, client-2 …"])
    # Each process is as many clients as it has connections, and the run waits for all of them.
    given["CLIENTS"] = str(values["clients"] * values["connections"])
    return given, values["clients"], values["runs"]


async def _healthy(port: str) -> None:
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = await reader.readline()
            writer.close()
            if b" 200 " in answer:
                return
        await asyncio.sleep(0.05)


def _runs(volumes: Path) -> list[str]:
    # A run of a feed that is not ours has no ledger.
    folders = (path for side in ("ledger", "logs") for path in (volumes / side).glob("2*Z*"))
    return sorted({path.name for path in folders if path.is_dir()}, key=run_order)


async def _verdicts(environment: dict[str, str], runs: int) -> int:
    """Wait for the verdict of every run, the one that is on first; return the first code that is not 0."""
    volumes, worst = Path(environment["VOLUMES"]), 0
    known = _runs(volumes)
    # One by one: the next may be over before the verdict of this one is known.
    judged = known[-2] if len(known) > 1 else ""
    while True:
        later = [run for run in _runs(volumes) if not judged or run_order(run) > run_order(judged)]
        if not later:
            await asyncio.sleep(0.1)
            continue
        judged = min(later, key=run_order)
        code = await _verdict(environment, judged)
        worst, runs = worst or code, runs - 1
        if runs == 0 or code == EXIT_ABORTED:
            return worst


async def _verdict(environment: dict[str, str], run: str) -> int:
    # The collector has shown the summary already: what is wanted here is the code, and why waiting was in vain.
    waiting = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.collector", "wait", "--run", run),
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        _, said = await waiting.communicate()
    finally:
        # When the run is stopped before its verdict, nobody waits for it any more.
        if waiting.returncode is None:
            waiting.kill()
            await waiting.wait()
    if waiting.returncode == EXIT_ABORTED and said:
        print(said.decode(errors="replace").splitlines()[-1], flush=True)
    return waiting.returncode or 0


async def main(settings: tuple[dict[str, str], int, int], stop: asyncio.Event) -> int:
    """Run everything until the verdict, or until told to stop."""
    environment, clients, runs = settings
    first, receiving = processes(environment, clients, in_place=sys.stdout.isatty())
    running = [asyncio.create_task(service.run()) for service in first]
    stopped = asyncio.create_task(stop.wait())
    foreign = is_foreign(environment)
    healthy = asyncio.create_task(asyncio.sleep(0) if foreign else _healthy(environment.get("PORT", "8765")))
    await asyncio.wait([healthy, stopped, *running], return_when=asyncio.FIRST_COMPLETED)
    code = EXIT_ABORTED
    if healthy.done():
        verdict = asyncio.create_task(_verdicts(environment, runs))
        running += [asyncio.create_task(service.run()) for service in receiving]
        await asyncio.wait([verdict, stopped, *running], return_when=asyncio.FIRST_COMPLETED)
        if environment.get("KEEP", "") not in ("", "0") and verdict.done():
            await asyncio.wait([stopped, *running], return_when=asyncio.FIRST_COMPLETED)
        code = verdict.result() if verdict.done() else EXIT_ABORTED
    failed = [task.result() for task in running if task.done()]
    # Clients seal first, and the collector, which goes last, sees it.
    await asyncio.gather(*(service.stop() for service in receiving))
    for service in reversed(first):
        await service.stop()
    await asyncio.gather(*running)
    return failed[0] if failed else code


if __name__ == "__main__":
    sys.exit(lifecycle.run(lambda: environment_of(dict(os.environ)), main))
