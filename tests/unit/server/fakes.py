"""Fakes for the tests of `services.server`: a server without sockets, a clock that is set by hand, a full disk."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from services.contract import ledger, wire
from services.runtime.access.tokens import PARTICIPANT
from services.runtime.clock import Clock
from services.runtime.rate_plan import read_plan
from services.runtime.saturation import SaturationMonitor
from services.server.connections.connection import queue
from services.server.feed.generator import FeedGenerator
from services.server.runs.run import Run
from services.server.runs.run_store import RunStore
from services.server.runs.timed_runs import store_class
from services.server.settings import ServerSettings
from services.server.streaming.admission import Admission
from services.server.streaming.connection_handler import ConnectionHandler
from services.server.streaming.stream import Stream
from services.server.streaming.subscription import Subscription

START_US = 1_795_332_600_000_000
"""2026-11-22T07:30:00Z."""


class StoppedClock(Clock):
    """A clock that moves only when a test moves it."""

    def __init__(self, now_us: int = START_US) -> None:
        self.us = now_us

    def now_ns(self) -> int:
        """Return epoch nanoseconds."""
        return self.us * 1000

    def now_us(self) -> int:
        """Return epoch microseconds."""
        return self.us

    def not_before(self, epoch_us: int) -> int:
        """Move forward to a time if it is later; return by how much."""
        behind_us = max(epoch_us - self.us, 0)
        self.us += behind_us
        return behind_us

    def pass_seconds(self, seconds: float) -> None:
        """Move the clock forward."""
        self.us += round(seconds * 1_000_000)


class FakeConnection:
    """A connection that keeps the frames that it was sent."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.frames: list[bytes] = []
        self.is_blocked = False
        self.buffered = 0
        self.was_aborted = False
        self.close_code: int | None = None
        self.answers_pings, self.last_received = True, 0.0
        self.remote_address = (address, 50_000)
        self.peer, self.is_operator = address, ipaddress.ip_address(address).is_loopback
        self.grant = PARTICIPANT
        self.is_reading = self.is_within_limits = True
        self.is_engaged = self.has_hung_up = False
        self.take_at_once: Callable[[bytes], bool] = queue

    def abort(self) -> None:
        """Record that it was cut off."""
        self.was_aborted = True

    def accept_message(self) -> bool:
        """Return whether its messages are within the limits."""
        return self.is_within_limits

    def heard(self) -> None:
        """Do nothing."""

    def engage(self) -> None:
        """Record that it has a subscription, or may control."""
        self.is_engaged = True

    def pause_reading(self) -> None:
        """Stop reading."""
        self.is_reading = False

    def resume_reading(self) -> None:
        """Read again."""
        self.is_reading = True

    def send_pieces(self, *pieces: bytes) -> None:
        """Keep a frame."""
        self.frames.append(b"".join(pieces))

    def send_frame(self, frame: wire.Frame) -> None:
        """Keep a frame that is a header alone."""
        self.frames.append(wire.encode(frame))

    async def ping(self) -> Any:
        """Return an awaitable that ends with the pong, or times out."""

        async def pong() -> None:
            if not self.answers_pings:
                raise TimeoutError

        return pong()

    async def close_within(self, code: int, reason: str, seconds: float = 1.0) -> None:
        """Record the code with which it was closed."""
        self.close_code = code

    def received(self) -> list[wire.FromServer]:
        """Return the frames that it was sent since the last call."""
        frames, self.frames = self.frames, []
        return [wire.decode_from_server(frame)[0] for frame in frames]


class FakeDisk:
    """Replaces the file of a ledger: refuses every write and sync while ``is_full``, keeps the lines otherwise."""

    def __init__(self) -> None:
        self.is_full = False
        self.lines: list[bytes] = []
        self.is_open = True
        self.syncs = self.size = 0
        self.rewritten: list[tuple[int, bytes]] = []
        self.cuts: list[int] = []

    def append(self, data: bytes) -> None:
        """Write, or refuse."""
        if self.is_full:
            raise OSError(28, "No space left on device")
        self.lines.append(data)
        self.size += len(data)

    def cut_back(self, size: int) -> None:
        """Record the size to which the file was cut."""
        self.cuts.append(size)

    def write_again(self, data: bytes, at: int) -> None:
        """Record the bytes that were written again, and their offset."""
        self.rewritten.append((at, data))

    def sync(self) -> None:
        """Force to disk, or refuse."""
        if self.is_full:
            raise OSError(5, "Input/output error")
        self.syncs += 1

    def touch(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Close."""
        self.is_open = False


@lru_cache
def feed() -> FeedGenerator:
    """Return the feed of the default settings; its pools are filled once."""
    return FeedGenerator("person", "en_US", 42)


def settings(volumes: Path, **changed: Any) -> ServerSettings:
    """Return the default settings with some of them changed."""
    values = ServerSettings.read({"VOLUMES": str(volumes)})
    if "rate" in changed:
        changed["rate"] = read_plan(str(changed["rate"]))
    return ServerSettings(**{**vars(values), **changed})


def runs(volumes: Path, clock: Clock, instance: str = "a", **changed: Any) -> RunStore:
    """Return the run store of one server process."""
    chosen = settings(volumes, **changed)
    store = store_class(chosen.start_at)
    return store(volumes / "ledger", feed(), chosen, clock, SaturationMonitor(), boot="boot", instance=instance)


def new_run(volumes: Path, clock: Clock, **changed: Any) -> Run:
    """Return a run that was just opened."""
    return runs(volumes, clock, **changed).open_new()


def subscribe(name: str = "client-1", **fields: Any) -> wire.Subscribe:
    """Return the request for a subscription as a client sends it."""
    return wire.Subscribe(**{"client": name, "session": 1, "instance": "one", "block_size": 10, **fields})


def admitted(stream: Stream, name: str = "client-1", *, now: float = 0.0, **fields: Any) -> tuple[Subscription, Any]:
    """Return a subscription that is in the ledger, and its connection."""
    connection: Any = FakeConnection()
    run, request = stream.run, subscribe(name, **fields)
    if request.observe:
        subscription = Subscription(connection, run, request, 0, now)
        stream.observers.append(subscription)
        return subscription, connection
    fence = run.recorded.fence + 1
    run.append(
        ledger.SubscribeEntry(
            at=run.at(),
            client=name,
            session=request.session,
            instance=request.instance,
            fence=fence,
            first=request.after + 1,
            block_size=10,
        )
    )
    subscription = stream.subscriptions[name] = Subscription(connection, run, request, fence, now)
    return subscription, connection


def replace_disk(run: Run) -> FakeDisk:
    """Replace the file of a run's ledger by a fake disk; return it."""
    disk: Any = FakeDisk()
    run.ledger._file.close()
    run.ledger._file = disk
    return disk  # type: ignore[no-any-return]  # Any, so that the ledger accepts it as a file


def handler_of(stream: Stream, connection: FakeConnection) -> ConnectionHandler:
    """Return the handler of a fake connection."""
    peer: Any = connection
    return ConnectionHandler(peer, stream, Admission(stream))


def lines_of(run: Run) -> list[ledger.Entry]:
    """Return the entries of a run's ledger file, after checking their chain."""
    prev, entries = "x00000000", []
    for line in run.ledger.path.read_bytes().splitlines(keepends=True):
        sealed, entry = ledger.codec.decode(line)
        assert prev == sealed.prev
        prev = sealed.crc
        entries.append(entry)
    return entries


def kinds_of(run: Run) -> list[str]:
    """Return the kinds of the entries in a run's ledger file."""
    return [str(entry.__struct_config__.tag) for entry in lines_of(run)]
