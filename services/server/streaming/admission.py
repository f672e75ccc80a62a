"""Admits clients to a run: grants or refuses subscriptions. One name belongs to one process at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from websockets.exceptions import ConnectionClosed

from services.contract import bounds, ledger, wire
from services.contract.scalars import utc_us
from services.runtime.jsonlogs import LogOnce
from services.server.connections.connection import FeedConnection
from services.server.connections.gate import max_names
from services.server.streaming.stream import Stream
from services.server.streaming.subscription import Subscription

log = logging.getLogger(__name__)

_MAX_FENCE_STEP = 1_000_000
"""A client cannot have been granted a fence further above those that this server knows: another server grants one for
each subscription, and this one reads its ledger."""

_MAX_STEM_LENGTH = 58
"""Characters of a name that a suggested name keeps: with ``~`` and a number it stays within the limit of names."""


_LOOK_SECONDS = 0.05
"""Between two looks at what other servers have entered."""


class AdmissionLimits(NamedTuple):
    """Times and limits of admission.

    Attributes:
        holder_seconds: a holder of a name that answers a ping within this time keeps it. Time in which it was silent
            before the ping counts, …
        min_answer_seconds: … but it has at least this long. Meanwhile the new client and its records wait.
        late_seconds: a client that asks to take part within this time after the end of the run is recorded as late. The
            collector closes a run after a longer time, so a printed verdict never changes; a client that asks later
            belongs to the next run.
        max_names: returns how many names a run may have, given ``CLIENTS``.
        max_waiting: clients that may wait for one name at a time.
        goodbye_seconds: time for the closing handshake with a holder that did not answer.
    """

    holder_seconds: float = 2.0
    min_answer_seconds: float = 1.0
    late_seconds: float = 1.0
    max_names: Callable[[int], int] = max_names
    max_waiting: int = bounds.WAITING_FOR_NAME.value
    goodbye_seconds: float = 0.2


class SubscriptionRefused(Exception):
    """A subscription is refused.

    Attributes:
        frame: the reason, for the client.
        code: with which the connection is to be closed; None if it stays open.
    """

    def __init__(self, frame: wire.Frame, code: int | None) -> None:
        super().__init__(str(frame))
        self.frame, self.code = frame, code


class _NameQueue:
    """The clients that wait for one name: they are judged one after another."""

    def __init__(self) -> None:
        self.lock, self.length = asyncio.Lock(), 0


class Admission:
    """Admits clients to the current run of a stream."""

    def __init__(self, stream: Stream, limits: AdmissionLimits | None = None) -> None:
        self._stream, self._limits = stream, limits or AdmissionLimits()
        self._queues: dict[str, _NameQueue] = {}
        self._late_log = LogOnce()

    async def admit(self, connection: FeedConnection, request: wire.Subscribe) -> Subscription:
        """Grant a subscription and record it in the ledger.

        Raises:
            SubscriptionRefused: with the reason for the client.
        """
        if request.observe:
            self._refuse_beyond_the_end(request)
            return self._observe(connection, request)
        asked_at = asyncio.get_running_loop().time()
        async with self._turn(connection, request.client):
            await self._settle_elsewhere(request)
            self._refuse_impossible(request)
            self._refuse_former_instance(request)
            self._refuse_too_many_names(request.client)
            run, holder = self._stream.run, self._stream.subscriptions.get(request.client)
            if holder is not None and holder.is_open:
                await self._supersede(holder, request, asked_at)
            if self._stream.run is not run:
                # The request names a position in the run that has just ended; the client asks again for the next one.
                raise SubscriptionRefused(wire.Bye(reason="next run", retry_ms=0), wire.CLOSE_LATER)
            return self._subscribe(connection, request)

    @asynccontextmanager
    async def _turn(self, connection: FeedConnection, name: str) -> AsyncIterator[None]:
        """Wait until all earlier clients that ask for the same name are judged."""
        holder = self._stream.subscriptions.get(name)
        must_wait = name in self._queues or (holder is not None and holder.is_open)
        queue = self._queues.setdefault(name, _NameQueue())
        if queue.length >= self._limits.max_waiting:
            raise self._name_taken(name, f"{self._limits.max_waiting} other processes wait for the name {name}")
        queue.length += 1
        if must_wait:
            # This may take seconds. What else the peer sends meanwhile must not pile up in memory.
            connection.pause_reading()
        try:
            async with queue.lock:
                if must_wait and connection.has_hung_up:
                    raise SubscriptionRefused(wire.Bye(reason="closed", retry_ms=0), wire.CLOSE_LATER)
                yield
        finally:
            if must_wait:
                connection.resume_reading()
            queue.length -= 1
            if not queue.length:
                self._queues.pop(name, None)

    def _refuse_too_many_names(self, name: str) -> None:
        run = self._stream.run
        max_names = self._limits.max_names(run.settings.clients)
        if name not in run.recorded.clients and len(run.recorded.clients) >= max_names:
            detail = f"run {run.name} has had {max_names} names and accepts no further one"
            raise SubscriptionRefused(wire.Error(code=wire.TOO_MANY, detail=detail), wire.CLOSE_LATER)

    def _refuse_beyond_the_end(self, request: wire.Subscribe) -> None:
        total = self._stream.run.total
        if request.after > total:
            detail = f"after {request.after} is beyond the run's {total} records"
            raise SubscriptionRefused(wire.Error(code="bad_after", detail=detail), wire.CLOSE_PROTOCOL)

    def _refuse_impossible(self, request: wire.Subscribe) -> None:
        run = self._stream.run
        self._refuse_beyond_the_end(request)
        if run.recorded.end is None:
            return
        client = run.recorded.clients.get(request.client)
        if client is None:
            self._record_late(request)
        if client is None or (client.session and not request.session):
            # A client with a session in this run comes back for the rest; without one it has no block log of it.
            raise SubscriptionRefused(wire.Bye(reason="ended", retry_ms=2000), wire.CLOSE_LATER)

    def _record_late(self, request: wire.Subscribe) -> None:
        run = self._stream.run
        now_us, end, late = run.clock.now_us(), run.recorded.end, run.recorded.late
        is_in_time = end is not None and now_us - utc_us(end.at) <= self._limits.late_seconds * 1_000_000
        if is_in_time and request.client not in late:
            run.append(ledger.LateEntry(at=run.at(), client=request.client, instance=request.instance))
        # A client that asks later changes no verdict, which may have been printed, but the operator has to learn of it.
        if self._late_log.allow(f"{run.name} {request.client}"):
            log.warning("client joined after the end of the run", extra={"client": request.client, "run": run.name})

    def _refuse_former_instance(self, request: wire.Subscribe) -> None:
        # A process that was frozen and lost its name does not know which records its successor has logged; with the
        # name again it would log them twice.
        client = self._stream.run.recorded.clients.get(request.client)
        if client is not None and request.instance in client.former_instances:
            raise self._name_taken(request.client, f"another process has had the name {request.client} since")

    async def _settle_elsewhere(self, request: wire.Subscribe) -> None:
        """Learn what other servers know of the name; wait a little if another process has it there.

        A process that ended, or moved to this server, is soon disconnected there. One that is not keeps the name.
        """
        if self._stream.run.agreement.is_alone:
            # A thousand clients may connect at once, and a look takes as long as an admission.
            return
        until = asyncio.get_running_loop().time() + self._limits.holder_seconds
        while True:
            run = self._stream.run
            run.follow()
            client = run.recorded.clients.get(request.client)
            is_held = client is not None and client.instance != request.instance
            if not (is_held and client is not None and run.agreement.connected().get(request.client) == client.fence):
                return
            if asyncio.get_running_loop().time() >= until:
                raise self._name_taken(request.client, f"another process has the name {request.client} at a server")
            await asyncio.sleep(_LOOK_SECONDS)

    async def _supersede(self, holder: Subscription, request: wire.Subscribe, asked_at: float) -> None:
        """End the holder's subscription, unless it belongs to another process that lives.

        A process that was granted the name while this request waited lives. Otherwise each of several processes would
        ask the one before it, which takes seconds if they are silent.
        """
        # The same process may connect again before this server has noticed that its old connection is lost.
        if not request.instance or request.instance != holder.instance:
            if holder.began_at > asked_at or await self._is_answering(holder):
                raise self._name_taken(request.client, f"another process answers as {request.client}")
            self._stream.refusals.count_conflict("stalled", "silent client superseded", client=request.client)
        holder.leave("superseded")
        holder.connection.send_frame(wire.Bye(reason="superseded", retry_ms=0))
        seconds = self._limits.goodbye_seconds
        await holder.connection.close_within(wire.CLOSE_SUPERSEDED, "superseded", seconds)

    async def _is_answering(self, holder: Subscription) -> bool:
        silent_seconds = asyncio.get_running_loop().time() - holder.connection.last_received
        timeout = max(self._limits.holder_seconds - silent_seconds, self._limits.min_answer_seconds)
        try:
            async with asyncio.timeout(timeout):
                await (await holder.connection.ping())
        except (TimeoutError, ConnectionClosed):
            return False
        # It may have ended by itself while this waited.
        return holder.is_open

    def _name_taken(self, name: str, detail: str) -> SubscriptionRefused:
        suggestion = self._free_name(name)
        self._stream.refusals.count_conflict("later", "name taken", client=name, suggest=suggestion)
        return SubscriptionRefused(wire.Error(code="name_taken", detail=detail, suggest=suggestion), None)

    def _free_name(self, name: str) -> str:
        """Return a name that no client has, made from a name without its earlier suggestion."""
        stem = name.partition("~")[0][:_MAX_STEM_LENGTH]
        number = 2
        elsewhere = self._stream.run.agreement.connected()
        while self._is_held(f"{stem}~{number}") or f"{stem}~{number}" in elsewhere:
            number += 1
        return f"{stem}~{number}"

    def _is_held(self, name: str) -> bool:
        holder = self._stream.subscriptions.get(name)
        return holder is not None and holder.is_open

    def _observe(self, connection: FeedConnection, request: wire.Subscribe) -> Subscription:
        run, now = self._stream.run, asyncio.get_running_loop().time()
        subscription = Subscription(connection, run, request, 0, now)
        self._stream.observers.append(subscription)
        return subscription

    def _next_fence(self, request: wire.Subscribe) -> int:
        """Return a fence above all that this server knows, and above those that the client was granted elsewhere."""
        recorded = self._stream.run.recorded
        # A client may carry any number: one that leaves no room for later fences would end the run for all others.
        carried = min(request.fence or 0, recorded.fence + _MAX_FENCE_STEP)
        return max(recorded.fence, carried) + 1

    def _learn_receipts(self, request: wire.Subscribe) -> None:
        """Rely on what the client carries, if another server has granted it a fence that this one does not see yet.

        Otherwise the ledgers decide: a server whose ledger has lost a receipt must get it again.
        """
        recorded, run = self._stream.run.recorded, self._stream.run
        known = recorded.clients.get(request.client)
        if request.recorded and not run.agreement.is_alone and (request.fence or 0) > (known.fence if known else 0):
            recorded.add_progress(request.client, 0, 0, min(request.recorded, request.after))

    def _subscribe(self, connection: FeedConnection, request: wire.Subscribe) -> Subscription:
        run, now = self._stream.run, asyncio.get_running_loop().time()
        self._learn_receipts(request)
        fence = self._next_fence(request)
        run.append(
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
        subscription = Subscription(connection, run, request, fence, now)
        self._stream.subscriptions[request.client] = subscription
        log.debug("subscribed", extra={"client": request.client, "fence": fence, "first": request.after + 1})
        return subscription
