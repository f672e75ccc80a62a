"""Decisions of the servers of one run in a stream of NATS JetStream, by compare-and-append."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

import msgspec

from services.contract.errors import LineError
from services.contract.jsonl import FIRST, seal, unseal
from services.server.jetstream.client import EXPECTED, JetStreamClient, OutdatedSequence
from services.server.runs.decisions import Decision

log = logging.getLogger(__name__)

ANSWER_SECONDS = 0.25
"""How long a decision waits for its answer while records are due: the event loop is blocked meanwhile."""
PATIENT_SECONDS = 5.0
"""The same while none are due."""
_PAUSE_SECONDS = 1.0
"""After a decision without an answer no other is tried for this long, or the event loop would stand still again."""
_RETRY_SECONDS = 0.2

_decoder = msgspec.json.Decoder(Decision)


class StreamDecisions:
    """The decisions about one run, in a stream. See `services.server.runs.exchange.DecisionStore`.

    Args:
        client: the connection.
        subject: under which they are published.
        read: decisions that were read so far, each with its sequence; it grows.
        await_read: waits until the stream was read again, for a number of seconds at most.
    """

    is_required = True

    def __init__(
        self,
        client: JetStreamClient,
        subject: str,
        read: Sequence[tuple[int, bytes]],
        await_read: Callable[[float], None],
    ) -> None:
        self._client, self._subject, self._read, self._await_read = client, subject, read, await_read
        self._index, self._seen, self._paused_until = 0, 0, 0.0

    @property
    def place(self) -> str:
        """Where they are, for messages."""
        return f"{self._client.address.shown}, {self._subject}"

    def news(self) -> list[Decision]:
        """Return the decisions since the last call."""
        found = []
        while self._index < len(self._read):
            seq, data = self._read[self._index]
            self._index += 1
            # This server's own decision was applied when it was made.
            if seq <= self._seen:
                continue
            self._seen = seq
            try:
                found.append(_decoder.decode(unseal(data).text))
            except (LineError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
                log.warning("decision skipped", extra={"subject": self._subject, "seq": seq, "why": str(problem)[:300]})
        return found

    def decide(self, decision: Decision, *, patiently: bool = False) -> bool:
        """Make a decision; return False if another one was made since the last call of `news`."""
        now = time.monotonic()
        if now < self._paused_until and not patiently:
            raise OSError("JetStream does not answer")
        until = now + (PATIENT_SECONDS if patiently else ANSWER_SECONDS)
        while True:
            try:
                self._seen = self._publish(decision, until - time.monotonic())
            except OutdatedSequence:
                # Another decision was first, or the answer to this one was lost: the next call of `news` has it.
                self._await_read(ANSWER_SECONDS)
                return False
            except (TimeoutError, OSError) as problem:
                if not patiently or time.monotonic() > until - _RETRY_SECONDS:
                    self._paused_until = time.monotonic() + _PAUSE_SECONDS
                    raise OSError(f"JetStream has not answered: {str(problem) or 'timeout'}") from None
                time.sleep(_RETRY_SECONDS)
            else:
                return True

    def _publish(self, decision: Decision, seconds: float) -> int:
        data = seal(msgspec.json.encode(decision), FIRST)[0]
        return self._client.run(self._client.publish(self._subject, data, {EXPECTED: str(self._seen)}), seconds)
