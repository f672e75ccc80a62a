"""A connection to NATS JetStream in a thread of its own, so that a server that plays a run never waits for a node.

`nats-py` is imported here only, when a setting asks for it: no image has it by default.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import json
import logging
import threading
from collections.abc import Coroutine
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from services.runtime.errors import UnusableStream
from services.runtime.setting_tables.nats_address import NatsAddress

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

EXPECTED = "Nats-Expected-Last-Subject-Sequence"
"""Header: the message is stored only if this is the sequence of the last one under its subject; 0 for none."""
CONNECT_SECONDS = 10.0
"""How long a start waits for the first connection."""
_ANSWER_SECONDS = 2.0
_READ_SECONDS = 0.4
"""How long one read waits for a node. The next read goes to another one."""
_BATCH, _BATCH_BYTES = 256, 4 * 1024 * 1024
_WRONG_SEQUENCE = 10071
"""JetStream's error for a message that was published with an outdated expected sequence."""


class StreamMessage(NamedTuple):
    """One message of a stream.

    Attributes:
        seq: its sequence in the stream.
        subject: of the message.
        at_us: when the stream received it, epoch microseconds by the clock of a NATS server.
        headers: that its publisher has set, and those of JetStream.
        data: the content.
        pending: number of messages after it at the time of the read.
    """

    seq: int
    subject: str
    at_us: int
    headers: dict[str, str]
    data: bytes
    pending: int


class StreamState(NamedTuple):
    """The state of a stream.

    Attributes:
        created: when it was made; different for two streams that had one name one after the other.
        first: sequence of the first message that it has; None if it has none.
        is_readable: whether it allows direct reads.
    """

    created: str
    first: int | None
    is_readable: bool


class OutdatedSequence(Exception):
    """Another message was published under the subject since; nothing was published."""


