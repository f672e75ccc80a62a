"""The services as processes on this machine: the whole system by its supervisor, or one service alone."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from services.runtime.settings import BY_NAME
from tests.poll import poll_until
from tests.readers import Volumes

ROOT = Path(__file__).parents[2]
VERDICT_SECONDS = 40.0
"""Time limit for the verdict of a short run, on a busy machine."""


def free_port() -> int:
    """Return a port that is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(settings: Mapping[str, object]) -> dict[str, str]:
    """Return this process's environment with these settings and no other."""
    kept = {name: value for name, value in os.environ.items() if name not in BY_NAME and name != "KEEP"}
    return {**kept, "PYTHONUNBUFFERED": "1", **{name: str(value) for name, value in settings.items()}}


class Program:
    """A program as a process in a session of its own; its output is kept line by line."""

    def __init__(self, name: str, *command: str, **settings: object) -> None:
        self.name = name
        self.began = time.monotonic()
        self._lines: list[str] = []
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(settings),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(line.rstrip("\n"))

    @property
    def lines(self) -> list[str]:
        """Its output until now."""
        return list(self._lines)

    @property
    def text(self) -> str:
        """Its output until now, as one text."""
        return "\n".join(self._lines)

    @property
    def code(self) -> int | None:
        """Its exit code, None while it runs."""
        return self._process.poll()

    def wait_for_line(self, text: str, timeout: float = 15.0) -> str:
        """Wait until it prints a line that contains a text, and return that line."""

        def match() -> str | None:
            return next((line for line in self.lines if text in line), None)

        return poll_until(match, f"{self.name} prints {text!r}; its output:\n{self.text}\n", timeout, 0.02) or ""

    def enter(self, line: str) -> None:
        """Type a line on its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def wait(self, timeout: float = VERDICT_SECONDS) -> int:
        """Wait for its end and return its exit code."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} has not ended after {timeout:.0f} s; its output:\n{self.text}") from None
        self._reader.join(10)
        return code

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def stop(self, timeout: float = 15.0) -> int:
        """Send it SIGTERM, and return its exit code."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        return self.wait(timeout)

    def close(self) -> None:
        """End the process and everything that it started."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._reader.join(10)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        self.close()
        if error is not None:
            error.add_note(f"---- output of {self.name}\n{self.text}")


class Process(Program):
    """A Python module as such a process."""

    def __init__(self, module: str, *arguments: str, **settings: object) -> None:
        super().__init__(module, sys.executable, "-m", module, *arguments, **settings)


class LocalRun(Process):
    """``python -m services``: the supervisor starts the whole system, on free ports and in a folder of its own."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.port, self.page_port = free_port(), free_port()
        self.volumes = Volumes(folder)
        given = {"VOLUMES": folder, "PORT": self.port, "PAGE_PORT": self.page_port, **settings}
        super().__init__("services", **given)

    @property
    def url(self) -> str:
        """Address of its server."""
        return f"ws://127.0.0.1:{self.port}"


def play(folder: Path, **settings: object) -> tuple[int, LocalRun]:
    """Play a run from beginning to end; return the exit code and the run."""
    with LocalRun(folder, **settings) as run:
        return run.wait(), run


class System:
    """The services as separate processes, for tests that stop and start them; all are ended on exit.

    Attributes:
        modules: by service, a module that runs in place of its own.
    """

    def __init__(self, folder: Path, **settings: object) -> None:
        self.port, self.page_port = free_port(), free_port()
        self.url = f"ws://127.0.0.1:{self.port}"
        self.volumes = Volumes(folder)
        self._settings = {
            "VOLUMES": folder, "PORT": self.port, "PAGE_PORT": self.page_port, "SERVER_URL": self.url, **settings
        }  # fmt: skip
        self.modules: dict[str, str] = {}
        self._started: list[Process] = []

    def start(self, service: str, *arguments: str, **settings: object) -> Process:
        """Start a service with this system's settings, or with others."""
        module = self.modules.get(service, f"services.{service}")
        process = Process(module, *arguments, **{**self._settings, **settings})
        self._started.append(process)
        return process

    def server(self, **settings: object) -> Process:
        """Start the server and wait until it listens."""
        server = self.start("server", **settings)
        server.wait_for_line('"listening"')
        return server

    def client(self, name: str, **settings: object) -> Process:
        """Start a client."""
        return self.start("client", CLIENT_ID=name, **settings)

    def wait(self) -> tuple[int, str]:
        """Run ``wait`` until the verdict, as a script does; return its exit code and output."""
        waiting = self.start("collector", "wait")
        return waiting.wait(VERDICT_SECONDS + 20), waiting.text

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        for process in reversed(self._started):
            process.close()
            if error is not None:
                error.add_note(f"---- output of {process.name}\n{process.text}")


def verify(folder: Path) -> tuple[int, str]:
    """Verify a volumes folder offline; return the exit code and output."""
    with Process("services.collector", "verify", str(folder)) as audit:
        return audit.wait(), audit.text
