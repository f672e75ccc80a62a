"""The two programs that read the compose file for Podman: podman-compose, and Compose at the API of Podman."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.podman.account import Account
from tests.poll import poll_until

SYSTEMD = Path("/run/systemd/system")
"""Exists where systemd runs, whose timers start the health checks of Podman."""


class Provider:
    """A command that takes the arguments of ``docker compose``.

    Args:
        command: the program with its first arguments.
        settings: environment variables that it needs.
    """

    def __init__(self, *command: str, **settings: str) -> None:
        self.command, self.settings = command, settings


def podman_compose(account: Account, library: Path) -> Provider:
    """Return podman-compose, from a folder with its module."""
    return Provider(account.python, os.fspath(account.copy(library, "podman-compose") / "podman_compose.py"))


@contextlib.contextmanager
def compose_at_api(account: Account) -> Iterator[Provider]:
    """Serve the API of Podman, where ``podman compose`` looks for it; yield what that command runs.

    Podman has the command since 4.7. It starts Docker's Compose with these variables, without any other change.
    """
    socket = account.runtime / "podman" / "podman.sock"
    has_command = account.run("podman", "compose", "version").returncode == 0
    command = ["podman", "compose"] if has_command else ["docker", "compose"]
    settings = {} if has_command else {"DOCKER_HOST": f"unix://{socket}", "DOCKER_BUILDKIT": "0"}
    serving = None
    if account.run("podman", "--url", f"unix://{socket}", "info").returncode:
        serving = account.start("podman", "system", "service", "--time=0")
        poll_until(socket.exists, f"the API of Podman is served at {socket}", 30)
    try:
        yield Provider(*command, **settings)
    finally:
        if serving is not None:
            serving.terminate()
            serving.wait(30)


@contextlib.contextmanager
def health_timers(account: Account) -> Iterator[None]:
    """Start the health checks of containers until they answer once, where no systemd does."""
    ended = threading.Event()

    def check() -> None:
        while not ended.wait(1):
            waiting = account.run("podman", "ps", "--quiet", "--filter", "health=starting").stdout.split()
            for container in waiting:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    account.run("podman", "healthcheck", "run", container, timeout=10)

    if SYSTEMD.exists():
        yield
        return
    checking = threading.Thread(target=check)
    checking.start()
    try:
        yield
    finally:
        ended.set()
        checking.join()
