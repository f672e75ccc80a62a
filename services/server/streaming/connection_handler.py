"""Handles the frames of one connection, from `welcome` to `bye`."""

from __future__ import annotations

import functools

from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from services.contract import bounds, ledger, wire
from services.contract.errors import MalformedFrame, PeerError
from services.runtime.rate_limit import TokenBucket
from services.server.connections.connection import FeedConnection, do_nothing, queue
from services.server.connections.refusals import RefusalCause, RefusalCounter
from services.server.runs.run_state import RecordedClient
from services.server.streaming import control as operator_control
from services.server.streaming import receipts
from services.server.streaming.admission import Admission, SubscriptionRefused
from services.server.streaming.permission import refuse_unpermitted
from services.server.streaming.stream import Stream
from services.server.streaming.subscription import Subscription

_FAULT_CLOSE_SECONDS = 1.0
_MAX_DETAIL_LENGTH = 300
_RECEIPT = b'{"type":"receipt"'
"""How the receipts of this project's clients begin; those that begin otherwise are handled as other frames."""


class ConnectionHandler:
    """Answers the frames of one client in the order of their arrival.

    Args:
        connection: of the client.
        stream: of the current run.
        admission: grants subscriptions.

    Attributes:
        subscription: the client's subscription; None while it has none.
    """

    def __init__(self, connection: FeedConnection, stream: Stream, admission: Admission) -> None:
        self._connection, self._stream, self._admission = connection, stream, admission
        self.subscription: Subscription | None = None
        self._reset_subscription_limit()

    async def run(self) -> None:
        """Handle frames until either side ends the connection."""
        self.welcome()
        try:
            while True:
                # Decoded by the library, which refuses a text that is not UTF-8, also in fields that are ignored.
                data = await self._connection.recv()
                arrived_us = self._connection.arrival_times.pop_ns() // 1000
                await self._handle(_frame_of(data), arrived_us)
        except ConnectionClosed:
            pass
        except PeerError as problem:
            error = wire.Error(code="malformed", detail=problem.detail[:_MAX_DETAIL_LENGTH])
            await self._refuse(error, wire.CLOSE_PROTOCOL)
        except SubscriptionRefused as refusal:
            await self._refuse(refusal.frame, refusal.code or wire.CLOSE_PROTOCOL)
        except Exception as problem:  # noqa: BLE001
            # A fault in handling one connection must not affect the others.
            self._stream.refusals.count("fault", "connection failed", problem, peer=self._connection.peer)
            await self._connection.close_within(wire.CLOSE_FAULT, "internal error", _FAULT_CLOSE_SECONDS)
        finally:
            self.end_subscription()

    def welcome(self) -> None:
        """Send the client the current run; its subscription to the run before has ended with that run."""
        self.subscription = None
        self._reset_subscription_limit()
        self._connection.send_frame(self._stream.run.welcome())

    def _reset_subscription_limit(self) -> None:
        now = self._connection.last_received
        self._subscriptions = TokenBucket(bounds.SUBSCRIPTIONS.value, bounds.SUBSCRIPTIONS_PER_SECOND, now)

    def end_subscription(self, cause: ledger.Cause | None = None) -> None:
        """End the subscription, if there is one, and record it.

        Args:
            cause: why; None keeps the cause that was set before.
        """
        subscription = self.subscription
        if subscription is None:
            return
        subscription.leave(cause)
        # The callback refers to the subscription, which refers to the connection: this cycle would keep both in memory
        # until a garbage collection.
        self._connection.on_unblocked = do_nothing
        self._connection.take_at_once = queue
        if subscription.is_observer and subscription in self._stream.observers:
            self._stream.observers.remove(subscription)
        elif self._stream.subscriptions.get(subscription.name) is subscription:
            del self._stream.subscriptions[subscription.name]

    async def drain(self, *, others_play: bool = False) -> None:
        """Disconnect the client because the server stops, within a bounded time.

        Args:
            others_play: other servers play the run on, so the client need not wait for a server to start.
        """
        self.end_subscription("draining")
        self._connection.send_frame(wire.Bye(reason="draining", retry_ms=0 if others_play else 500))
        await self._connection.close_within(wire.CLOSE_DRAINING, "draining")

    async def move(self) -> None:
        """Ask the client to connect again, perhaps to another server of the run, within a bounded time."""
        self.end_subscription("moved")
        self.subscription = None
        self._connection.send_frame(wire.Bye(reason="move", retry_ms=0))
        await self._connection.close_within(wire.CLOSE_DRAINING, "move")

    async def _refuse(self, frame: wire.Frame, code: int) -> None:
        """Send the reason and close the connection."""
        if self.subscription is not None and self.subscription.cause == "lost":
            self.subscription.cause = "protocol"
        is_error = isinstance(frame, wire.Error)
        cause: RefusalCause = "later" if code == wire.CLOSE_LATER else "protocol"
        if isinstance(frame, wire.Error) and frame.code == wire.TOO_MANY:
            cause = "too_many"
        why = str(frame)[:_MAX_DETAIL_LENGTH]
        self._stream.refusals.count(cause, "peer refused", peer=self._connection.peer, why=why)
        self._connection.send_frame(frame)
        await self._connection.close_within(code, "protocol" if is_error else "try again later")

    async def _handle(self, frame: wire.FromClient, arrived_us: int) -> None:
        # Receipts have a limit of their own, by the records sent: a client that catches up sends hundreds a second.
        if not isinstance(frame, wire.Receipt) and not self._connection.accept_message():
            raise _refusal(wire.TOO_MANY, "too many messages per second")
        if self.subscription is None:
            self._connection.heard()
        match frame:
            case wire.Ping():
                now_us = self._stream.run.clock.now_us()
                self._connection.send_frame(wire.Pong(t1_us=frame.t1_us, t2_us=arrived_us, t3_us=now_us))
            case wire.Subscribe():
                await self._subscribe(frame)
            case wire.Receipt():
                self._record_receipt(frame)
            case wire.Control():
                self._control(frame)
            case wire.Bye() if self.subscription is not None:
                self.end_subscription("bye")
                self.subscription = None
            case _:
                pass

    async def _subscribe(self, request: wire.Subscribe) -> None:
        if self.subscription is not None:
            raise _refusal("subscribed", f"already subscribed as {self.subscription.name}")
        if request.run not in ("", self._stream.run.name):
            # It was sent before the client received the welcome of the next run: the client will ask for that one.
            return
        refuse_unpermitted(self._connection.grant, request)
        if not self._subscriptions.consume(self._connection.last_received):
            raise _refusal(wire.TOO_MANY, "too many subscriptions on one connection")
        try:
            subscription = await self._admission.admit(self._connection, request)
        except SubscriptionRefused as refusal:
            if refusal.code is not None:
                raise
            self._connection.send_frame(refusal.frame)
            return
        self.subscription = subscription
        self._connection.engage()
        client = subscription.run.recorded.clients.get(subscription.name)
        self._connection.send_frame(
            wire.Subscribed(
                client=subscription.name,
                first=subscription.cursor,
                receipted=client.receipted if client is not None and not subscription.is_observer else 0,
                fence=subscription.fence,
            )
        )
        self._connection.on_unblocked = functools.partial(self._stream.serve_soon, subscription)
        self._connection.take_at_once = self._take_receipt
        self._stream.serve_soon(subscription)

    def _take_receipt(self, text: bytes) -> bool:
        """Handle a receipt at once, without the library's queue and a turn of the loop; return whether it was one.

        One that is refused is not handled: it comes again through the queue, to `run`, which refuses the peer.
        """
        if not text.startswith(_RECEIPT):
            return False
        try:
            # As the library does for what it queues, so that also fields that are ignored have to be UTF-8.
            frame = _frame_of(text.decode())
            if not isinstance(frame, wire.Receipt):
                return False
            self._record_receipt(frame)
        except Exception:  # noqa: BLE001
            # Whatever it is, it happens again in `run`, which distinguishes a peer's fault from one of this server.
            return False
        return True

    def _record_receipt(self, receipt: wire.Receipt) -> None:
        """Record a receipt, and confirm it once the ledger has it."""
        subscription = self.subscription
        if subscription is None:
            raise _refusal("not_subscribed", "a receipt needs a subscription")
        if subscription.is_observer:
            raise _refusal("not_subscribed", "an observer sends no receipts")
        if why := receipts.impossible(receipt, subscription):
            raise _refusal("bad_receipt", why)
        client = subscription.run.recorded.clients[subscription.name]
        if client.has_receipt(receipt.session, receipt.block):
            self._repeat_confirmation(receipt, subscription, client)
            return
        if why := receipts.excess(receipt, client, subscription.run):
            raise _refusal(wire.TOO_MANY, why)
        match = receipts.is_matching(receipt, self._stream.run.feed)
        if not match:
            extra = {"client": subscription.name, "block": receipt.block, "first": receipt.first, "last": receipt.last}
            self._stream.refusals.count("receipt", "receipt does not match", **extra)
        confirmation = wire.Recorded(session=receipt.session, block=receipt.block, match=match)
        entry = receipts.entry_of(receipt, subscription, match=match)
        subscription.run.append(entry, then=lambda: self._connection.send_frame(confirmation))

    def _repeat_confirmation(self, receipt: wire.Receipt, subscription: Subscription, client: RecordedClient) -> None:
        """Confirm a receipt that the ledger has already."""
        subscription.repeated_receipts += 1
        if subscription.repeated_receipts > 2 * client.sent_count + bounds.RECEIPTS.value:
            raise _refusal(wire.TOO_MANY, f"{subscription.repeated_receipts} repeated receipts on one connection")
        match = (receipt.session, receipt.block) not in client.mismatched
        repeated = wire.Recorded(session=receipt.session, block=receipt.block, match=match)
        # The entry of the first receipt may still wait for the disk.
        subscription.run.ledger.when_written(lambda: self._connection.send_frame(repeated))

    def _control(self, control: wire.Control) -> None:
        if not self._connection.is_operator:
            error = wire.Error(code="unauthorized", detail="control is for loopback or the holder of the token")
            raise SubscriptionRefused(error, wire.CLOSE_UNAUTHORIZED)
        self._connection.engage()
        try:
            reply: wire.Frame = operator_control.apply_request(control, self._stream, self._connection.peer)
        except operator_control.RequestRefused as refusal:
            # A refused request is a mistake of the operator and no breach of the protocol: the connection stays open.
            reply = refusal.frame
        self._connection.send_frame(reply)


def _frame_of(message: str | bytes) -> wire.FromClient:
    if isinstance(message, bytes):
        raise MalformedFrame("a binary message; frames are text", message)
    return wire.decode_from_client(message.encode())


def _refusal(code: str, detail: str) -> SubscriptionRefused:
    """Return the exception that answers a frame with an error and closes the connection."""
    return SubscriptionRefused(wire.Error(code=code, detail=detail), wire.CLOSE_PROTOCOL)


async def refuse_unsubscribed(connection: FeedConnection, refusals: RefusalCounter) -> None:
    """Disconnect a peer that has not subscribed in time."""
    refusals.count("unsubscribed", "peer refused: no subscription in time", peer=connection.peer)
    if connection.state is State.OPEN:
        connection.send_frame(wire.Error(code=wire.UNSUBSCRIBED, detail="no subscription in time"))
        await connection.close_within(wire.CLOSE_SLOW, "no subscription")
    else:
        connection.abort()
