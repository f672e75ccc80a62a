"""Real client processes that start in milliseconds: forked from a parent that has imported everything.

The child runs ``python -m services.client`` as it stands: same entry point, same signals, an environment of its own.
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

SAID_SECONDS = 15.0


class Client:
    """One client process; what it says is in a file of its own."""

    def __init__(self, claimed: str, said: Path, pid: int) -> None:
        self.claimed, self.said, self.pid = claimed, said, pid
        self.code: int | None = None
        """Its exit code, negative for a signal; None while it runs."""
        self.began = time.time()

    def __str__(self) -> str:
        return f"{self.claimed}[{self.pid}]"

    @property
    def events(self) -> list[dict[str, Any]]:
        """What it has logged, oldest first."""
        whole, _, _ = self.said.read_text(encoding="utf-8").rpartition("\n")
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def when(self, event: str, **fields: object) -> list[float]:
        """Return the epoch seconds at which it logged an event with these fields."""
        found = [one for one in self.events if one["event"] == event and fields.items() <= one.items()]
        return [datetime.fromisoformat(one["at"]).timestamp() for one in found]

    def says(self, event: str, timeout: float = SAID_SECONDS, **fields: object) -> float:
        """Wait until it has logged an event; return when."""
        found = poll_until(lambda: self.when(event, **fields), f"{self} says {event!r} {fields}", timeout, 0.03)
        return found[0]

    @property
    def names(self) -> list[str]:
        """The names under which it was admitted, in that order."""
        return [str(event["client"]) for event in self.events if event["event"] == "subscribed"]

    def send(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def ends(self, number: int, timeout: float = SAID_SECONDS) -> int:
        """Send it a signal that ends it; return its exit code."""
        self.send(number)
        poll_until(lambda: self.code is not None, f"{self} ends", timeout, 0.01)
        return int(self.code or 0)


class Nursery:
    """The parent of all clients of a test; all are gone at its end."""

    def __init__(self, folder: Path, **settings: object) -> None:
        folder.mkdir()
        self._folder, self._settings = folder, settings
        self.clients: list[Client] = []
        self._by_pid: dict[int, Client] = {}
        self._born: SimpleQueue[int] = SimpleQueue()
        self._ordering = threading.Lock()
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
        """Start a client with a ``CLIENT_ID``; returns once there is a process."""
        assert self._parent.stdin is not None
        with self._ordering:
            said = self._folder / f"{len(self.clients):04d}-{name}.log"
            said.touch()
            given = {"CLIENT_ID": name, **self._settings, **settings}
            order = {"said": str(said), "settings": {key: str(value) for key, value in given.items()}}
            self._parent.stdin.write(json.dumps(order) + "\n")
            self._parent.stdin.flush()
            client = Client(name, said, self._born.get(timeout=SAID_SECONDS))
            self.clients.append(client)
            self._by_pid[client.pid] = client
        return client

    def _listen(self) -> None:
        assert self._parent.stdout is not None
        for line in self._parent.stdout:
            news = json.loads(line)
            if "code" in news:
                # It may have ended before its birth was entered.
                self._ended(news["pid"], news["code"])
            else:
                self._born.put(news["pid"])

    def _ended(self, pid: int, code: int) -> None:
        poll_until(lambda: pid in self._by_pid, "the child is known", SAID_SECONDS, 0.001)
        self._by_pid.pop(pid).code = code

    @property
    def living(self) -> list[Client]:
        """Those that have not ended."""
        return [client for client in self.clients if client.code is None]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        for client in self.living:
            with contextlib.suppress(ProcessLookupError):
                client.send(signal.SIGKILL)
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.close()
        self._parent.wait(20)
        self._reader.join(10)
        self._parent.stdout.close()


def _report(**news: int) -> None:
    # One write: the handler of SIGCHLD may come in between two of them.
    os.write(1, (json.dumps(news) + "\n").encode())


def _bury(*_: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            _report(pid=ended[0], code=os.waitstatus_to_exitcode(ended[1]))


def _live(said: str, settings: dict[str, str]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    os.setsid()
    random.seed()
    out = os.open(said, os.O_WRONLY | os.O_APPEND)
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
    except BaseException:  # noqa: BLE001 - whatever it was, the child must not go on as a second parent
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    """Fork a client for every order that comes on standard input."""
    importlib.import_module("services.client.app")
    signal.signal(signal.SIGCHLD, _bury)
    for line in sys.stdin:
        order = json.loads(line)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        if not (pid := os.fork()):
            _live(**order)
        _report(pid=pid)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])


if __name__ == "__main__":
    main()
