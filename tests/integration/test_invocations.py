"""``python -m services`` on an external feed takes its verdict from its own run, not from others in the volumes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from services.contract.summary import EXIT_CODES
from services.runtime import invocation
from tests.integration.processes import Process
from tests.poll import poll_until
from tests.readers import Volumes

RATE = 100


class Feed:
    """A server that sends the same numbers to every connection, on a schedule, until it is closed."""

    def __init__(self) -> None:
        self.url = ""
        self._ready, self._loop = threading.Event(), asyncio.new_event_loop()
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self._stop = asyncio.Event()
        self._thread.start()
        assert self._ready.wait(10)

    async def _serve(self) -> None:
        async with serve(self._send, "127.0.0.1", 0) as server:
            self.url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/"
            self._ready.set()
            await self._stop.wait()

    async def _send(self, connection: ServerConnection) -> None:
        number = int((time.monotonic() - self._began) * RATE)
        with contextlib.suppress(ConnectionClosed):
            while True:
                number += 1
                await asyncio.sleep(self._began + number / RATE - time.monotonic())
                await connection.send(json.dumps({"seq": number, "id": number}))

    def close(self) -> None:
        """Stop serving."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture(scope="module")
def feed() -> Iterator[Feed]:
    """Serve a feed while these tests run."""
    served = Feed()
    yield served
    served.close()


def invoke(feed: Feed, folder: Path, **settings: object) -> Process:
    """Start an invocation with two clients on a feed."""
    given = {"CLIENTS": 2, "VOLUMES": folder, "PAGE_PORT": 0, "SERVER_URL": feed.url, "FEED_SEQ": "$.seq", **settings}
    return Process("services", **{"FEED_SECONDS": 4, **given})


def own_run(volumes: Volumes, before: set[str]) -> str:
    """Return the only new run."""
    (own,) = set(volumes.runs()) - before
    return own


def headlines(run: Process) -> list[str]:
    """Return the verdicts that were printed."""
    return [found[1] for line in run.lines if (found := re.search(r"\|   (PASS|FAIL|INVALID) ", line))]


def judged(feed: Feed, folder: Path, **settings: object) -> str:
    """Run an invocation to its end; assert that output and exit code are those of its own run, and return that run."""
    volumes, before = Volumes(folder), set(Volumes(folder).runs())
    with invoke(feed, folder, **settings) as run:
        code = run.wait()
        own = own_run(volumes, before)
        summary = volumes.summary(own)
        assert summary is not None, run.text
        assert summary.verdict is not None
        assert ([summary.verdict], EXIT_CODES[summary.verdict]) == (headlines(run), code), run.text
    assert ["client-1", "client-2"] == volumes.clients(own)
    return own


def test_invocations_that_follow_each_other_have_a_run_each(feed: Feed, tmp_path: Path) -> None:
    """Two invocations with the same settings, one after the other, have a run each."""
    runs = [judged(feed, tmp_path) for _ in range(2)]
    volumes = Volumes(tmp_path)

    assert runs == volumes.runs()
    for run in runs:
        for client in ("client-1", "client-2"):
            assert sum(block.count for block in volumes.external_blocks(client, run)) >= 3 * RATE


def test_an_open_run_of_a_killed_invocation_is_neither_joined_nor_judged(feed: Feed, tmp_path: Path) -> None:
    """A run of a killed invocation stays open for a minute; the next invocation neither joins it nor reports it."""
    volumes = Volumes(tmp_path)
    with invoke(feed, tmp_path, FEED_SEQ="$.id", FEED_SECONDS=60) as killed:
        poll_until(lambda: volumes.runs() and len(volumes.clients()) == 2, "both clients are in the first run", 20)
        killed.signal(signal.SIGKILL)
        killed.wait()
    (old,) = volumes.runs()
    clients = volumes.clients(old)

    own = judged(feed, tmp_path)

    opened = json.loads((tmp_path / "logs" / own / invocation.NOTE).read_bytes())
    assert own != old
    assert clients == volumes.clients(old)
    assert opened["invocation"] != json.loads((tmp_path / "logs" / old / invocation.NOTE).read_bytes())["invocation"]
    assert opened["settings"].startswith("pbkdf2-sha256.")


