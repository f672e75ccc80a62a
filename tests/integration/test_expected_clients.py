"""The server counts the client containers that were started, so a run without one of them cannot pass."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from services.contract import ledger
from tests.integration.stack import Stack, docker
from tests.poll import poll_until

pytestmark = [pytest.mark.containers, pytest.mark.slow]


def expects(stack: Stack) -> list[int]:
    """Return how many clients the ledger says the run waits for."""
    return [entry.clients for entry in stack.volumes.ledger() if isinstance(entry, ledger.ExpectEntry)]


def started(stack: Stack) -> bool:
    """Return whether the run's clock has started."""
    return any(isinstance(entry, ledger.PaceEntry) for entry in stack.volumes.ledger())


def test_the_clients_that_were_started_are_waited_for(folder: Path, engine: None) -> None:
    """Without ``CLIENTS`` the server learns that there are five containers, of two clients each, and waits for them."""
    with Stack(folder, RECORDS=400, RATE=100, CONNECTIONS=2) as stack:
        stack.up(clients=5)
        code, text = stack.wait()
        assert 0 == code, text
        assert [10] == expects(stack)
        entries = stack.volumes.ledger()
        pace = next(number for number, entry in enumerate(entries) if isinstance(entry, ledger.PaceEntry))
        before = {entry.client for entry in entries[:pace] if isinstance(entry, ledger.SubscribeEntry)}
        assert {f"client-{number}.{part}" for number in range(1, 6) for part in (1, 2)} == before


def test_what_the_operator_states_comes_first(folder: Path, engine: None) -> None:
    """``CLIENTS=1`` takes precedence: the run does not wait for other containers."""
    with Stack(folder, RECORDS=200, RATE=100, CLIENTS=1) as stack:
        stack.up(clients=3)
        stack.wait()
        assert [] == expects(stack)


def test_a_killed_or_recreated_server_is_followed_at_once(folder: Path, engine: None) -> None:
    """A container that is restarted or recreated does not count its former instance as another client."""
    with Stack(folder, RECORDS=10_000, RATE=100) as stack:
        stack.up(clients=1)
        stack.receipted(100)
        for strike in ("kill", "restart", "recreate"):
            known = len(stack.volumes.ledger_files())
            if strike == "kill":
                stack.kill("server")
            elif strike == "restart":
                stack.restart("server")
            else:
                stack.compose("up", "--detach", "--no-deps", "--force-recreate", "server")
            gone = time.monotonic()
            poll_until(lambda known=known: len(stack.volumes.ledger_files()) > known, f"{strike}: it is back", 30, 0.02)  # type: ignore[misc]
            back = time.monotonic()
            stack.exec("server", "python", "-c", "import services.server.app")
            # Beside the start of a process, which other tests slow down, less than the 6 s of a watch.
            assert back - gone < 4 + (time.monotonic() - back), strike
            stack.receipted(stack.volumes.head("client-1") + 100)
        assert 1 == len(stack.volumes.runs())


class SharedStack(Stack):
    """The containers on an external network that other projects use as well."""

    def __init__(self, folder: Path, network: str, **settings: object) -> None:
        super().__init__(folder, **settings)
        self.settings["SERVER_URL"] = f"ws://{self.project}-server-1:8765"
        self._override = folder.parent / f"{self.project}.yml"
        self._override.write_text(
            f"networks: {{wire: {{name: {network}, external: true, internal: !reset null}}}}\n", encoding="utf-8"
        )

    def _command(self, *arguments: str) -> list[str]:
        plain = super()._command(*arguments)
        at = plain.index("--project-name")
        return [*plain[:at], "--file", "docker-compose.yml", "--file", str(self._override), *plain[at:]]


def test_containers_of_another_project_are_not_waited_for(folder: Path, tmp_path: Path, engine: None) -> None:
    """Two projects on one network share the DNS name of the clients; each server counts its own project's."""
    network = docker("network", "create", "--internal", f"sgtest-{folder.parent.name[-40:].strip('-_')}")
    name = docker("network", "inspect", "--format", "{{.Name}}", network)
    other = tmp_path / "other" / "volumes"
    other.mkdir(parents=True)
    try:
        with (
            SharedStack(other, name, RECORDS=100_000, RATE=10) as theirs,
            SharedStack(folder, name, RECORDS=200, RATE=100) as ours,
        ):
            theirs.up(clients=3)
            poll_until(lambda: started(theirs), "the other project's run goes", 60)
            ours.up(clients=2)
            code, text = ours.wait()
            assert 0 == code, text
            assert [3] == expects(theirs)
            assert [2] == expects(ours)
    finally:
        docker("network", "rm", network, check=False)
