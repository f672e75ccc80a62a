"""Containers verify an external feed: clients and collector alone, by the compose file for it."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from services.contract.summary import Summary
from tests.integration.stack import Stack
from tests.poll import poll_until

pytestmark = pytest.mark.containers

CLIENTS = 3
COMPOSE_FILE = "docker-compose.yml:deploy/foreign.yml"
FEED = {
    "COMPOSE_FILE": COMPOSE_FILE,
    "COMPOSE_PROFILES": "example",
    "SERVER_URL": "ws://feed:9000",
    "FEED_SEQ": "$.seq",
    "FEED_TIME": "$.ts",
    "FEED_HELLO": '{"op":"subscribe"}',
    "FEED_SECONDS": 12,
}
SECRET = "Bearer open-sesame"
GUARDED = f"""
import asyncio, http, itertools, json
from websockets.asyncio.server import basic_auth, serve

def refuse(connection, request):
    if request.headers.get("Authorization") != "{SECRET}":
        return connection.respond(http.HTTPStatus.UNAUTHORIZED, "no")

async def play(connection):
    for seq in itertools.count(1):
        await connection.send(json.dumps({{"seq": seq}}))
        await asyncio.sleep(0.02)

async def main():
    async with serve(play, "0.0.0.0", 9000, process_request=refuse) as server:
        await server.serve_forever()

asyncio.run(main())
"""


@dataclass(frozen=True)
class Judged:
    """A stack whose run of an external feed has ended: the exit code of ``wait`` and its output."""

    stack: Stack
    code: int
    text: str

    @property
    def summary(self) -> Summary:
        """The run's summary."""
        found = self.stack.volumes.verdict()
        assert found is not None
        return found


@pytest.fixture(scope="module")
def judged(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judged]:
    """The example feed and three clients; tests read from it and change nothing."""
    folder = tmp_path_factory.mktemp("foreign") / "volumes"
    folder.mkdir()
    with Stack(folder, **FEED) as stack:
        stack.up(clients=CLIENTS)
        code, text = stack.wait()
        yield Judged(stack, code, text)


def test_the_verdict_is_passed_on(judged: Judged) -> None:
    """``wait`` ends with 0 and prints the verdict on three clients of an external feed."""
    assert 0 == judged.code, judged.text
    assert judged.text.split()[:3] == ["PASS", "3", "clients"]
    assert "external feed" in judged.text
    assert "one-sided" == judged.summary.books


def test_every_client_has_a_name_and_a_log(judged: Judged) -> None:
    """Clients take their names from the network, and all three logged the same run."""
    assert ["client-1", "client-2", "client-3"] == judged.stack.volumes.clients()
    assert [1] * CLIENTS == [sum(1 for _ in judged.stack.volumes.files(f"client-{n}")) for n in range(1, CLIENTS + 1)]


def test_no_server_of_ours_is_started(judged: Judged) -> None:
    """There is neither a container nor a ledger of our own server."""
    found = judged.stack.compose("ps", "--all", "--services").stdout.split()

    assert {"prepare", "feed", "client", "collector"} == set(found)
    assert [] == list((judged.stack.volumes.root / "ledger").glob("2*"))


@pytest.mark.parametrize("service", ["feed", "client", "collector"])
def test_containers_are_hardened(judged: Judged, service: str) -> None:
    """Clients of an external feed, and the example server, have no more privileges than other clients."""
    found = judged.stack.inspect(service)
    host = found["HostConfig"]

    assert (True, ["ALL"], ["no-new-privileges:true"]) == (
        host["ReadonlyRootfs"],
        host["CapDrop"],
        host["SecurityOpt"],
    )
    assert not host["Privileged"]
    assert not host["CapAdd"]
    assert "10001:10001" == found["Config"]["User"]
    assert [] == [mount for mount in found["Mounts"] if mount["RW"] and not mount["Destination"].startswith("/volumes")]


def test_the_page_is_not_on_the_way_out(judged: Judged) -> None:
    """Only the clients are on the network of the feed; the collector shares none with them."""
    networks = {
        service: {
            name.removeprefix(f"{judged.stack.project}_")
            for name in judged.stack.inspect(service)["NetworkSettings"]["Networks"]
        }
        for service in ("client", "collector")
    }

    assert {"client": {"outside"}, "collector": {"page"}} == networks


def test_clients_are_healthy_after_the_run(judged: Judged) -> None:
    """A client stays healthy after its run has ended, although it is no longer connected."""

    def healthy() -> bool:
        return all(
            judged.stack.inspect("client", number)["State"]["Health"]["Status"] == "healthy"
            for number in range(1, CLIENTS + 1)
        )

    poll_until(healthy, "all clients are healthy", 45)
    assert [0] * CLIENTS == [judged.stack.inspect("client", number)["RestartCount"] for number in range(1, CLIENTS + 1)]


