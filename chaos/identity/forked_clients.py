"""Starts real client processes in milliseconds, by forking a parent that has imported everything.

The child runs ``python -m services.client`` unchanged: same entry point, same signals, its own environment.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import random
import runpy
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self

from services.runtime.settings import BY_NAME
from tests.integration.processes import ROOT, environment
from tests.poll import poll_until

REPLY_SECONDS = 15.0


class Client:
    """One client process, whose output goes to ``log_file``."""

    def __init__(self, client_id: str, log_file: Path, pid: int) -> None:
        self.client_id, self.log_file, self.pid = client_id, log_file, pid
        self.code: int | None = None
        """Its exit code, negative for a signal; None while it runs."""
        self.started = time.time()

    def __str__(self) -> str:
        return f"{self.client_id}[{self.pid}]"

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events that it has logged, oldest first."""
        whole, _, _ = self.log_file.read_text(encoding="utf-8").rpartition("\n")
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def when(self, event: str, **fields: object) -> list[float]:
        """Return the epoch seconds at which it logged an event with these fields."""
        matches = [item for item in self.events if item["event"] == event and fields.items() <= item.items()]
        return [datetime.fromisoformat(item["at"]).timestamp() for item in matches]

    def wait_for_event(self, event: str, timeout: float = REPLY_SECONDS, **fields: object) -> float:
        """Wait until it has logged an event with these fields; return the time of the first (epoch seconds)."""
        times = poll_until(lambda: self.when(event, **fields), f"{self} logs {event!r} {fields}", timeout, 0.03)
        return times[0]

    @property
    def names(self) -> list[str]:
        """The names under which it was admitted, in order."""
        return [str(event["client"]) for event in self.events if event["event"] == "subscribed"]

    def send(self, number: int) -> None:
        """Send a signal to the process."""
        os.kill(self.pid, number)

    def end(self, number: int, timeout: float = REPLY_SECONDS) -> int:
        """Send a signal that ends the process; return its exit code."""
        self.send(number)
        poll_until(lambda: self.code is not None, f"{self} ends", timeout, 0.01)
        return int(self.code or 0)


class ClientForker:
    """Starts the parent process that forks all clients of a test; on exit all clients are killed."""

    def __init__(self, folder: Path, **settings: object) -> None:
        folder.mkdir()
        self._folder, self._settings = folder, settings
        self.clients: list[Client] = []
        self._by_pid: dict[int, Client] = {}
        self._started_pids: SimpleQueue[int] = SimpleQueue()
        self._start_lock = threading.Lock()
        self._parent = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=ROOT,
            env=environment({}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def start(self, name: str, **settings: object) -> Client:
        """Fork a client with ``CLIENT_ID`` set to ``name``; return once the process exists."""
        assert self._parent.stdin is not None
        with self._start_lock:
            log_file = self._folder / f"{len(self.clients):04d}-{name}.log"
            log_file.touch()
            values = {"CLIENT_ID": name, **self._settings, **settings}
            command = {"log_file": str(log_file), "settings": {key: str(value) for key, value in values.items()}}
            self._parent.stdin.write(json.dumps(command) + "\n")
            self._parent.stdin.flush()
            client = Client(name, log_file, self._started_pids.get(timeout=REPLY_SECONDS))
            self.clients.append(client)
            self._by_pid[client.pid] = client
        return client

    def _listen(self) -> None:
        assert self._parent.stdout is not None
        for line in self._parent.stdout:
            message = json.loads(line)
            if "code" in message:
                # The process may end before `start` has registered it.
                self._ended(message["pid"], message["code"])
            else:
                self._started_pids.put(message["pid"])

    def _ended(self, pid: int, code: int) -> None:
        poll_until(lambda: pid in self._by_pid, "the child is registered", REPLY_SECONDS, 0.001)
        self._by_pid.pop(pid).code = code

    @property
    def running(self) -> list[Client]:
        """The clients that have not ended."""
        return [client for client in self.clients if client.code is None]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        for client in self.running:
            with contextlib.suppress(ProcessLookupError):
                client.send(signal.SIGKILL)
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.close()
        self._parent.wait(20)
        self._reader.join(10)
        self._parent.stdout.close()


def _report(**message: int) -> None:
    # A single write, since the handler of SIGCHLD may run between two writes.
    os.write(1, (json.dumps(message) + "\n").encode())


def _reap(*_: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            _report(pid=ended[0], code=os.waitstatus_to_exitcode(ended[1]))


def _run_client(log_file: str, settings: dict[str, str]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    os.setsid()
    random.seed()
    out = os.open(log_file, os.O_WRONLY | os.O_APPEND)
    for fd, other in ((os.open(os.devnull, os.O_RDONLY), 0), (out, 1), (out, 2)):
        os.dup2(fd, other)
    for name in BY_NAME:
        os.environ.pop(name, None)
    os.environ.update(settings)
    code = 1
    try:
        runpy.run_module("services.client", run_name="__main__")
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:  # noqa: BLE001 - after any exception the child must not continue as a second parent
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    """Fork a client for every command on standard input."""
    importlib.import_module("services.client.app")
    signal.signal(signal.SIGCHLD, _reap)
    for line in sys.stdin:
        command = json.loads(line)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        if not (pid := os.fork()):
            _run_client(**command)
        _report(pid=pid)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])


if __name__ == "__main__":
    main()
