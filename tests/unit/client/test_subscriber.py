"""Tests of one client's protocol, against a scripted server on a free port."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request
from websockets.typing import Subprotocol

from services.client.subscriber import Subscriber, SubscriberLimits
from services.client.write_budget import WriteBudget
from services.contract import blocklog, wire
from services.contract.scalars import utc_us
from services.runtime.clock import Clock
from services.runtime.jsonlogs import RateLimitedLog
from tests.poll import poll_until
from tests.unit.client.fakes import (
    RUN,
    START_US,
    Disk,
    batch,
    blocks,
    body,
    client_config,
    entries,
    framed,
    until,
)

Kind = TypeVar("Kind", bound=wire.Frame)
NEXT_RUN = "20261122T083000Z"
QUICK = SubscriberLimits(ping_seconds=0.05, backoff_seconds=0.02)


class Peer:
    """The scripted server's end of one connection."""

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection
        self.answers_pings = True

    async def send(self, *frames: wire.Frame) -> None:
        """Send frames."""
        for frame in frames:
            await self.connection.send(wire.encode(frame), text=True)

    async def send_records(self, first: int, count: int) -> None:
        """Send a good batch."""
        await self.connection.send(framed(first, count), text=True)

    async def expect(self, kind: type[Kind]) -> Kind:
        """Return the next frame of a kind; answer pings before it, and skip other frames."""
        while True:
            frame = wire.decode_from_client(bytes(await self.connection.recv(decode=False)))
            if isinstance(frame, wire.Ping) and self.answers_pings:
                await self.send(wire.Pong(t1_us=frame.t1_us, t2_us=START_US, t3_us=START_US))
            if isinstance(frame, kind):
                return frame

    async def welcome(self, run: str = RUN, state: wire.State = "running", total: int = 1000) -> None:
        """Announce a run."""
        welcome = wire.Welcome(
            run=run, feed="feed", state=state, total=total, rate=100, start_us=None, boot="boot", now_us=START_US
        )
        await self.send(welcome)

    async def grant(self, fence: int = 1, receipted: int = 0, run: str = RUN, total: int = 1000) -> wire.Subscribe:
        """Welcome a client and grant its subscription; return that."""
        await self.welcome(run, total=total)
        asked = await self.expect(wire.Subscribe)
        await self.send(wire.Subscribed(client=asked.client, first=asked.after + 1, receipted=receipted, fence=fence))
        return asked

    async def suggest_without_end(self, asked: list[str]) -> None:
        """Refuse name after name, suggest another each time, and append the refused names."""
        while True:
            asked.append((await self.expect(wire.Subscribe)).client)
            await self.send(wire.Error(code="name_taken", detail="taken", suggest=f"other-{len(asked) - 1}"))

    async def open_without_end(self) -> None:
        """Announce run after run."""
        for second in range(100_000):
            await self.welcome(f"20261122T{second:06}Z")

    async def receipts(self, count: int) -> list[wire.Receipt]:
        """Return the next receipts, each of them recorded."""
        found = []
        for _ in range(count):
            found.append(await self.expect(wire.Receipt))
            await self.send(wire.Recorded(session=found[-1].session, block=found[-1].block, match=True))
        return found


def folders(root: Path) -> list[str]:
    """Return the names of all folders below one."""
    return [path.name for path in root.rglob("*") if path.is_dir()]


class Stage:
    """A client and its server."""

    def __init__(self, client: Subscriber, peers: asyncio.Queue[Peer], logs: Path) -> None:
        self.client, self._peers, self.logs = client, peers, logs
        self.running = asyncio.create_task(client.run())

    async def peer(self) -> Peer:
        """Return the next connection."""
        return await self._peers.get()

    def folder(self, name: str = "client-1", run: str = RUN) -> Path:
        """Return a client's folder."""
        return self.logs / run / name

    def numbers(self, run: str = RUN) -> list[int]:
        """Return the seqs that are on disk, in order, over all sessions."""
        return [it.seq for block in blocks(self.folder(run=run)) for it in block.messages]


