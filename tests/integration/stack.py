"""The containers of the repository's compose file, in a project and with a volumes folder of the test's own."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from services.contract.ledger import SubscribeEntry
from tests.integration.processes import ROOT, environment
from tests.poll import poll_until
from tests.readers import Volumes

UP_SECONDS = 300.0
"""The first ``up`` builds three images; the later ones find them in the cache."""


def engine_answers() -> bool:
    """Return whether there are a Docker engine and Compose."""
    if shutil.which("docker") is None:
        return False
    commands = (["docker", "version", "--format", "{{.Server.Version}}"], ["docker", "compose", "version"])
    return all(_answers(command) for command in commands)


def _answers(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def docker(*arguments: str, check: bool = True, timeout: float = 60.0) -> str:
    """Run a docker command and return its standard output."""
    return _run(["docker", *arguments], dict(os.environ), check=check, timeout=timeout).stdout.strip()


def _run(
    command: list[str], environ: dict[str, str], *, check: bool, timeout: float
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
    )
    if check and done.returncode:
        output = f"{done.stdout}\n{done.stderr}"
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{output}")
    return done


class Stack:
    """``docker compose`` with the repository's own file. Settings are environment variables, as for any user."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.project = f"sgtest{secrets.token_hex(4)}"
        self.volumes = Volumes(folder)
        self.settings: dict[str, object] = {"VOLUMES": folder, "PAGE_PORT": 0, **settings}
        self._scale = 1
        self._servers: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        try:
            if error is not None:
                error.add_note(self.report())
        finally:
            self.down()

    def compose(self, *arguments: str, check: bool = True, timeout: float = 90.0) -> subprocess.CompletedProcess[str]:
        """Run ``docker compose`` with these arguments."""
        return _run(self._command(*arguments), environment(self.settings), check=check, timeout=timeout)

    def in_foreground(self, *arguments: str) -> Foreground:
        """Run ``docker compose`` with these arguments as a user does at a terminal."""
        return Foreground(self._command(*arguments), environment(self.settings))

    def _command(self, *arguments: str) -> list[str]:
        # A developer's own .env must not change the tests.
        options = ["--project-name", self.project, "--env-file", os.devnull, "--ansi", "never"]
        return ["docker", "compose", *options, *arguments]

    def up(self, clients: int = 1, servers: int = 1, **settings: object) -> None:
        """Start everything in the background with these numbers of containers; keep the settings for later calls."""
        self.settings |= settings
        self._scale, self._servers = clients, servers if servers > 1 else None
        self.compose("up", "--detach", *self._scales(), timeout=UP_SECONDS)

    def _scales(self) -> list[str]:
        # With an external feed there is no server to scale.
        servers = [] if self._servers is None else ["--scale", f"server={self._servers}"]
        return ["--scale", f"client={self._scale}", *servers]

    def up_in_foreground(self, clients: int = 1) -> Foreground:
        """Start everything as a user does at a terminal."""
        self._scale = clients
        return self.in_foreground("up", "--scale", f"client={clients}")

    def scale(self, clients: int | None = None, servers: int | None = None) -> None:
        """Change the number of clients or servers without touching other containers."""
        self._scale, self._servers = clients or self._scale, servers or self._servers
        self.compose("up", "--detach", "--no-recreate", "--no-build", *self._scales())

    def down(self) -> None:
        """Remove everything but the volumes folder; nothing is read any more, so services get no time to stop."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "0", check=False, timeout=120)

    def wait(self, timeout: float = 120.0) -> tuple[int, str]:
        """Run ``wait`` until the verdict, as a script does; return its exit code and output."""
        done = self.exec("collector", "python", "-m", "services.collector", "wait", check=False, timeout=timeout)
        return done.returncode, done.stdout

    def exec(
        self, service: str, *command: str, index: int = 1, check: bool = True, timeout: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a container."""
        return self.compose("exec", "-T", "--index", str(index), service, *command, check=check, timeout=timeout)

    def stop(self, *services: str) -> None:
        """Stop these services, or all of them."""
        self.compose("stop", *services)

    def start(self, *services: str) -> None:
        """Start services that were stopped."""
        self.compose("start", *services)

    def restart(self, service: str) -> None:
        """Stop a service and start it again."""
        self.compose("restart", service)

    def logs(self, service: str, index: int = 1) -> str:
        """Return the log of a container, each line with its timestamp."""
        return docker("logs", "--timestamps", self.container(service, index))

    def container(self, service: str, index: int = 1) -> str:
        """Return the id of a container, running or not."""
        wanted = [f"{key}={value}" for key, value in self._labels(service, index).items()]
        filters = [part for label in wanted for part in ("--filter", f"label=com.docker.compose.{label}")]
        found = docker("ps", "--all", "--quiet", "--no-trunc", *filters).split()
        assert len(found) == 1, f"{service} {index} is {found}"
        return found[0]

    def _labels(self, service: str, index: int) -> dict[str, object]:
        return {"project": self.project, "service": service, "container-number": index, "oneoff": "False"}

    def inspect(self, service: str, index: int = 1) -> dict[str, Any]:
        """Return the engine's description of a container."""
        found: dict[str, Any] = json.loads(docker("inspect", self.container(service, index)))[0]
        return found

    def pid(self, service: str, index: int = 1) -> int:
        """Return the host's id of a container's first process."""
        return int(self.inspect(service, index)["State"]["Pid"])

    def kill(self, service: str, index: int = 1) -> None:
        """Kill a container's first process from the host: unlike after ``docker kill``, the restart policy applies."""
        os.kill(self.pid(service, index), signal.SIGKILL)

    def page(self) -> str:
        """Wait until the page answers; return its address, which changes when the collector starts again."""

        def answering() -> str:
            address = f"http://{self.compose('port', 'collector', '8766').stdout.strip()}"
            try:
                urllib.request.urlopen(f"{address}/metrics", timeout=5).close()
            except urllib.error.HTTPError as refusal:
                refusal.close()
            except OSError:
                return ""
            return address

        return poll_until(answering, "the page answers", 30)

    def subscribed(self, timeout: float = 60.0) -> None:
        """Wait until every client has subscribed."""

        def all_here() -> bool:
            entries = self.volumes.ledger()
            return len({entry.client for entry in entries if isinstance(entry, SubscribeEntry)}) >= self._scale

        poll_until(all_here, f"{self._scale} clients have subscribed", timeout)

    def receipted(self, seq: int, client: str = "client-1", timeout: float = 60.0) -> None:
        """Wait until the ledger holds a client's receipt for a seq."""
        poll_until(lambda: self.volumes.head(client) >= seq, f"{client} has receipted {seq}", timeout)

    def report(self) -> str:
        """Return the state and the logs of all containers, for the report of a failed test."""
        listed = self.compose("ps", "--all", check=False).stdout
        logs = self.compose("logs", "--no-color", "--timestamps", "--tail", "150", check=False).stdout
        logs = logs.replace("\x1b[2K", "")  # Compose 2.26 erases a line before it prints one, terminal or not
        return f"---- docker compose ps ({self.project})\n{listed}\n---- docker compose logs\n{logs}"


class Foreground:
    """``docker compose up`` at a terminal, with Ctrl-C."""

    def __init__(self, command: list[str], environ: dict[str, str]) -> None:
        self._lines: list[str] = []
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(line.rstrip("\n"))

    @property
    def text(self) -> str:
        """The output until now."""
        return "\n".join(self._lines)

    def ctrl_c(self, timeout: float = 60.0) -> int:
        """Press Ctrl-C and wait for the end; return the exit code, which is 2 if Compose 2.26 ends with a panic."""
        self._process.send_signal(signal.SIGINT)
        return self.wait(timeout)

    def wait(self, timeout: float = 60.0) -> int:
        """Wait for the end; return the exit code."""
        return self._process.wait(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._reader.join(10)
        assert self._process.stdout is not None
        self._process.stdout.close()
        if error is not None:
            error.add_note(f"---- the terminal\n{self.text}")
