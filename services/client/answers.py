"""Whether the server still hears this client: it answers what was asked before it says anything later. Pure."""

from __future__ import annotations

from services.client.clock_sync import Offset
from services.contract import wire

UNHEARD_SECONDS = 3.0


class Answers:
    """Watches one connection for pings that the server, who speaks, has passed over.

    What waits on the way to this client does not count: what the server said is held against when *it* said it.
    A server that has never answered is none that answers, and its clock is not known.
    """

    def __init__(self) -> None:
        self._asked_us: int | None = None
        self._answers = False

    def asked(self, now_us: int) -> None:
        """Note a ping, by this client's clock; the oldest without an answer counts."""
        if self._answers and self._asked_us is None:
            self._asked_us = now_us

    def passed_over(self, frame: wire.FromServer, offset: Offset) -> bool:
        """Take in a frame; tell, once, whether the server said it long after a ping that it has not answered."""
        match frame:
            case wire.Pong():
                self._answers, self._asked_us = True, None
                return False
            case wire.Records(sent_us=said_us) | wire.Idle(now_us=said_us) if self._asked_us is not None:
                clock = offset.estimate()
                late_us = said_us - clock.offset_us - clock.error_us - self._asked_us
                if late_us <= UNHEARD_SECONDS * 1_000_000:
                    return False
                self._asked_us = None
                return True
            case _:
                return False