@asynccontextmanager
async def stage(logs: Path, limits: SubscriberLimits = QUICK, **changed: Any) -> AsyncIterator[Stage]:
    """Run a client against the scripted server."""
    peers: asyncio.Queue[Peer] = asyncio.Queue()

    async def hold(connection: ServerConnection) -> None:
        await peers.put(Peer(connection))
        await connection.wait_closed()

    names = [Subprotocol(wire.SUBPROTOCOL)]
    async with serve(hold, "127.0.0.1", 0, compression=None, subprotocols=names, close_timeout=0.2) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        config = client_config(logs, **{"retry_seconds": 0.001, **changed})
        client = Subscriber("client-1", url, config, Clock(), RateLimitedLog(), limits)
        made = Stage(client, peers, logs)
        try:
            async with asyncio.timeout(20):
                yield made
        finally:
            made.running.cancel()
            await client.close()
            await asyncio.gather(made.running, return_exceptions=True)


async def test_clients_of_a_process_connect_in_turns(tmp_path: Path) -> None:
    """Of many clients only as many as allowed wait for the answer to their handshake, and all of them connect."""
    waiting: set[ServerConnection] = set()
    most, turns = 0, asyncio.Semaphore(3)

    async def answer_late(connection: ServerConnection, _: Request) -> None:
        nonlocal most
        waiting.add(connection)
        most = max(most, len(waiting))
        await asyncio.sleep(0.01)
        waiting.discard(connection)

    subprotocols = [Subprotocol(wire.SUBPROTOCOL)]
    async with (
        asyncio.timeout(20),
        serve(
            lambda connection: connection.wait_closed(),
            *("127.0.0.1", 0),
            process_request=answer_late,
            subprotocols=subprotocols,
            close_timeout=0.2,
        ) as server,
    ):
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        clients = [
            Subscriber(f"client-{number}", url, client_config(tmp_path), Clock(), RateLimitedLog(), QUICK, turns=turns)
            for number in range(12)
        ]
        running = [asyncio.create_task(client.run()) for client in clients]
        await asyncio.to_thread(
            poll_until, lambda: all(client.is_connected for client in clients), "all are connected", 10, 0.01
        )
        for task, client in zip(running, clients, strict=True):
            task.cancel()
            await client.close()
        await asyncio.gather(*running, return_exceptions=True)

    assert 3 == most


async def test_subscribes_receives_and_receipts(tmp_path: Path) -> None:
    """A client subscribes after a few pings, logs and receipts the records, and seals its log at the end."""
    async with stage(tmp_path) as it:
        peer = await it.peer()
        asked = await peer.grant(total=25)
        assert (
            wire.Subscribe(client="client-1", session=1, instance="one", block_size=10, boot="boot", run=RUN) == asked
        )
        await peer.send_records(1, 25)
        await peer.send(wire.End(last=25, count=25))
        receipts = await peer.receipts(3)
        # A client is settled while the last line is being written; the first reason to seal is the one logged.
        await until(lambda: it.client.is_settled)
        await it.client.stop()

    assert [(1, 10), (11, 20), (21, 25)] == [(receipt.first, receipt.last) for receipt in receipts]
    assert list(range(1, 26)) == it.numbers()
    last = entries(it.folder(), sealed=True)[-1]
    assert isinstance(last, blocklog.EndLine)
    assert "finished" == last.reason


async def test_resumes_where_it_was(tmp_path: Path) -> None:
    """After a lost connection the session continues: the client asks for all records after those it holds."""
    async with stage(tmp_path) as it:
        peer = await it.peer()
        await peer.grant()
        await peer.send_records(1, 13)
        (first,) = await peer.receipts(1)
        peer.connection.transport.abort()
        peer = await it.peer()
        asked = await peer.grant(fence=2, receipted=10)
        assert (13, 1) == (asked.after, asked.session)
        await peer.send_records(14, 7)
        (second,) = await peer.receipts(1)

    assert [1, 2] == [first.block, second.block]
    assert list(range(1, 21)) == it.numbers()