class JetStreamClient:
    """One connection to the servers of an address.

    Args:
        address: of the servers and the stream.
        setting: name of the setting with the address, for errors.
    """

    def __init__(self, address: NatsAddress, setting: str) -> None:
        self.address, self._setting = address, setting
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"nats-{setting.lower()}", daemon=True)
        self._connection: Any = None
        self._inbox, self._reads = "", 0
        self._answers: dict[str, asyncio.Queue[Any]] = {}

    # ------------------------------------------------------------------------------- called from any thread

    def start(self) -> None:
        """Connect. Blocks for `CONNECT_SECONDS` at most.

        Raises:
            UnusableStream: the package is missing, or no server answers.
        """
        try:
            import nats  # noqa: F401, PLC0415
        except ModuleNotFoundError:
            self.close()
            raise UnusableStream(
                self._setting, self.address.shown, "nats-py is not installed", "install requirements/nats.txt"
            ) from None
        self._thread.start()
        try:
            self.run(asyncio.wait_for(self._connect(), CONNECT_SECONDS), CONNECT_SECONDS + 1)
        except Exception as problem:  # noqa: BLE001
            self.close()
            why = f"no NATS server accepted the connection within {CONNECT_SECONDS:g} s ({_reason(problem)})"
            raise UnusableStream(self._setting, self.address.shown, why, "start one, or correct the address") from None

    def run(self, work: Coroutine[Any, Any, Answer], seconds: float) -> Answer:
        """Run a coroutine in the thread of the connection and return its result.

        Raises:
            TimeoutError: it took longer than ``seconds``; it goes on.
        """
        return self.begin(work).result(seconds)

    def begin(self, work: Coroutine[Any, Any, Answer]) -> concurrent.futures.Future[Answer]:
        """Begin a coroutine in the thread of the connection."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """Close the connection and end the thread."""
        if self._thread.is_alive():
            with contextlib.suppress(Exception):
                self.run(self._close(), _ANSWER_SECONDS)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_ANSWER_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()

    # ----------------------------------------------------------------------- coroutines of the connection's thread

    async def _connect(self) -> None:
        from services.server.jetstream.secure_connection import SecureConnection  # noqa: PLC0415

        self._connection = SecureConnection()
        await self._connection.connect(
            list(self.address.servers),
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.2,
            connect_timeout=2,
            # A node that hangs without closing the connection is given up after two pings.
            ping_interval=2,
            max_outstanding_pings=2,
            error_cb=self._note_error,
        )
        self._inbox = self._connection.new_inbox()
        await self._connection.subscribe(f"{self._inbox}.*", cb=self._note_answer)

    async def _close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _note_error(self, problem: Exception) -> None:
        log.info("nats connection", extra={"setting": self._setting, "why": _reason(problem)})

    async def ensure_stream(self, subjects: list[str]) -> int:
        """Create the stream of the address with these subjects, unless it exists; return its number of replicas.

        It has three replicas if there are as many nodes, else one.
        """
        from nats.js.api import StreamConfig  # noqa: PLC0415
        from nats.js.errors import APIError  # noqa: PLC0415

        manager = self._connection.jsm()
        for replicas in (3, 1):
            config = StreamConfig(name=self.address.stream, subjects=subjects, num_replicas=replicas, allow_direct=True)
            try:
                return int((await manager.add_stream(config)).config.num_replicas)
            except APIError as problem:
                with contextlib.suppress(APIError):
                    return int((await manager.stream_info(self.address.stream)).config.num_replicas)
                if replicas == 1:
                    raise OSError(f"stream {self.address.stream}: {_reason(problem)}") from None
        raise AssertionError("one replica is tried last")

    def manager(self) -> Any:
        """Return the library's manager of streams."""
        return self._connection.jsm()

    async def stream_state(self) -> StreamState:
        """Return the state of the stream.

        Raises:
            Exception: there is none, or no node answered; of a class of the library.
        """
        info = await self._connection.jsm().stream_info(self.address.stream)
        first = info.state.first_seq if info.state.messages else None
        return StreamState(str(info.created), first, is_readable=bool(info.config.allow_direct))

    async def last_sequence(self, subject: str) -> int:
        """Return the sequence of the last message under a subject, 0 without one.

        Raises:
            OSError: no node has answered.
        """
        from nats.errors import Error as NatsError  # noqa: PLC0415
        from nats.js.errors import APIError, NotFoundError  # noqa: PLC0415

        try:
            return int((await self._connection.jsm().get_last_msg(self.address.stream, subject)).seq)
        except NotFoundError:
            return 0
        except (APIError, NatsError, TimeoutError) as problem:
            raise OSError(_reason(problem)) from None

    async def publish(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> int:
        """Publish a message; return its sequence in the stream, which has it on disk.

        Raises:
            OutdatedSequence: the header with the expected sequence does not hold.
            OSError: no answer came. The message may be in the stream nevertheless.
        """
        from nats.errors import Error as NatsError  # noqa: PLC0415
        from nats.js.errors import APIError  # noqa: PLC0415

        try:
            answer = await self._connection.jetstream().publish(subject, data, timeout=_ANSWER_SECONDS, headers=headers)
        except APIError as problem:
            if problem.err_code == _WRONG_SEQUENCE:
                raise OutdatedSequence(subject) from None
            raise OSError(_reason(problem)) from None
        except (NatsError, TimeoutError) as problem:
            raise OSError(_reason(problem)) from None
        return int(answer.seq)

    async def announce(self, subject: str) -> None:
        """Send a message without content to those who listen now; it is not stored."""
        from nats.errors import Error as NatsError  # noqa: PLC0415

        with contextlib.suppress(NatsError, OSError):
            await self._connection.publish(subject, b"")

    async def listen(self, subject: str, on_subject: Any) -> None:
        """Call a function with the subject of each message that is announced under a subject."""

        async def note(message: Any) -> None:
            on_subject(message.subject)

        await self._connection.subscribe(subject, cb=note)

    async def read(self, first: int, batch: int = _BATCH) -> list[StreamMessage] | None:
        """Return the messages from a sequence on, as many as fit; None if no node answered in time.

        Any replica answers, so the loss of a node costs one read. There is no consumer that could hang on it.
        """
        request = {"seq": first, "next_by_subj": ">", "batch": batch, "max_bytes": _BATCH_BYTES}
        self._reads += 1
        inbox = f"{self._inbox}.{self._reads}"
        answers = self._answers[inbox] = asyncio.Queue(batch + 1)
        found: list[StreamMessage] = []
        try:
            api = f"$JS.API.DIRECT.GET.{self.address.stream}"
            await self._connection.publish(api, json.dumps(request).encode(), reply=inbox)
            while (message := await asyncio.wait_for(answers.get(), _READ_SECONDS)).headers.get("Status") is None:
                found.append(_message(message))
        except Exception as problem:  # noqa: BLE001
            # Whatever the library raises while it changes nodes, the next read tries again.
            log.debug("read of a stream", extra={"why": _reason(problem)})
            return found or None
        finally:
            del self._answers[inbox]
        # Anything but the end of the batch or "nothing there", such as "no responders", is no answer.
        return found if found or message.headers.get("Status") in ("204", "404") else None

    async def _note_answer(self, message: Any) -> None:
        queue = self._answers.get(message.subject)
        # With the end of the batch it has one message more than was asked for; others are not of a JetStream.
        if queue is not None and not queue.full():
            queue.put_nowait(message)


def _message(message: Any) -> StreamMessage:
    headers = dict(message.headers)
    # With nine digits of a second, of which Python reads six.
    at = datetime.fromisoformat(headers["Nats-Time-Stamp"][:26].rstrip("Z") + "Z")
    return StreamMessage(
        int(headers["Nats-Sequence"]),
        headers["Nats-Subject"],
        round(at.timestamp() * 1_000_000),
        headers,
        message.data,
        int(headers.get("Nats-Num-Pending", 0)),
    )


def _reason(problem: BaseException) -> str:
    return str(problem)[:300] or type(problem).__name__
