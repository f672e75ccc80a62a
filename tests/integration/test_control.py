"""An operator controls a run in containers without any set-up; a client cannot."""

from __future__ import annotations

import json
import stat
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from services.contract import ledger, wire
from services.runtime.control import token
from tests.integration.stack import Stack
from tests.poll import poll_until

pytestmark = pytest.mark.containers

CLIENTS, RECORDS = 2, 12_000

TRY_AS_A_CLIENT = """
import json, socket
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

def code(token):
    headers = {"Authorization": "Bearer " + token} if token else None
    with connect("ws://server:8765", proxy=None, additional_headers=headers) as line:
        line.send('{"type":"control","do":"pause"}')
        try:
            while True:
                line.recv(timeout=10)
        except ConnectionClosed as closed:
            return closed.rcvd.code

def reaches(host, port):
    try:
        socket.create_connection((host, port), 3).close()
    except OSError:
        return False
    return True

print(json.dumps({"codes": [code(""), code("guess")], "page": reaches("collector", 8766)}))
"""


@pytest.fixture(scope="module")
def stack(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A run of two minutes with two clients, in progress."""
    folder = tmp_path_factory.mktemp("control") / "volumes"
    folder.mkdir()
    with Stack(folder, RATE=100, RECORDS=RECORDS, CLIENTS=CLIENTS) as made:
        made.up(clients=CLIENTS)
        made.subscribed()
        made.receipted(1)
        yield made


def ask(stack: Stack, wish: dict[str, Any] | None = None, **headers: str) -> tuple[int, dict[str, Any]]:
    """POST a control request as the page does, or GET whether control is available; return status and reply."""
    page = stack.page()
    body = None if wish is None else json.dumps(wish).encode()
    headers = {"Origin": page, "Content-Type": "application/json", **headers}
    request = urllib.request.Request(f"{page}/control", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, json.load(refusal)


def status_after(stack: Stack, wish: dict[str, Any]) -> dict[str, Any]:
    """Return the status of the run after a control request that is granted."""
    code, reply = ask(stack, wish)
    assert 200 == code, reply
    status: dict[str, Any] = reply["status"]
    return status


def test_the_page_controls_the_run(stack: Stack) -> None:
    """Requests for rate, pause, resume and drop from the page reach the run and the ledger; the run passes."""
    found = ask(stack)[1]
    assert (True, None) == (found["available"], found["why"])
    assert 403 == ask(stack, {"do": "pause"}, Origin="http://localhost:3000")[0]
    refused = {"ok": False, "error": "no client is named client-9"}
    assert (409, refused) == ask(stack, {"do": "drop", "client": "client-9"})

    assert 500 == status_after(stack, {"set": {"rate": 500}})["rate"]
    paused = status_after(stack, {"do": "pause"})
    assert ("paused", ["client-1", "client-2"]) == (paused["state"], paused["clients"])
    code, text = control(stack, "status")
    assert 0 == code, text
    assert f" paused: {paused['head']:,} of {RECORDS:,} due; 2 clients: client-1, client-2" in text
    assert "running" == status_after(stack, {"do": "resume"})["state"]
    assert ["client-1"] == status_after(stack, {"do": "drop", "client": "client-2"})["clients"]
    assert 0 == control(stack, "rate", "2000")[0]

    code, text = stack.wait()
    assert 0 == code, text
    entries = stack.volumes.ledger()
    requests = [
        (entry.request, entry.value or entry.client, entry.via)
        for entry in entries
        if isinstance(entry, ledger.ControlEntry)
    ]
    by_page = [("rate", 500, "page"), ("pause", None, "page"), ("resume", None, "page"), ("drop", "client-2", "page")]
    assert [*by_page, ("rate", 2000, "console")] == requests
    assert ["dropped"] == [entry.cause for entry in entries if isinstance(entry, ledger.LeaveEntry)][:1]
    came = [entry.client for entry in entries if isinstance(entry, ledger.SubscribeEntry)]
    assert {"client-1": 1, "client-2": 2} == {name: came.count(name) for name in set(came)}


def control(stack: Stack, *requests: str) -> tuple[int, str]:
    """Use the console of the container that has the token; return its exit code and output."""
    done = stack.exec("collector", "python", "-m", "services.collector", "control", *requests, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_client_controls_nothing(stack: Stack) -> None:
    """A client's container is refused by the server, has no token, and cannot reach the page that has."""
    tried = json.loads(stack.exec("client", "python", "-c", TRY_AS_A_CLIENT).stdout)
    assert {"codes": [wire.CLOSE_UNAUTHORIZED] * 2, "page": False} == tried

    done = stack.exec("client", "python", "-m", "services.client", "console", "pause", check=False)
    assert 104 == done.returncode
    assert "docker compose exec collector python -m services.collector control" in done.stderr
    assert 0 != stack.exec("client", "ls", "/volumes/ledger", check=False).returncode


def test_the_token_comes_and_goes_with_the_server(stack: Stack) -> None:
    """The token file is readable by owner and group only, also after another `up`; a stop removes it."""
    folder = stack.volumes.root
    file = folder / "ledger" / token.NAME
    first = token.read(file)
    stack.up(clients=CLIENTS)
    found = file.stat()
    assert (folder.stat().st_gid, 0o640) == (found.st_gid, stat.S_IMODE(found.st_mode))

    stack.stop("server")
    assert not file.exists()
    assert not ask(stack)[1]["available"]

    stack.start("server")
    poll_until(lambda: ask(stack)[1]["available"], "the page may control the next run", 30)
    assert first != token.read(file)