def test_control_states_why_not(judged: Judged) -> None:
    """The page and the command report that there is nothing to control; the command ends with 104."""
    with urllib.request.urlopen(f"{judged.stack.page()}/control", timeout=10) as answer:
        reply = json.load(answer)
    typed = judged.stack.exec("collector", "python", "-m", "services.collector", "control", "pause", check=False)

    assert {"available": False, "why": "not available: the feed is an external one", "status": None} == reply
    assert 104 == typed.returncode
    assert (
        "error: control: not available: the feed is an external one; --url names a server that can be controlled\n"
        == typed.stderr
    )


def test_verify_agrees(judged: Judged) -> None:
    """``verify`` checks a run of an external feed offline."""
    done = judged.stack.exec("collector", "python", "-m", "services.collector", "verify", "/volumes")

    assert judged.summary.headline in " ".join(done.stdout.split())


def guarded(folder: Path, volumes: Path, secret: Path) -> Stack:
    """Return a stack whose feed requires a secret header."""
    (folder / "feed.py").write_text(GUARDED)
    mount = {"type": "bind", "source": str(folder / "feed.py"), "target": "/feed.py", "read_only": True}
    (folder / "guarded.yml").write_text(yaml.safe_dump({"services": {"feed": {"volumes": [mount]}}}))
    files = f"{COMPOSE_FILE}:{folder / 'guarded.yml'}"
    return Stack(
        volumes,
        **{**FEED, "COMPOSE_FILE": files, "FEED_AUTHORIZATION_FILE": secret, "FEED_SECONDS": 8, "FEED_HELLO": ""},
    )


def test_an_authorization_is_shown_and_never_logged(tmp_path: Path, folder: Path, engine: None) -> None:
    """The header comes from a file of the host and appears neither in logs, volumes nor `docker inspect`."""
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    secret.chmod(0o644)
    with guarded(tmp_path, folder, secret) as stack:
        stack.up(clients=1)
        code, text = stack.wait()
        assert 0 == code, text
        texts = stack.logs("client") + stack.logs("collector") + json.dumps(stack.inspect("client")) + text

    assert "open-sesame" not in texts
    assert not [path for path in folder.rglob("*") if path.is_file() and b"open-sesame" in path.read_bytes()]


def test_a_secret_that_cannot_be_read_is_stated(tmp_path: Path, folder: Path, engine: None) -> None:
    """A secret file that the client may not read is reported in one line with the remedy."""
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    secret.chmod(0o600)
    os.chown(secret, 12345, 12345)
    with guarded(tmp_path, folder, secret) as stack:
        stack.up(clients=1)

        def error_line() -> str | None:
            lines = stack.compose("logs", "--no-color", "client").stdout.splitlines()
            return next((line for line in lines if "FEED_AUTHORIZATION_FILE" in line), None)

        line = poll_until(error_line, "the client says so", 30)

    assert "Permission denied; uid 10001 must be able to read it" in (line or "")


def test_one_line_judges_a_profile(folder: Path, engine: None) -> None:
    """One line of compose with a profile starts two clients, prints the verdict, and ends with its exit code."""
    given = {
        "COMPOSE_FILE": "deploy/judge.yml", "COMPOSE_PROFILES": "example", "CLIENTS": 2,
        "FEED": "feeds/example.toml", "FEED_VARIABLES": "host=feed:9000", "FEED_SECONDS": 8,
    }  # fmt: skip
    with Stack(folder, **given) as stack:
        stack.compose("up", "--detach", "feed", timeout=300)
        done = stack.compose("run", "--rm", "-T", "verdict", check=False, timeout=300)
        summary = stack.volumes.verdict()

    assert 0 == done.returncode, done.stdout + done.stderr
    # The output of a build may come before it.
    headlines = [line.split()[:3] for line in done.stdout.splitlines() if line.lstrip().startswith("PASS ")]
    assert [["PASS", "2", "clients"]] == headlines
    assert summary is not None
    assert 2 == len(summary.clients)


@pytest.mark.parametrize("source", ["environment", "env file"])
def test_values_pass_compose_as_they_are(tmp_path: Path, folder: Path, engine: None, source: str) -> None:
    """A value with dollars and backslashes reaches the clients as it is, from the environment or quoted in ``.env``."""
    values = {"FEED_SEQ": "$.u", "FEED_KEY": "$$.arg.id", "FEED_MATCH": r'^42\["tick",(.*)\]$', "FEED": "kraken"}
    env_file = tmp_path / "env"
    env_file.write_text("".join(f"{name}='{value}'\n" for name, value in values.items()), encoding="utf-8")
    by_file = source == "env file"
    with Stack(folder, COMPOSE_FILE="deploy/judge.yml", **({} if by_file else values)) as stack:
        options = ["--env-file", str(env_file)] if by_file else []
        shown = json.loads(stack.compose(*options, "config", "--format", "json").stdout)

    # Compose writes a dollar as two, as its own files have it.
    found = {name: shown["services"]["client"]["environment"][name].replace("$$", "$") for name in values}
    assert values == found