async def test_receipts_that_were_lost_are_sent_again(tmp_path: Path) -> None:
    """Receipts that the ledger lacks are sent again on the next connection, oldest first."""
    async with stage(tmp_path) as it:
        peer = await it.peer()
        await peer.grant()
        await peer.send_records(1, 30)
        for _ in range(3):
            await peer.expect(wire.Receipt)
        peer.connection.transport.abort()
        peer = await it.peer()
        await peer.grant(fence=2, receipted=10)

        assert [2, 3] == [receipt.block for receipt in await peer.receipts(2)]


async def test_another_process_resumes_from_the_log(tmp_path: Path) -> None:
    """A restarted client holds all that its earlier session made durable, and begins another session."""
    async with stage(tmp_path) as it:
        peer = await it.peer()
        await peer.grant()
        await peer.send_records(1, 25)
        await peer.receipts(2)
    async with stage(tmp_path) as it:
        asked = await (await it.peer()).grant(fence=2, receipted=20)

    assert (20, 2) == (asked.after, asked.session)


async def test_asks_again_when_the_server_has_later_receipts(tmp_path: Path) -> None:
    """A client that treated receipted blocks as torn disconnects, and subscribes again after those blocks."""
    async with stage(tmp_path) as it:
        peer = await it.peer()
        await peer.grant()
        await peer.send_records(1, 30)
        await peer.receipts(3)
    path = it.folder() / "0001-0001.jsonl"
    opening, first, second, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(opening + first + bytes(len(second) - 1) + b"\n" + third)
    async with stage(tmp_path) as it:
        asked = [(await (await it.peer()).grant(fence, receipted=30)).after for fence in (2, 3)]

    assert [10, 30] == asked


async def test_superseded_it_stops(tmp_path: Path) -> None:
    """A superseded client seals its log without the open block, which its successor logs, and does not reconnect."""
    async with stage(tmp_path) as it:
        peer = await it.peer()
        await peer.grant()
        await peer.send_records(1, 15)
        await peer.receipts(1)
        await peer.send(wire.Bye(reason="superseded", retry_ms=0))
        await peer.connection.close(wire.CLOSE_SUPERSEDED, "superseded")
        await it.running

    assert list(range(1, 11)) == it.numbers()
    last = entries(it.folder(), sealed=True)[-1]
    assert isinstance(last, blocklog.EndLine)
    assert "superseded" == last.reason


async def test_a_close_code_alone_supersedes(tmp_path: Path) -> None:
    """The close code alone supersedes a client when the `bye` was lost."""
    async with stage(tmp_path) as it:
        peer = await it.peer()
        await peer.grant()
        await peer.connection.close(wire.CLOSE_SUPERSEDED, "superseded")
        await it.running


async def test_a_taken_name_is_changed(tmp_path: Path) -> None:
    """A client whose name is taken takes the suggested one, with another folder, and removes the first folder."""
    async with stage(tmp_path) as it:
        peer = await it.peer()
        await peer.welcome()
        await peer.expect(wire.Subscribe)
        await peer.send(wire.Error(code="name_taken", detail="taken", suggest="client-1~2"))
        asked = await peer.expect(wire.Subscribe)

        assert ("client-1~2", 0, 1) == (asked.client, asked.after, asked.session)
        assert not it.folder().exists()
        assert ["0001-0001.jsonl"] == [path.name for path in it.folder("client-1~2").iterdir()]


async def test_a_name_taken_meanwhile_keeps_what_was_written(tmp_path: Path) -> None:
    """A name that was taken while the client was disconnected is left with a sealed log of all it received."""
    async with stage(tmp_path) as it:
        peer = await it.peer()
        await peer.grant()
        await peer.send_records(1, 15)
        await peer.receipts(1)
        peer.connection.transport.abort()
        peer = await it.peer()
        await peer.welcome()
        await peer.expect(wire.Subscribe)
        await peer.send(wire.Error(code="name_taken", detail="taken", suggest="client-1~2"))
        asked = await peer.expect(wire.Subscribe)
        await until(lambda: isinstance(entries(it.folder())[-1], blocklog.EndLine))

    assert ("client-1~2", 0) == (asked.client, asked.after)
    assert list(range(1, 16)) == it.numbers()
    assert isinstance(entries(it.folder(), sealed=True)[-1], blocklog.EndLine)


