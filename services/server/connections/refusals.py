"""What the server refused, counted by cause, and logged once a second however many peers cause it."""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from typing import Literal, get_args

from services.runtime.jsonlogs import RateLimitedLog
from services.runtime.rate_limit import TokenBucket

log = logging.getLogger(__name__)

RefusalCause = Literal["protocol", "too_many", "later", "stalled", "full", "receipt", "fault"]
"""Why a peer or what it sent was refused:

``protocol`` it broke the protocol, ``too_many`` it went beyond a limit, ``later`` it is to come back, ``stalled`` it
did not read, ``full`` there was no place for its connection, ``receipt`` a receipt does not match, ``fault`` this
server failed on it.
"""


CONFLICTS_AT_ONCE, CONFLICTS_PER_SECOND = 200, 5.0
"""How many conflicts about a name are logged: an operator wants each of them, and a flood must not fill the disk."""


class RefusalCounter:
    """Counts of one server process."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter(dict.fromkeys(get_args(RefusalCause), 0))
        self._sparingly: defaultdict[str, RateLimitedLog] = defaultdict(RateLimitedLog)
        self._conflicts = TokenBucket(CONFLICTS_AT_ONCE, CONFLICTS_PER_SECOND, time.monotonic())
        self._unsaid: Counter[str] = Counter()

    def note(self, cause: RefusalCause, event: str, problem: Exception | None = None, /, **extra: object) -> None:
        """Count a refusal and log it, unless the same event was logged within the last second.

        Args:
            cause: under which it is counted.
            event: what is logged, one of few texts.
            problem: an unexpected exception, logged with its traceback.
            extra: further fields of the log line; ``unsaid`` is added when earlier ones were not logged.
        """
        self.counts[cause] += 1
        self._log(event, problem, extra, due=self._sparingly[event].due(time.monotonic()))

    def conflict(self, cause: RefusalCause, event: str, /, **extra: object) -> None:
        """Count a conflict of two processes about one name, and log it unless there is a flood of them."""
        self.counts[cause] += 1
        self._log(event, None, extra, due=self._conflicts.take(time.monotonic()))

    def _log(self, event: str, problem: Exception | None, extra: dict[str, object], *, due: bool) -> None:
        if not due:
            self._unsaid[event] += 1
            return
        if unsaid := self._unsaid.pop(event, 0):
            extra["unsaid"] = unsaid
        level = logging.WARNING if problem is None else logging.ERROR
        log.log(level, event, extra=extra, exc_info=problem)
