"""State of one session's connections to an external feed, and the log lines about them. Pure."""

from __future__ import annotations

from services.client.block_encoder import SessionKey
from services.client.external.connection_failure import MAX_REASON_LENGTH
from services.contract import blocklog
from services.contract.scalars import utc_text


class ConnectionLog:
    """Counts the connections of a session, and makes a log line of each event.

    Attributes:
        count: number of connections so far, the present one included.
        is_connected: whether there is a connection now.
    """

    def __init__(self, key: SessionKey) -> None:
        self._key = key
        self.count = 0
        self.is_connected = False
        self._code: int | None = None
        self._reason = ""
        self._attempts = 0

    def opened(self, at_us: int) -> blocklog.ConnectionLine:
        """Return the line for a successful handshake."""
        self.count += 1
        self.is_connected, self._attempts, self._code, self._reason = True, 0, None, ""
        return self._line("opened", at_us)

    def refused(self, at_us: int, code: int | None, reason: str) -> blocklog.ConnectionLine:
        """Return the line for a failed attempt; ``code`` is the HTTP status, if there was one."""
        # Counted until the next connection, so that the last line shows how often the client tried in vain.
        self._attempts += 1
        self._code, self._reason = code, reason
        return self._line("refused", at_us)

    def closed(self, at_us: int, code: int, reason: str) -> blocklog.ConnectionLine:
        """Return the line for the end of a connection that this client did not end."""
        self.is_connected, self._code, self._reason = False, code, reason
        return self._line("closed", at_us)

    def ended(self, at_us: int, condition: str) -> blocklog.ConnectionLine:
        """Return the line for a condition of ``FEED_END`` that is met."""
        code = None if self.is_connected else self._code
        return self._line("ended", at_us, code, condition)

    def held_back(self, code: int | None, reason: str) -> None:
        """Remember another client's refusal as the reason why this client makes no attempt, unless it has its own."""
        if not self.is_connected and self._code is None and not self._reason:
            why = f"held back, since another client was refused: {reason}"
            self._code, self._reason = code, why[:MAX_REASON_LENGTH]

    def unanswered(self, why: str) -> None:
        """Remember that the client is connected, and that the server has not answered its greeting."""
        if self.is_connected:
            self._reason = why[:MAX_REASON_LENGTH]

    def sealed(self, at_us: int) -> blocklog.ConnectionLine:
        """Return the line for the end of the session, with the last code and reason unless all is well."""
        return self._line("sealed", at_us)

    def _line(
        self, event: blocklog.ConnectionEvent, at_us: int, code: int | None = None, reason: str = ""
    ) -> blocklog.ConnectionLine:
        return blocklog.ConnectionLine(
            run=self._key.run,
            client=self._key.client,
            session=self._key.session,
            connection=self.count,
            event=event,
            at=utc_text(at_us),
            connected=self.is_connected,
            code=self._code if code is None else code,
            reason=reason or self._reason,
            attempts=self._attempts,
        )