async def test_the_next_run_is_another_log(tmp_path: Path) -> None:
    """A welcome of the next run on the same connection seals the log and begins one in the next run's folder."""
    async with stage(tmp_path) as it:
        peer = await it.peer()
        await peer.grant(total=10)
        await peer.send_records(1, 10)
        await peer.receipts(1)
        await peer.send(wire.End(last=10, count=10))
        asked = await peer.grant(run=NEXT_RUN, total=20)
        assert (0, 1) == (asked.after, asked.session)
        await peer.send_records(1, 20)
        await peer.receipts(2)

    assert (list(range(1, 11)), list(range(1, 21))) == (it.numbers(), it.numbers(NEXT_RUN))


async def test_an_ended_run_is_not_joined(tmp_path: Path) -> None:
    """A client that connects after the end of a run waits for the next one without making a folder."""
    async with stage(tmp_path) as it:
        peer = await it.peer()
        await peer.welcome(state="ended")
        await peer.expect(wire.Ping)
        assert not it.folder().exists()
        asked = await peer.grant(run=NEXT_RUN)

    assert (0, 1) == (asked.after, asked.session)


async def test_a_client_asks_once_for_a_run_that_is_over(tmp_path: Path) -> None:
    """A late client asks once, so that the ledger records it, reconnects at once, and waits for the next run."""
    async with stage(tmp_path) as it:
        peer = await it.peer()
        await peer.welcome(state="ended")
        asked = await peer.expect(wire.Subscribe)
        assert ("client-1", 0, 0, RUN) == (asked.client, asked.session, asked.after, asked.run)
        await peer.send(wire.Bye(reason="ended", retry_ms=60_000))
        await peer.connection.close(wire.CLOSE_LATER)
        peer = await it.peer()
        await peer.welcome(state="ended")
        asked = await peer.grant(run=NEXT_RUN)

        assert ("client-1", 1, NEXT_RUN) == (asked.client, asked.session, asked.run)
        assert not it.folder().exists()


async def test_the_log_states_the_first_attempt_of_its_process(tmp_path: Path) -> None:
    """The time is that of the process's first attempt in every run, even if that attempt failed."""
    began_us = Clock().now_us()
    async with stage(tmp_path) as it:
        await (await it.peer()).connection.close()
        tried_us = Clock().now_us()
        peer = await it.peer()
        await peer.grant(total=10)
        await peer.send_records(1, 10)
        await peer.receipts(1)
        await peer.send(wire.End(last=10, count=10))
        await peer.grant(run=NEXT_RUN, total=20)
        await peer.send_records(1, 10)
        await peer.receipts(1)
        found = [entries(it.folder(run=run))[0] for run in (RUN, NEXT_RUN)]

    attempts = {utc_us(one.attempted_at or "") for one in found if isinstance(one, blocklog.OpenLine)}
    assert 1 == len(attempts)
    assert began_us <= attempts.pop() <= tried_us


@pytest.mark.parametrize(
    "garbage", [b"hello", b"\xff\xfe", b"{}", b'{"type":"records"}', b'{"type":"subscribe","client":"x"}']
)
async def test_malformed_frames_are_skipped(tmp_path: Path, garbage: bytes) -> None:
    """An unreadable frame is skipped: its records are a gap, and later records are received."""
    async with stage(tmp_path) as it:
        peer = await it.peer()
        await peer.grant()
        await peer.send_records(1, 5)
        await peer.connection.send(garbage, text=False)
        await peer.send_records(11, 5)
        (receipt,) = await peer.receipts(1)

    assert ([(6, 10)], 10) == (receipt.missing, receipt.count)


