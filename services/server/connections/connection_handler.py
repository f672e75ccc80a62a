"""One connection's conversation: from ``welcome`` to ``bye``."""

from __future__ import annotations

import functools

from websockets.exceptions import ConnectionClosed

from services.contract import ledger, wire
from services.contract.blocklog import MAX_BLOCK
from services.contract.errors import PeerError
from services.contract.rangeset import RangeSet
from services.runtime.rate_limit import TokenBucket
from services.server.connections import control as operator_control
from services.server.connections.admission import Admission, SubscriptionRefused
from services.server.connections.connection import FeedConnection, nothing
from services.server.connections.refusals import RefusalCause
from services.server.connections.subscription import Subscription
from services.server.stream import Stream

SUBSCRIPTIONS_AT_ONCE, SUBSCRIPTIONS_PER_SECOND = 10, 1 / 6
"""On one connection, in one run: each is a line of the ledger. A client needs one, and one for each suggested name."""

MORE_RECEIPTS = 1000
"""How many receipts a client may send beyond two for each record that it was sent; a block holds at least one record,
and only what a crash took may be logged and receipted again."""

_FAULT_SECONDS = 1.0
_MOST_SAID = 300


class ConnectionHandler:
    """Answers the frames of one client, in the order in which they came."""

    def __init__(self, connection: FeedConnection, stream: Stream, admission: Admission) -> None:
        self._connection, self._stream, self._admission = connection, stream, admission
        self.session: Subscription | None = None
        self.welcomed = False
        self._subscriptions = TokenBucket(SUBSCRIPTIONS_AT_ONCE, SUBSCRIPTIONS_PER_SECOND, connection.heard)

    async def run(self) -> None:
        """Converse until the connection ends, whoever ends it."""
        self.welcome()
        try:
            while True:
                data = await self._connection.recv(decode=False)
                arrived_us = self._connection.stamps.pop_ns() // 1000
                await self._answer(wire.decode_from_client(bytes(data)), arrived_us)
        except ConnectionClosed:
            pass
        except PeerError as problem:
            code = "malformed" if self.session or self.welcomed else "protocol"
            await self._refuse(wire.Error(code=code, detail=problem.detail[:300]), wire.CLOSE_PROTOCOL)
        except SubscriptionRefused as refusal:
            await self._refuse(refusal.frame, refusal.code or wire.CLOSE_PROTOCOL)
        except Exception as problem:  # noqa: BLE001
            # Of this one connection: the others go on.
            self._stream.refusals.note("fault", "connection failed", problem, peer=self._connection.peer)
            await self._connection.end(wire.CLOSE_FAULT, "internal error", _FAULT_SECONDS)
        finally:
            self.forget()

    def welcome(self) -> None:
        """Tell the client which run is on; an older subscription is over with its run."""
        self.session = None
        self.welcomed = True
        self._subscriptions = TokenBucket(SUBSCRIPTIONS_AT_ONCE, SUBSCRIPTIONS_PER_SECOND, self._connection.heard)
        self._connection.say(self._stream.run.welcome())

    def forget(self) -> None:
        """Enter the end of the subscription, if there is one, into the ledger."""
        session = self.session
        if session is None:
            return
        session.leave()
        # It would hold the session, which holds the connection: both would have to wait for the garbage collector.
        self._connection.on_unblocked = nothing
        if session.observe and session in self._stream.observers:
            self._stream.observers.remove(session)
        elif self._stream.sessions.get(session.name) is session:
            del self._stream.sessions[session.name]

    async def drain(self) -> None:
        """Say goodbye because the server stops, and close, in bounded time."""
        if self.session is not None:
            self.session.cause = "draining"
            self.forget()
        self._connection.say(wire.Bye(reason="draining", retry_ms=500))
        await self._connection.end(wire.CLOSE_DRAINING, "draining")

    async def _refuse(self, frame: wire.Frame, code: int) -> None:
        if self.session is not None and self.session.cause == "lost":
            self.session.cause = "protocol"
        later = code == wire.CLOSE_LATER
        limited = isinstance(frame, wire.Error) and frame.code == wire.TOO_MANY
        cause: RefusalCause = "too_many" if limited else "later" if later else "protocol"
        self._stream.refusals.note(cause, "peer refused", peer=self._connection.peer, why=str(frame)[:_MOST_SAID])
        self._connection.say(frame)
        await self._connection.end(code, "protocol" if isinstance(frame, wire.Error) else "try again later")

    async def _answer(self, frame: wire.FromClient, arrived_us: int) -> None:
        if not isinstance(frame, wire.Receipt) and not self._connection.allowed():
            raise SubscriptionRefused(
                wire.Error(code=wire.TOO_MANY, detail="too many messages per second"), wire.CLOSE_PROTOCOL
            )
        match frame:
            case wire.Ping():
                now_us = self._stream.run.clock.now_us()
                self._connection.say(wire.Pong(t1_us=frame.t1_us, t2_us=arrived_us, t3_us=now_us))
            case wire.Subscribe():
                await self._subscribe(frame)
            case wire.Receipt():
                self._receipt(frame)
            case wire.Control():
                self._control(frame)
            case wire.Bye() if self.session is not None:
                self.session.cause = "bye"
                self.forget()
                self.session = None
            case _:
                pass

    async def _subscribe(self, request: wire.Subscribe) -> None:
        if self.session is not None:
            detail = f"already subscribed as {self.session.name}"
            raise SubscriptionRefused(wire.Error(code="subscribed", detail=detail), wire.CLOSE_PROTOCOL)
        if request.run not in ("", self._stream.run.name):
            # It crossed the welcome of the next run on its way: the client will ask again for that one.
            return
        if not self._subscriptions.take(self._connection.heard):
            detail = "too many subscriptions on one connection"
            raise SubscriptionRefused(wire.Error(code=wire.TOO_MANY, detail=detail), wire.CLOSE_PROTOCOL)
        try:
            session = await self._admission.admit(self._connection, request)
        except SubscriptionRefused as refusal:
            if refusal.code is not None:
                raise
            self._connection.say(refusal.frame)
            return
        self.session = session
        client = session.run.book.clients.get(session.name)
        self._connection.say(
            wire.Subscribed(
                client=session.name,
                first=session.cursor,
                receipted=client.receipted if client is not None and not session.observe else 0,
                fence=session.fence,
            )
        )
        self._connection.on_unblocked = functools.partial(self._stream.call, session)
        self._stream.call(session)

    def _receipt(self, receipt: wire.Receipt) -> None:
        session = self.session
        if session is None or session.observe:
            detail = "a receipt needs a subscription" if session is None else "an observer sends no receipts"
            raise SubscriptionRefused(wire.Error(code="not_subscribed", detail=detail), wire.CLOSE_PROTOCOL)
        run, book = session.run, session.run.book
        client = book.clients[session.name]
        sent = max(client.sent, session.sent)
        self._refuse_impossible(receipt, sent, session.number)
        if client.has_receipt(receipt.session, receipt.block):
            agreed = (receipt.session, receipt.block) not in client.mismatched
            again = wire.Recorded(session=receipt.session, block=receipt.block, match=agreed)
            # Its line may still wait for the disk.
            run.ledger.follow(lambda: self._connection.say(again))
            return
        if client.entered >= 2 * sent + MORE_RECEIPTS:
            detail = f"{client.entered} receipts for {sent} records"
            raise SubscriptionRefused(wire.Error(code=wire.TOO_MANY, detail=detail), wire.CLOSE_PROTOCOL)
        match = self._agrees(receipt)
        entry = ledger.ReceiptEntry(
            at=run.at(),
            client=session.name,
            session=receipt.session,
            fence=session.fence,
            block=receipt.block,
            first=receipt.first,
            last=receipt.last,
            count=receipt.count,
            missing=receipt.missing,
            digest=receipt.digest,
            match=match,
        )
        if not match:
            extra = {"client": session.name, "block": receipt.block, "first": receipt.first, "last": receipt.last}
            self._stream.refusals.note("receipt", "receipt does not match", **extra)
        answer = wire.Recorded(session=receipt.session, block=receipt.block, match=match)
        run.enter(entry, then=lambda: self._connection.say(answer))

    def _agrees(self, receipt: wire.Receipt) -> bool:
        present = len(RangeSet([(receipt.first, receipt.last)]) - RangeSet(receipt.missing))
        feed = self._stream.run.feed
        return present == receipt.count and feed.digest(receipt.first, receipt.last, receipt.missing) == receipt.digest

    @staticmethod
    def _refuse_impossible(receipt: wire.Receipt, sent: int, session: int) -> None:
        if (
            receipt.last < receipt.first
            or receipt.count > MAX_BLOCK
            or receipt.last > sent
            or (session and receipt.session > session)
        ):
            detail = f"receipt for {receipt.first} to {receipt.last} of session {receipt.session}; {sent} were sent"
            raise SubscriptionRefused(wire.Error(code="bad_receipt", detail=detail), wire.CLOSE_PROTOCOL)

    def _control(self, control: wire.Control) -> None:
        if not self._connection.operator:
            detail = "control is for loopback or the holder of the token"
            raise SubscriptionRefused(wire.Error(code="unauthorized", detail=detail), wire.CLOSE_UNAUTHORIZED)
        try:
            answer: wire.Frame = operator_control.grant(control, self._stream, self._connection.peer)
        except operator_control.RequestRefused as declined:
            # A slip of the operator's hand is no breach of the protocol: the connection stays.
            answer = declined.frame
        self._connection.say(answer)
