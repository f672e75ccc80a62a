"""The containers of the compose file under Podman, in a project of the test's own."""

from __future__ import annotations

import secrets
import subprocess
from types import TracebackType
from typing import Self

from tests.integration.processes import free_port
from tests.podman.account import Account
from tests.podman.providers import Provider, health_timers
from tests.readers import Volumes

UP_SECONDS = 400.0
"""Compose at the API builds in each ``up``."""


class PodmanStack:
    """The compose file with one provider; settings are environment variables, as for any user."""

    def __init__(self, account: Account, provider: Provider, **settings: object) -> None:
        self.account, self._provider = account, provider
        self.project, self.page_port = f"sgtest{secrets.token_hex(4)}", free_port()
        self.volumes = Volumes(account.folder / self.project)
        self._settings = {"VOLUMES": self.volumes.root, "PAGE_PORT": self.page_port, **provider.settings, **settings}
        account.run("mkdir", str(self.volumes.root))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        try:
            if error is not None:
                error.add_note(self._report())
        finally:
            self.down("--volumes")

    def compose(
        self, *arguments: str, check: bool = True, timeout: float = UP_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run the provider with these arguments."""
        command = [*self._provider.command, "--project-name", self.project, *arguments]
        done = self.account.run(*command, timeout=timeout, settings=self._settings)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def up_to_verdict(self, clients: int) -> subprocess.CompletedProcess[str]:
        """Play a run as a CI job does; the exit code is the verdict's."""
        up = ["--profile", "verdict", "up", "--exit-code-from", "verdict"]
        with health_timers(self.account):
            return self.compose(*up, "--scale", f"client={clients}", check=False)

    def up(self, clients: int) -> None:
        """Start everything in the background."""
        with health_timers(self.account):
            self.compose("up", "--detach", "--scale", f"client={clients}")

    def down(self, *options: str) -> None:
        """Stop and remove all containers; podman-compose knows scaled ones of an earlier call only as orphans."""
        self.compose("--profile", "verdict", "down", "--remove-orphans", *options, check=False)

    def container(self, service: str, number: int = 1) -> str:
        """Return the id of a running container."""
        labels = {"project": self.project, "service": service, "container-number": number}
        filters = [f"--filter=label=com.docker.compose.{name}={value}" for name, value in labels.items()]
        found = self.account.run("podman", "ps", "--quiet", *filters).stdout.split()
        assert len(found) == 1, f"{service} {number} is {found}"
        return found[0]

    def exec(self, service: str, *command: str, timeout: float = 90.0) -> subprocess.CompletedProcess[str]:
        """Run a command in a container, as a user does."""
        return self.compose("exec", "-T", service, *command, check=False, timeout=timeout)

    def _report(self) -> str:
        listed = self.account.run("podman", "ps", "--all", "--format", "{{.Names}} {{.Status}}").stdout
        names = [line.split()[0] for line in listed.splitlines() if line.startswith(self.project)]
        logs = [self.account.run("podman", "logs", "--tail", "60", name) for name in names]
        texts = (f"---- {name}\n{log.stdout}{log.stderr}" for name, log in zip(names, logs, strict=True))
        return "\n".join([listed, *texts])