async def test_a_corrupt_batch_is_stated_in_the_log(tmp_path: Path) -> None:
    """A batch whose bytes do not match its header is logged as corrupt, not as received."""
    async with stage(tmp_path) as it:
        peer = await it.peer()
        await peer.grant()
        header, _ = batch(1, 5)
        await peer.connection.send(wire.records_head(header) + body(range(2, 7)), text=True)
        await peer.send_records(6, 10)
        await peer.receipts(1)

    assert [(1, 5)] == blocks(it.folder())[0].corrupt


async def test_reading_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the disk refuses, a bounded number of records is read; later all are logged, in order."""
    async with stage(tmp_path, budget=WriteBudget(7000)) as it:
        peer = await it.peer()
        await peer.grant()
        await until(lambda: it.folder().is_dir() and len(entries(it.folder())) == 1)
        disk = Disk().install(monkeypatch)
        disk.full = True
        for first in range(1, 201, 10):
            await peer.send_records(first, 10)
        await until(lambda: disk.calls > 10)
        assert 30 == it.client.after
        disk.full = False
        await peer.receipts(20)

    assert list(range(1, 201)) == it.numbers()


async def test_a_damaged_header_is_stated_in_the_log(tmp_path: Path) -> None:
    """Records whose header was damaged are logged as corrupt, at the end of the run too."""
    async with stage(tmp_path) as it:
        peer = await it.peer()
        await peer.grant(total=40)
        damaged = framed(1, 5).replace(b'"rate":100', b'"rate":300')
        await peer.connection.send(damaged, text=True)
        await peer.send_records(6, 10)
        await peer.receipts(1)
        await peer.connection.send(damaged, text=True)
        await peer.send(wire.End(last=40, count=40))
        await until(lambda: isinstance(entries(it.folder())[-1], blocklog.EndLine))

    end = entries(it.folder())[-1]
    assert isinstance(end, blocklog.EndLine)
    assert ([(1, 5)], [(16, 40)]) == (blocks(it.folder())[0].corrupt, end.corrupt)


async def test_another_protocol_is_tried_again(tmp_path: Path) -> None:
    """A client disconnects from a server of another protocol, and tries again later."""
    async with stage(tmp_path) as it:
        await (await it.peer()).connection.send("220 mail.example ESMTP")
        peer = await it.peer()

        assert "client-1" == (await peer.grant()).client


async def test_silence_is_a_lost_connection(tmp_path: Path) -> None:
    """A client reconnects to a server that has sent nothing for too long."""
    async with stage(tmp_path, replace(QUICK, silence_seconds=0.1)) as it:
        peer = await it.peer()
        await peer.grant()
        again = await it.peer()
        await again.grant(fence=2)
        with pytest.raises(ConnectionClosed):
            await peer.expect(wire.Bye)


async def test_a_server_that_ignores_pings_is_reconnected_to(tmp_path: Path) -> None:
    """A client reconnects to a server that sends frames and ignores pings: it does not read what the client sends."""
    async with stage(tmp_path) as it:
        peer = await it.peer()
        await peer.grant()
        peer.answers_pings = False
        await peer.expect(wire.Ping)
        await peer.expect(wire.Ping)
        await peer.send(wire.Idle(next=1, now_us=START_US + 3_000_000))
        await peer.expect(wire.Ping)
        await peer.send(wire.Idle(next=1, now_us=START_US + 8_000_000))

        assert 0 == (await (await it.peer()).grant(fence=2)).after


async def test_a_server_that_answers_no_pings_is_subscribed_to(tmp_path: Path) -> None:
    """A client that gets no answers to its pings subscribes nevertheless, after a while."""
    async with stage(tmp_path) as it:
        peer = await it.peer()
        peer.answers_pings = False
        await peer.welcome()

        assert "client-1" == (await peer.expect(wire.Subscribe)).client


async def test_a_ping_is_answered(tmp_path: Path) -> None:
    """A ping of the server is answered with its own time and two of this client."""
    async with stage(tmp_path) as it:
        peer = await it.peer()
        await peer.send(wire.Ping(t1_us=7))

        pong = await peer.expect(wire.Pong)
        assert 7 == pong.t1_us
        assert pong.t2_us <= pong.t3_us


async def test_a_stop_seals_and_sends_bye(tmp_path: Path) -> None:
    """A stopped client logs and receipts all it holds, sends `bye` with the last durable seq, and disconnects."""
    async with stage(tmp_path) as it:
        peer = await it.peer()
        await peer.grant()
        await peer.send_records(1, 15)
        await peer.receipts(1)
        stopping = asyncio.create_task(it.client.stop())
        assert 15 == (await peer.expect(wire.Receipt)).last
        assert wire.Bye(last=15) == await peer.expect(wire.Bye)
        with pytest.raises(ConnectionClosed):
            await peer.expect(wire.Bye)
        await stopping
        await it.running

    last = entries(it.folder(), sealed=True)[-1]
    assert isinstance(last, blocklog.EndLine)
    assert "shutdown" == last.reason


async def test_a_stop_waits_for_the_grant(tmp_path: Path) -> None:
    """A client that is stopped after it asked for a subscription begins and seals its log when that is granted."""
    async with stage(tmp_path) as it:
        peer = await it.peer()
        await peer.welcome()
        asked = await peer.expect(wire.Subscribe)
        stopping = asyncio.create_task(it.client.stop())
        await asyncio.sleep(0)
        await peer.send(wire.Subscribed(client=asked.client, first=1, receipted=0, fence=1))
        await peer.send_records(1, 15)
        assert wire.Bye(last=0) == await peer.expect(wire.Bye)
        await stopping

    assert ["OpenLine", "EndLine"] == [type(line).__name__ for line in entries(it.folder(), sealed=True)]


async def test_a_stopped_client_does_not_ask_again(tmp_path: Path) -> None:
    """A client whose name turns out to be taken while it stops does not ask for the suggested one."""
    async with stage(tmp_path) as it:
        peer = await it.peer()
        await peer.welcome()
        await peer.expect(wire.Subscribe)
        stopping = asyncio.create_task(it.client.stop())
        await asyncio.sleep(0)
        await peer.send(wire.Error(code="name_taken", detail="taken", suggest="client-1~2"))
        with pytest.raises(ConnectionClosed):
            await peer.expect(wire.Subscribe)
        await stopping


async def test_blocks_close_for_their_age(tmp_path: Path) -> None:
    """A block that is not full is closed after its time, although no record arrives."""
    async with stage(tmp_path, block_seconds=0.05) as it:
        peer = await it.peer()
        await peer.grant()
        await peer.send_records(1, 3)

        assert [(1, 3)] == [(receipt.first, receipt.last) for receipt in await peer.receipts(1)]
        assert ["time"] == [block.closed_by for block in blocks(it.folder())]


async def test_a_server_that_suggests_name_after_name_is_left(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After a few suggestions the client disconnects, leaves no folder, and returns later under its first name."""
    limits = replace(QUICK, renames_at_once=3, renames_per_second=5.0)
    async with stage(tmp_path, limits) as it:
        peer = await it.peer()
        await peer.welcome()
        began, asked = time.monotonic(), list[str]()
        with pytest.raises(ConnectionClosed):
            await peer.suggest_without_end(asked)
        left = folders(tmp_path)
        peer = await it.peer()
        waited = time.monotonic() - began
        await peer.grant()

    assert ["client-1", "other-0", "other-1", "other-2"] == asked
    assert [] == left
    assert waited >= 0.1
    assert 1 == caplog.messages.count("too many names are taken")
    assert [RUN, "client-1"] == folders(tmp_path)


async def test_a_server_that_opens_run_after_run_is_left(tmp_path: Path) -> None:
    """Runs that begin faster than any could be received end the connection, and leave at most one folder."""
    async with stage(tmp_path, replace(QUICK, runs_at_once=3)) as it:
        peer = await it.peer()
        with pytest.raises(ConnectionClosed):
            await peer.open_without_end()

        assert len(folders(tmp_path)) <= 2
