"""Who may subscribe, under which name: one name is one process at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.exceptions import ConnectionClosed

from services.contract import ledger, wire
from services.contract.scalars import utc_us
from services.server.connections.connection import FeedConnection
from services.server.streaming.stream import Stream
from services.server.streaming.subscription import Subscription

log = logging.getLogger(__name__)

HOLDER_SECONDS = 2.0
"""A holder of a name that answers within this time keeps it; time in which it was silent before counts …"""

ASKED_SECONDS = 1.0
"""… but so long it has for an answer in any case. A newcomer waits meanwhile, and its records with it."""

LATE_SECONDS = 1.0
"""Within so long of a run's end a client that asks to take part is entered as late. The collector closes a run later
than that, so that a verdict never changes after it was printed; a client that asks later belongs to the next run."""
MOST_NAMES = 20_000
"""How many names a run may have; four times as many as it waits for, if that is more."""

MOST_RIVALS = 16
"""How many may wait for one name at a time: each takes a second or two."""

GHOST_SECONDS = 0.2
"""For the goodbye to a holder that nobody hears any more."""


class SubscriptionRefused(Exception):
    """The subscription cannot be granted; ``frame`` says why, ``code`` is how to close (None: stay connected)."""

    def __init__(self, frame: wire.Frame, code: int | None) -> None:
        super().__init__(str(frame))
        self.frame, self.code = frame, code


class _Settling:
    """How many wait for one name, and whose turn it is."""

    def __init__(self) -> None:
        self.lock, self.rivals = asyncio.Lock(), 0


class Admission:
    """Admits clients to the current run of a stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._settling: dict[str, _Settling] = {}

    async def admit(self, connection: FeedConnection, request: wire.Subscribe) -> Subscription:
        """Grant a subscription and enter it into the ledger.

        Raises:
            Refused: with what to tell the client.
        """
        if request.observe:
            self._refuse_beyond_the_end(request)
            return self._observe(connection, request)
        # Two newcomers with one name are judged one after the other.
        async with self._turn(connection, request.client):
            self._refuse_impossible(request)
            self._refuse_former(request)
            self._refuse_one_too_many(request.client)
            run, holder = self._stream.run, self._stream.sessions.get(request.client)
            if holder is not None and holder.open:
                await self._settle(holder, request)
            if self._stream.run is not run:
                # What the client holds is of the run before; it comes back with what it holds of this one.
                raise SubscriptionRefused(wire.Bye(reason="next run", retry_ms=0), wire.CLOSE_LATER)
            return self._subscribe(connection, request)

    @asynccontextmanager
    async def _turn(self, connection: FeedConnection, name: str) -> AsyncIterator[None]:
        holder = self._stream.sessions.get(name)
        waits = name in self._settling or (holder is not None and holder.open)
        settling = self._settling.setdefault(name, _Settling())
        if settling.rivals >= MOST_RIVALS:
            raise self._name_taken(name, f"{MOST_RIVALS} others wait to be {name}")
        settling.rivals += 1
        if waits:
            # For seconds at times: what else the peer sends meanwhile is not taken into memory.
            connection.hold_reading()
        try:
            async with settling.lock:
                yield
        finally:
            if waits:
                connection.go_on_reading()
            settling.rivals -= 1
            if not settling.rivals:
                self._settling.pop(name, None)

    def _refuse_one_too_many(self, name: str) -> None:
        run = self._stream.run
        most = max(MOST_NAMES, 4 * run.settings.clients)
        if name not in run.book.clients and len(run.book.clients) >= most:
            detail = f"run {run.name} has had {most} names, and takes no other"
            raise SubscriptionRefused(wire.Error(code=wire.TOO_MANY, detail=detail), wire.CLOSE_LATER)

    def _refuse_beyond_the_end(self, request: wire.Subscribe) -> None:
        total = self._stream.run.book.total
        if request.after > total:
            detail = f"after {request.after} is beyond the run's {total} records"
            raise SubscriptionRefused(wire.Error(code="bad_after", detail=detail), wire.CLOSE_PROTOCOL)

    def _refuse_impossible(self, request: wire.Subscribe) -> None:
        run = self._stream.run
        self._refuse_beyond_the_end(request)
        if run.state != "ended":
            return
        known = run.book.clients.get(request.client)
        if known is None:
            self._enter_late(request)
        if known is None or (known.session and not request.session):
            # With a session of its own a client comes back for the rest; without one it has no log of this run.
            raise SubscriptionRefused(wire.Bye(reason="ended", retry_ms=2000), wire.CLOSE_LATER)

    def _enter_late(self, request: wire.Subscribe) -> None:
        run = self._stream.run
        now_us, book = run.clock.now_us(), run.book
        is_in_time = book.end is not None and now_us - utc_us(book.end.at) <= LATE_SECONDS * 1_000_000
        if is_in_time and request.client not in book.late:
            run.enter(ledger.LateEntry(at=run.at(), client=request.client, instance=request.instance))
            log.warning("client came after the run", extra={"client": request.client, "run": run.name})

    def _refuse_former(self, request: wire.Subscribe) -> None:
        # What the other process has logged since, this one does not know of: it would log it twice.
        client = self._stream.run.book.clients.get(request.client)
        if client is not None and request.instance in client.former:
            raise self._name_taken(request.client, f"another process has been {request.client} since")

    async def _settle(self, holder: Subscription, request: wire.Subscribe) -> None:
        if not request.instance or request.instance != holder.instance:
            if await self._answers(holder):
                raise self._name_taken(request.client, f"another process answers as {request.client}")
            self._stream.refusals.conflict("stalled", "silent client superseded", client=request.client)
        holder.cause = "superseded"
        holder.leave()
        holder.connection.say(wire.Bye(reason="superseded", retry_ms=0))
        await holder.connection.end(wire.CLOSE_SUPERSEDED, "superseded", GHOST_SECONDS)

    @staticmethod
    async def _answers(holder: Subscription) -> bool:
        silent = asyncio.get_running_loop().time() - holder.connection.heard
        try:
            async with asyncio.timeout(max(HOLDER_SECONDS - silent, ASKED_SECONDS)):
                await (await holder.connection.ping())
        except (TimeoutError, ConnectionClosed):
            return False
        return holder.open

    def _name_taken(self, name: str, detail: str) -> SubscriptionRefused:
        suggest = self._free_name(name)
        self._stream.refusals.conflict("later", "name taken", client=name, suggest=suggest)
        return SubscriptionRefused(wire.Error(code="name_taken", detail=detail, suggest=suggest), None)

    def _free_name(self, name: str) -> str:
        stem = name.partition("~")[0][:58]
        number = 2
        while (other := self._stream.sessions.get(f"{stem}~{number}")) is not None and other.open:
            number += 1
        return f"{stem}~{number}"

    def _observe(self, connection: FeedConnection, request: wire.Subscribe) -> Subscription:
        run, now = self._stream.run, asyncio.get_running_loop().time()
        session = Subscription(connection, run, request, 0, now)
        self._stream.observers.append(session)
        return session

    def _subscribe(self, connection: FeedConnection, request: wire.Subscribe) -> Subscription:
        run, now = self._stream.run, asyncio.get_running_loop().time()
        fence = run.book.fence + 1
        run.enter(
            ledger.SubscribeEntry(
                at=run.at(),
                client=request.client,
                session=request.session,
                instance=request.instance,
                fence=fence,
                first=request.after + 1,
                block_size=request.block_size,
            )
        )
        session = Subscription(connection, run, request, fence, now)
        self._stream.sessions[request.client] = session
        log.debug("subscribed", extra={"client": request.client, "fence": fence, "first": request.after + 1})
        return session
