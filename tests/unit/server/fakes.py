"""A server without sockets, whose clock stands still until it is told: what the tests of `services.server` share."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from services.contract import ledger, wire
from services.runtime.clock import Clock
from services.runtime.rate_plan import read_plan
from services.runtime.saturation import SaturationMonitor
from services.server.connections.admission import Admission
from services.server.connections.connection_handler import ConnectionHandler
from services.server.connections.subscription import Subscription
from services.server.feed.generator import FeedGenerator
from services.server.runs.run import Run
from services.server.runs.run_store import RunStore
from services.server.settings import ServerSettings
from services.server.stream import Stream

START_US = 1_795_332_600_000_000
"""2026-11-22T07:30:00Z."""


class StoppedClock(Clock):
    """A clock that moves when it is told to."""

    def __init__(self, now_us: int = START_US) -> None:
        self.us = now_us

    def now_ns(self) -> int:
        """Return epoch nanoseconds."""
        return self.us * 1000

    def now_us(self) -> int:
        """Return epoch microseconds."""
        return self.us

    def not_before(self, epoch_us: int) -> int:
        """Go on from a time that has been already."""
        behind_us = max(epoch_us - self.us, 0)
        self.us += behind_us
        return behind_us

    def pass_seconds(self, seconds: float) -> None:
        """Let time pass."""
        self.us += round(seconds * 1_000_000)


class FakeConnection:
    """A peer that takes frames when it is ready, and remembers them."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.frames: list[bytes] = []
        self.blocked = False
        self.buffered = 0
        self.aborted = False
        self.closed: int | None = None
        self.answers, self.heard = True, 0.0
        self.remote_address = (address, 50_000)
        self.peer, self.operator = address, ipaddress.ip_address(address).is_loopback
        self.transport = SimpleNamespace(abort=self._abort)
        self.reading = self.allows = True

    def _abort(self) -> None:
        self.aborted = True

    def allowed(self) -> bool:
        """Tell whether what it sends is within the limits."""
        return self.allows

    def hold_reading(self) -> None:
        """Stop reading."""
        self.reading = False

    def go_on_reading(self) -> None:
        """Read again."""
        self.reading = True

    def hand_over(self, *pieces: bytes) -> None:
        """Take a frame."""
        self.frames.append(b"".join(pieces))

    def say(self, frame: wire.Frame) -> None:
        """Take a frame that is a header alone."""
        self.frames.append(wire.encode(frame))

    async def ping(self) -> Any:
        """Return what the pong will resolve."""

        async def pong() -> None:
            if not self.answers:
                raise TimeoutError

        return pong()

    async def end(self, code: int, reason: str, seconds: float = 1.0) -> None:
        """Note how it was closed."""
        self.closed = code

    def said(self) -> list[wire.FromServer]:
        """Return the frames it was sent, and forget them."""
        frames, self.frames = self.frames, []
        return [wire.decode_from_server(frame)[0] for frame in frames]


class Refusing:
    """Stands for a full disk while ``full``; remembers what was written otherwise."""

    def __init__(self) -> None:
        self.full = False
        self.lines: list[bytes] = []
        self.is_open = True
        self.syncs = self.size = 0
        self.again: list[tuple[int, bytes]] = []
        self.cuts: list[int] = []

    def append(self, data: bytes) -> None:
        """Write, or refuse."""
        if self.full:
            raise OSError(28, "No space left on device")
        self.lines.append(data)
        self.size += len(data)

    def cut_back(self, size: int) -> None:
        """Note to what size it was cut."""
        self.cuts.append(size)

    def write_again(self, data: bytes, at: int) -> None:
        """Note what was written for a second time, and where."""
        self.again.append((at, data))

    def sync(self) -> None:
        """Force to disk, or refuse."""
        if self.full:
            raise OSError(5, "Input/output error")
        self.syncs += 1

    def touch(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Close."""
        self.is_open = False


@lru_cache
def feed() -> FeedGenerator:
    """Return the feed of the default settings: its pools are made once."""
    return FeedGenerator("person", "en_US", 42)


def settings(volumes: Path, **changed: Any) -> ServerSettings:
    """Return the default settings with some of them changed."""
    values = ServerSettings.read({"VOLUMES": str(volumes)})
    if "rate" in changed:
        changed["rate"] = read_plan(str(changed["rate"]))
    return ServerSettings(**{**vars(values), **changed})


def runs(volumes: Path, clock: Clock, instance: str = "a", **changed: Any) -> RunStore:
    """Return the runs of one server process."""
    chosen = settings(volumes, **changed)
    return RunStore(volumes / "ledger", feed(), chosen, clock, SaturationMonitor(), boot="boot", instance=instance)


def new_run(volumes: Path, clock: Clock, **changed: Any) -> Run:
    """Return a run that was just opened."""
    return runs(volumes, clock, **changed).open()


def subscribe(name: str = "client-1", **fields: Any) -> wire.Subscribe:
    """Return a subscription as a client sends it."""
    return wire.Subscribe(**{"client": name, "session": 1, "instance": "one", "block_size": 10, **fields})


def admitted(stream: Stream, name: str = "client-1", *, now: float = 0.0, **fields: Any) -> tuple[Subscription, Any]:
    """Return a session that the ledger knows, and its connection."""
    connection: Any = FakeConnection()
    run, request = stream.run, subscribe(name, **fields)
    if request.observe:
        session = Subscription(connection, run, request, 0, now)
        stream.observers.append(session)
        return session, connection
    fence = run.book.fence + 1
    run.enter(
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
    session = stream.sessions[name] = Subscription(connection, run, request, fence, now)
    return session, connection


def refuse(run: Run) -> Refusing:
    """Put a disk that can refuse under a run's ledger; return it."""
    disk: Any = Refusing()
    run.ledger._file.close()
    run.ledger._file = disk
    return disk  # type: ignore[no-any-return]  # typed as any file for the ledger


def conversation(stream: Stream, connection: FakeConnection) -> ConnectionHandler:
    """Return a conversation over a fake connection."""
    peer: Any = connection
    return ConnectionHandler(peer, stream, Admission(stream))


def lines_of(run: Run) -> list[ledger.Entry]:
    """Return what stands in a run's ledger file, checked and in order."""
    prev, entries = "x00000000", []
    for line in run.ledger.path.read_bytes().splitlines(keepends=True):
        sealed, entry = ledger.codec.decode(line)
        assert prev == sealed.prev
        prev = sealed.crc
        entries.append(entry)
    return entries


def kinds_of(run: Run) -> list[str]:
    """Return the kinds of line in a run's ledger file."""
    return [str(entry.__struct_config__.tag) for entry in lines_of(run)]
