"""What becomes of one session's connections to an external feed: their state, and the lines that tell of them. Pure."""

from __future__ import annotations

from services.client.block_encoder import SessionKey
from services.client.external.connection_failure import MOST_REASON
from services.contract import blocklog
from services.contract.scalars import utc_text


class ConnectionLog:
    """Counts the connections of a session and makes a line of everything that happens to them.

    Attributes:
        count: how many there have been, the present one included.
        connected: whether there is one now.
    """

    def __init__(self, place: SessionKey) -> None:
        self._place = place
        self.count = 0
        self.connected = False
        self._code: int | None = None
        self._reason = ""
        self._attempts = 0

    def opened(self, at_us: int) -> blocklog.ConnectionLine:
        """Note that a handshake succeeded."""
        self.count += 1
        self.connected, self._attempts, self._code, self._reason = True, 0, None, ""
        return self._line("opened", at_us)

    def refused(self, at_us: int, code: int | None, reason: str) -> blocklog.ConnectionLine:
        """Note that an attempt failed; ``code`` is the HTTP status, if there was one."""
        self._attempts += 1
        self._code, self._reason = code, reason
        return self._line("refused", at_us)

    def closed(self, at_us: int, code: int, reason: str) -> blocklog.ConnectionLine:
        """Note that the connection ended, and not because the client's run is over."""
        self.connected, self._code, self._reason = False, code, reason
        return self._line("closed", at_us)

    def ended(self, at_us: int, condition: str) -> blocklog.ConnectionLine:
        """Note that a condition of ``FEED_END`` is met."""
        code = None if self.connected else self._code
        return self._line("ended", at_us, code, condition)

    def held_back(self, code: int | None, reason: str) -> None:
        """Note why this client makes no attempt, where nothing else is known: another client was refused."""
        if not self.connected and self._code is None and not self._reason:
            self._code, self._reason = code, f"held back, since another client was refused: {reason}"[:MOST_REASON]

    def sealed(self, at_us: int) -> blocklog.ConnectionLine:
        """Note that the session is over; the code and the reason are the last ones, unless it is connected."""
        return self._line("sealed", at_us)

    def _line(
        self, event: blocklog.ConnectionEvent, at_us: int, code: int | None = None, reason: str = ""
    ) -> blocklog.ConnectionLine:
        return blocklog.ConnectionLine(
            run=self._place.run,
            client=self._place.client,
            session=self._place.session,
            connection=self.count,
            event=event,
            at=utc_text(at_us),
            connected=self.connected,
            code=self._code if code is None else code,
            reason=reason or self._reason,
            attempts=self._attempts,
        )
