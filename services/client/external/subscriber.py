"""One client of an external feed: it receives and logs one run, over all of its connections."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Literal

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.frames import CloseCode
from websockets.protocol import State

from services.client.backoff import Backoff
from services.client.external import connection_failure
from services.client.external.connection import ClosingWatch, ConnectRateLimit, connect_to, leave, pause
from services.client.external.connection_failure import ConnectionFailure, last_message
from services.client.external.frame_reader import FrameContents
from services.client.external.rendezvous import AgreedRun
from services.client.external.session import ExternalSession
from services.client.external.settings import FeedSettings
from services.client.external.speaker import Speaker
from services.client.external.talk.conversation import Conversation
from services.client.external.talk.greeting_sources import GreetingFailed
from services.client.external.transport.batch_reader import BatchReader, condition_of
from services.client.external.transport.batched_connection import BatchedConnection
from services.client.settings import ClientConfig
from services.contract.scalars import utc_us
from services.runtime.clock import Clock
from services.runtime.errors import BadSettings
from services.runtime.jsonlogs import RateLimitedLog

log = logging.getLogger(__name__)

MAX_BACKOFF_SECONDS = 15.0
"""Longest delay between attempts: an external server may not withstand many clients that reconnect at once."""
PROVED_SECONDS = 2.0
"""A server that rejects a client does so within a round trip of the handshake, perhaps in a message. A server that sent
a record and kept the connection for this long accepts the client, which may reconnect at once after a cut."""
_ANSWER_SECONDS = 1.0
"""A server that has not answered an opening handshake for this long when the run ends is reported."""
_AGE_CHECK_SECONDS = 0.1
IN_FLIGHT_NS = 1_000_000_000
"""The end of a message that began this recently may still be in flight when the run ends."""


class ExternalSubscriber:
    """Receives one run of an external feed under one name, until the run is over or the client is stopped.

    Attributes:
        name: of the client.
        on_frame: called with every frame and its arrival time (epoch nanoseconds) before it is decoded, if it is set.
    """

    def __init__(
        self,
        name: str,
        settings: FeedSettings,
        run: AgreedRun,
        config: ClientConfig,
        clock: Clock,
        gate: ConnectRateLimit,
        retry_log: RateLimitedLog,
        tls: ssl.SSLContext | None,
        backoff: Backoff | None = None,
        proved_seconds: float = PROVED_SECONDS,
    ) -> None:
        self.name, self._settings, self._run, self._clock = name, settings, run, clock
        self._gate, self._retry_log, self._tls = gate, retry_log, tls
        self._config, self._proved_seconds = config, proved_seconds
        self._until_us = utc_us(run.until) if run.until else None
        self._backoff = backoff or Backoff(MAX_BACKOFF_SECONDS)
        self._connection: BatchedConnection | None = None
        self._session: ExternalSession | None = None
        self._writing: asyncio.Task[None] | None = None
        # Whether this connection has brought a record, and whether the server is known to accept this client.
        self._opened_at, self._is_useful, self._was_accepted = 0.0, False, False
        # What came instead of records, and when the attempt began that has no answer yet.
        self._heard = b""
        self._asked_at: float | None = None
        self._closing = ClosingWatch()
        self.on_frame: Callable[[str | bytes, int], None] | None = None
        self._end_condition: str | None = None
        self._frames, self._frame_ns = BatchReader(settings.frame_reader(), settings.ending), 0
        # Whether the task that reads waits for a message, so that none is being handled.
        self._is_waiting = False
        self._error: Exception | None = None
        self._ended = asyncio.Event()
        self._speaker = Speaker(name, settings)
        self._conversation: Conversation | None = None
        self._greeting_problem = ""

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection to the server, or none is needed any more."""
        return self._connection is not None or self.is_over

    @property
    def is_over(self) -> bool:
        """Whether the run is over for this client: by its time, by the feed's end, or by a stop."""
        return self._ended.is_set()

    @property
    def received(self) -> int:
        """The number of records that this client has received."""
        return self._session.received if self._session is not None else 0

    async def run(self) -> None:
        """Connect and receive, and connect again, until the run is over."""
        session = ExternalSession(self.name, self._run, self._settings.feed, self._config, self._clock)
        self._session, self._writing = session, asyncio.create_task(session.write())
        extra = {
            "client": self.name,
            "run": self._run.run,
            "until": self._run.until,
            "feed": self._settings.reach.shown,
        }
        log.info("listening", extra=extra)
        watching = asyncio.create_task(self._watch())
        try:
            while not self.is_over:
                failure = await self._connect_once(session)
                if failure is not None and not self.is_over:
                    await self._wait(failure)
            await watching
        finally:
            watching.cancel()
        log.info("run is over", extra={"client": self.name, "run": self._run.run})

    async def _wait(self, failure: ConnectionFailure) -> None:
        if failure.retry_after_s:
            # The server says itself when it is to be asked again, which may be sooner.
            self._backoff.not_before(failure.retry_after_s)
        elif failure.is_firm:
            self._backoff.use_longest()
        delay = self._backoff.next_seconds()
        if not self._is_useful and (failure.is_firm or failure.retry_after_s is not None):
            # The other clients of this process would be refused for the same reason.
            self._gate.hold(delay, failure)
        # Limited per code: a refusal right after a cut must be logged although the cut was logged just before.
        if self._retry_log.allow(time.monotonic(), str(failure.code)):
            extra = {"client": self.name, "server": self._settings.reach.shown, "why": failure.why}
            log.warning("not connected", extra={**extra, "retry_s": round(delay, 2)})
        await pause(delay, self._ended)

    async def _connect_once(self, session: ExternalSession) -> ConnectionFailure | None:
        """Connect, and receive until the connection ends; return why it ended, None when the run is over."""
        # All clients of the process share the limit, since the server sees one address.
        await self._gate.wait_for_turn(self._ended, was_accepted=self._was_accepted)
        if self.is_over:
            return None
        self._is_useful = self._was_accepted = False
        self._greeting_problem = ""
        self._asked_at = time.monotonic()
        try:
            self._speaker.prepare()
            connection = await connect_to(self._settings.reach, self._clock, self._tls)
        except (OSError, WebSocketException, BadSettings, ValueError) as problem:
            # ValueError: a redirect to a malformed address.
            return self._failed(problem)
        finally:
            self._asked_at = None
        self._connection, self._opened_at = connection, time.monotonic()
        if not session.is_sealed:
            session.opened()
        conversation = self._speaker.begin(connection.send, session.sequences, session.connections.count)
        self._conversation, speaking = conversation, asyncio.create_task(self._speak(conversation, connection))
        try:
            await self._receive(connection, conversation)
            await leave(connection)
        except ConnectionClosed:
            if self._error is not None:
                raise self._error from None
            return await self._lost(connection)
        finally:
            self._connection = self._conversation = None
            self._is_waiting = False
            connection.transport.abort()
            speaking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await speaking
        return None

    async def _speak(self, conversation: Conversation, connection: BatchedConnection) -> None:
        """Greet and send heartbeats, beside the task that reads; close a connection whose greeting fails."""
        try:
            await conversation.speak()
        except ConnectionClosed:
            pass  # The task that reads reports it, after the last message.
        except GreetingFailed as failed:
            self._greeting_problem = str(failed)
            await connection.close(CloseCode.PROTOCOL_ERROR)
        except Exception:
            # The task that reads would wait for a server that may wait for a message.
            connection.transport.abort()
            raise

    async def _receive(self, connection: BatchedConnection, conversation: Conversation) -> None:
        self._frames = BatchReader(self._settings.frame_reader(), self._settings.ending)
        # Most messages are handled in the call that parses them; only those that something has to wait for are queued.
        connection.handle_batch = self._handle_at_once
        while not self.is_over:
            self._is_waiting = True
            frame = await connection.recv()
            self._is_waiting, received_ns = False, connection.stamps.pop_ns()
            if self.on_frame is not None:
                self.on_frame(frame, received_ns)
            await self._handle(connection, conversation, frame, received_ns)

    async def _lost(self, connection: BatchedConnection) -> ConnectionFailure:
        """Log the end of a connection, and end the run by a condition of ``FEED_END``; return why it was closed."""
        failure = self._log_closed(connection)
        if self._is_useful and time.monotonic() - self._opened_at >= self._proved_seconds:
            self._backoff.succeeded()
            self._was_accepted = not failure.is_firm
        condition = self._settings.ending.by_close(failure.code or 0)
        if condition is not None and not self.is_over:
            self._end_condition = condition
            await self._finish("finished")
        return failure

    def _failed(self, problem: Exception) -> ConnectionFailure:
        failure = connection_failure.of_attempt(problem, self._speaker.secrets(), self._clock.now_us())
        if self._session is not None and not self._session.is_sealed:
            self._session.refused(failure.code, failure.reason)
        return failure

    def _log_closed(self, connection: BatchedConnection) -> ConnectionFailure:
        """Log, once, the end of a connection that this client did not end; return why it ended."""
        secrets = self._speaker.secrets()
        failure = connection_failure.of_close(connection.protocol, self._settings.reach.max_bytes, secrets)
        waiting = self._conversation.waits_for if self._conversation is not None else None
        if self._greeting_problem:
            failure = connection_failure.of_greeting(f"{self._greeting_problem}{last_message(self._heard)}", secrets)
        elif waiting is not None and not failure.reason:
            why = f"before the greeting was answered: nothing matched {waiting.shown}{last_message(self._heard)}"
            failure = failure._replace(reason=connection_failure.brief(why, secrets))
        session = self._session
        if session is not None and session.connections.is_connected and not session.is_sealed:
            self._log_unfinished(session)
            session.closed(failure.code or 0, failure.reason)
        return failure

    def _handle_at_once(self, frames: Sequence[bytes], is_binary: bool, received_ns: int) -> int:
        """Handle frames in the call that parses them, up to one after which something has to wait; return how many."""
        conversation, session = self._conversation, self._session
        if not self._is_waiting or self._frames.is_ahead or self.on_frame is not None:
            return 0
        if session is None or session.is_sealed or session.is_full or self._is_past(received_ns // 1000):
            return 0
        if conversation is None or conversation.is_listening:
            return 0
        try:
            contents, handled = self._frames.read_together(frames, session.received, binary=is_binary)
            self._log_contents(contents, received_ns)
        except Exception as error:
            # The event loop would only end the connection, and an error of this program would look like one of the
            # server: the task that reads raises it instead.
            self._error = error
            raise
        return handled

    async def _handle(
        self, connection: BatchedConnection, conversation: Conversation, frame: str | bytes, received_ns: int
    ) -> None:
        contents = self._frames.read(frame)
        if contents.data:
            # What a greeting waits for is found in the decoded frame.
            conversation.hear(contents.data)
        if contents.condition is None:
            for answer in contents.answers:
                await connection.send(answer)
        condition = self._log_contents(contents, received_ns)
        if contents.records and self._session is not None:
            await self._session.room()
        if condition is not None and not self.is_over and not self._is_past(received_ns // 1000):
            self._end_condition = condition
            await self._finish("finished")

    def _log_contents(self, contents: FrameContents, received_ns: int) -> str | None:
        """Log the records of a frame; return the condition of ``FEED_END`` that is met, None for none."""
        session, records = self._session, contents.records
        if session is None or session.is_sealed or self._is_past(received_ns // 1000):
            return contents.condition
        self._frame_ns = received_ns
        if contents.pings or contents.ignored:
            session.passed_over(ignored=contents.ignored, pings=contents.pings)
            self._heard = contents.data
        if not records:
            return contents.condition
        if not self._is_useful:
            # A greeting or an error message is no proof that the server accepts this client; a numbered record is.
            has_number = any(record.seq is not None for record in records)
            self._is_useful = has_number or self._settings.reading.seq is None
            self._heard = b"" if self._is_useful else contents.data
        condition = contents.condition or condition_of(self._settings.ending, session.received, records)
        session.receive(records, received_ns)
        return condition

    def _log_unfinished(self, session: ExternalSession, *, by_client: bool = False) -> None:
        """Log what came of a message whose end did not come with this connection."""
        records = self._frames.end(by_client=by_client).records
        if records and self._frame_ns:
            session.receive(records, self._frame_ns)

    def _is_past(self, at_us: int) -> bool:
        return self._until_us is not None and at_us >= self._until_us

    async def _watch(self) -> None:
        """Close blocks for their age; when the run's time is over, seal and disconnect."""
        while not self.is_over and not self._is_past(self._clock.now_us()):
            await asyncio.sleep(min(_AGE_CHECK_SECONDS, self._config.block_seconds / 4))
            if self._session is not None and not self._session.is_sealed:
                self._session.close_old_block(self._clock.now_ns())
            self._closing.look(self._connection, time.monotonic())
        if not self.is_over:
            await self._finish("finished")

    async def stop(self) -> None:
        """Seal the log and disconnect."""
        await self._finish("shutdown")

    async def close(self) -> None:
        """Release tasks and files as they are. For after `stop`, or instead."""
        if self._writing is not None:
            self._writing.cancel()
        if self._session is not None:
            self._session.close()
        if self._writing is not None:
            await asyncio.gather(self._writing, return_exceptions=True)

    async def _finish(self, reason: Literal["finished", "shutdown"]) -> None:
        self._ended.set()
        if (session := self._session) is not None:
            if not session.is_sealed:
                self._log_end(session, reason)
            await session.seal(reason)
        if self._connection is not None:
            await self._connection.end()

    def _log_end(self, session: ExternalSession, reason: Literal["finished", "shutdown"]) -> None:
        if self._connection is not None and self._connection.state is not State.OPEN:
            # The server has closed the connection, and this client has not yet read the messages before the close.
            failure = self._log_closed(self._connection)
            self._end_condition = self._end_condition or self._settings.ending.by_close(failure.code or 0)
        self._log_unserved(session)
        if (hold_reason := self._gate.hold_reason) is not None:
            session.connections.held_back(hold_reason.code, hold_reason.reason)
        if self._connection is None:
            self._log_unanswered(session)
        self._log_unfinished(session, by_client=self._clock.now_ns() - self._frame_ns < IN_FLIGHT_NS)
        session.close_block("end" if reason == "finished" else "shutdown")
        if self._end_condition is not None:
            log.info("the feed has ended", extra={"client": self.name, "condition": self._end_condition})
            session.ended(self._end_condition)

    def _log_unserved(self, session: ExternalSession) -> None:
        """Log why a client that is connected has received no record."""
        waiting = self._conversation.waits_for if self._conversation is not None else None
        if waiting is not None:
            why = f"the greeting is unanswered: nothing has matched {waiting.shown}{last_message(self._heard)}"
        elif self._heard and not (session.sequences.by_key if self._settings.reading.seq else session.received):
            record = "record with a number" if session.received else "record"
            why = f"no {record} came{last_message(self._heard)}"
        else:
            return
        session.connections.unanswered(connection_failure.brief(why, self._speaker.secrets()))

    def _log_unanswered(self, session: ExternalSession) -> None:
        """Log that the last attempt has no answer, or that this client has made none."""
        if self._asked_at is None:
            session.connections.waits(f"no attempt was made: FEED_CONNECTS permits {self._gate.per_second:g} a second")
            return
        asked_s = time.monotonic() - self._asked_at
        if asked_s >= _ANSWER_SECONDS:
            of = " of wss://, which begins with TLS," if self._tls is not None else ""
            session.refused(None, f"the server did not answer the opening handshake{of} for {int(asked_s)} s")
        else:
            session.connections.waits(f"its opening handshake began {asked_s:.1f} s before the end")
