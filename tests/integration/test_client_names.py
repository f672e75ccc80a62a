"""A client's name is that of its service and number, whatever the network, the project or the container is called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.stack import Stack
from tests.poll import poll_until

pytestmark = [pytest.mark.containers, pytest.mark.slow]


class OverriddenStack(Stack):
    """A stack with an override file and further options of Compose."""

    def __init__(self, folder: Path, override: str, *options: str, **settings: object) -> None:
        super().__init__(folder, **settings)
        self._override, self._options = folder.parent / "override.yml", options
        self._override.write_text(override.replace("PROJECT", self.project), encoding="utf-8")

    def _command(self, *arguments: str) -> list[str]:
        plain = super()._command(*arguments)
        at = plain.index("--project-name")
        files = ["--file", "docker-compose.yml", "--file", str(self._override)]
        return [*plain[:at], *self._options, *files, *plain[at:]]


def names(stack: Stack) -> dict[str, str]:
    """Return the name that each client process of the stack has found, and its source, from the containers' logs."""
    found: dict[str, str] = {}
    for line in stack.compose("logs", "--no-color", "--no-log-prefix", "client").stdout.splitlines():
        event = json.loads(line[line.index("{") :]) if '"event": "client"' in line else {}
        found |= {event["client"]: event["from"]} if event else {}
    return found


@pytest.mark.parametrize(
    ("override", "options", "clients", "source"),
    [
        ("networks: {wire: {name: PROJECT_feeds}}", (), 2, "reverse DNS"),
        ("{}", ("--compatibility",), 2, "reverse DNS"),
        ("services: {client: {container_name: PROJECT-probe}}", (), 1, "service"),
    ],
    ids=["network", "compatibility", "container_name"],
)
def test_names_survive(
    override: str, options: tuple[str, ...], clients: int, source: str, folder: Path, engine: None
) -> None:
    """Clients are client-1, client-2 …; containers that are made again continue the logs of those before them."""
    expected = [f"client-{number}" for number in range(1, clients + 1)]
    with OverriddenStack(folder, override, *options, RECORDS=4000, RATE=200) as stack:
        stack.up(clients=clients)
        for name in expected:
            stack.receipted(1, name)
        assert dict.fromkeys(expected, source) == names(stack)
        recreate = ("up", "--detach", "--no-deps", "--no-build", "--force-recreate", "--scale", f"client={clients}")
        stack.compose(*recreate, "client")

        def are_continued() -> bool:
            return all(len(stack.volumes.files(name)) == 2 for name in expected)

        poll_until(are_continued, "every client has a second session", 60)
        assert expected == stack.volumes.clients()


def test_a_long_project_gives_numbers(folder: Path, engine: None) -> None:
    """With a project of 54 characters, too long for DNS, ten clients divide the numbers, and all ten are judged."""
    with Stack(folder, RECORDS=200, RATE=100, GRACE_SECONDS=5) as stack:
        stack.project = f"{stack.project}-{'x' * 53}"[:54]
        stack.up(clients=10)
        code, text = stack.wait()
        assert 0 == code, text
        expected = {f"client-{number}" for number in range(1, 11)}
        assert dict.fromkeys(expected, "free number") == names(stack)
        assert expected == set(stack.volumes.clients())


def test_a_client_that_starts_too_late_fails_the_run(folder: Path, engine: None) -> None:
    """A container that is started during the run and whose client never subscribes is missed: the run does not pass."""
    override = "services: {client: {environment: {SERVER_URL: 'ws://nowhere:8765'}}}"
    with OverriddenStack(folder, override, RECORDS=1000, RATE=100) as stack:
        plain = Stack(folder, RECORDS=1000, RATE=100)
        plain.project = stack.project
        plain.up(clients=1)
        plain.receipted(1)
        stack.compose(
            "up", "--detach", "--no-deps", "--no-build", "--no-recreate", "--scale", "client=2", "client", timeout=60
        )
        code, text = stack.wait()
        assert 0 != code, text
        assert "1 client finished, 2 expected" in " ".join(text.split())