def test_two_invocations_beside_each_other_have_a_run_each(feed: Feed, tmp_path: Path) -> None:
    """Of two invocations at the same time the longer one reports everything that it received."""
    volumes = Volumes(tmp_path)
    with invoke(feed, tmp_path, FEED_SECONDS=8) as longer:
        poll_until(lambda: volumes.runs() and len(volumes.clients()) == 2, "the first run is on", 20)
        (first,) = volumes.runs()
        judged(feed, tmp_path)
        code = longer.wait()
        summary = volumes.summary(first)
        assert summary is not None
        assert (EXIT_CODES[summary.verdict], [summary.verdict]) == (code, headlines(longer)), longer.text
    for client in ("client-1", "client-2"):
        assert sum(block.count for block in volumes.external_blocks(client, first)) >= 6 * RATE


def test_a_run_that_ends_when_it_is_stopped_is_judged(feed: Feed, tmp_path: Path) -> None:
    """With FEED_SECONDS=0 only Ctrl-C ends the run; its verdict is printed and determines the exit code."""
    volumes = Volumes(tmp_path)
    with invoke(feed, tmp_path, FEED_SECONDS=0, BLOCK_SECONDS=0.2) as run:
        poll_until(
            lambda: volumes.runs() and all(len(volumes.external_blocks(f"client-{number}")) > 5 for number in (1, 2)),
            "both clients have logged",
            30,
        )
        run.signal(signal.SIGINT)
        code = run.wait(20)
    (verdict,) = headlines(run)
    assert EXIT_CODES[verdict] == code, run.text


def test_what_is_no_run_of_this_invocation_is_passed_over(feed: Feed, tmp_path: Path) -> None:
    """Folders and files that only look like runs, and false notes of an invocation, are ignored."""
    logs = tmp_path / "logs"
    for name in ("notes", "20261101T000000Z", "20261102T000000Z", "29990101T000000Z"):
        (logs / name / "client-1").mkdir(parents=True)
    (tmp_path / "ledger" / "20261104T000000Z").mkdir(parents=True)
    os.mkfifo(logs / "20261103T000000Z")
    os.mkfifo(logs / "20261101T000000Z" / invocation.NOTE)
    lie = {"run": "../../x", "url": feed.url, "opened_at": "?", "until": None, "settings": "", "invocation": ["x"]}
    (logs / "20261102T000000Z" / invocation.NOTE).write_text(json.dumps(lie))
    (logs / "29990101T000000Z" / invocation.NOTE).write_text("[" * 50_000)

    judged(feed, tmp_path)


def test_a_client_that_crashes_comes_back_into_its_run(feed: Feed, tmp_path: Path) -> None:
    """A client that crashes is restarted by the supervisor and continues in the run of its invocation."""
    volumes = Volumes(tmp_path)
    with invoke(feed, tmp_path, FEED_SECONDS=6, CLIENTS=1) as run:
        poll_until(
            lambda: volumes.runs() and volumes.clients() and volumes.external_blocks("client-1"), "client-1 logs", 20
        )
        (victim,) = [pid for pid in pids_of("services.client") if parent_of(pid) == run.pid]
        os.kill(victim, signal.SIGKILL)
        run.wait_for_line("restarting", 10)
        run.wait()
    assert 1 == len(volumes.runs())
    assert {1, 2} == {block.session for block in volumes.external_blocks("client-1")}


def pids_of(module: str) -> list[int]:
    """Return the processes that run a module."""
    if not Path("/proc/self/cmdline").exists():
        pytest.skip("no /proc here")
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if module.encode() in (folder / "cmdline").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def parent_of(pid: int) -> int | None:
    """Return the parent of a process, None if it has ended."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return None


def test_clients_in_containers_share_a_run_only_with_equal_settings(feed: Feed, tmp_path: Path) -> None:
    """Clients that were started separately share a run; one with other feed settings has a run of its own."""
    given = {"VOLUMES": tmp_path, "SERVER_URL": feed.url, "FEED_SECONDS": 30}
    volumes = Volumes(tmp_path)
    with (
        Process("services.client", CLIENT_ID="a", FEED_SEQ="$.seq", **given) as a,
        Process("services.client", CLIENT_ID="b", FEED_SEQ="$.seq", **given) as b,
        Process("services.client", CLIENT_ID="c", FEED_SEQ="$.id", **given) as c,
    ):
        for client in (a, b, c):
            client.wait_for_line('"listening"')
    assert [["a", "b"], ["c"]] == sorted(volumes.clients(run) for run in volumes.runs())
