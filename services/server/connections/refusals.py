"""Counts what the server refused, by cause, and logs each kind of refusal at most once a second."""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from typing import Literal, get_args

from services.runtime.jsonlogs import RateLimitedLog
from services.runtime.rate_limit import TokenBucket

log = logging.getLogger(__name__)

RefusalCause = Literal[
    "protocol",
    "too_many",
    "later",
    "stalled",
    "full",
    "crowded",
    "unsubscribed",
    "request",
    "receipt",
    "fault",
    "unauthorized",
]
"""Why a peer, or a frame of a peer, was refused:

``protocol`` it broke the protocol, ``too_many`` it exceeded a limit, ``later`` it is to try again later, ``stalled`` it
did not read or answer, ``full`` the limit of connections was reached, ``crowded`` that of the peers of one address
without a subscription, ``unsubscribed`` it did not subscribe in time, ``request`` its opening request was refused,
``receipt`` a receipt does not match, ``fault`` an error in this server, ``unauthorized`` its
token does not permit the request.
"""


CONFLICT_BURST, CONFLICTS_PER_SECOND = 200, 5.0
"""Limit of logged conflicts about a name: an operator needs each of them, but a flood must not fill the disk."""


class RefusalCounter:
    """The refusals of one server process.

    Attributes:
        counts: number of refusals, by cause.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter(dict.fromkeys(get_args(RefusalCause), 0))
        self._limits: defaultdict[tuple[RefusalCause, str], RateLimitedLog] = defaultdict(RateLimitedLog)
        self._conflicts = TokenBucket(CONFLICT_BURST, CONFLICTS_PER_SECOND, time.monotonic())
        self._not_logged: Counter[tuple[RefusalCause, str]] = Counter()

    def count(self, cause: RefusalCause, event: str, problem: Exception | None = None, /, **extra: object) -> None:
        """Count a refusal and log it, unless the same event was logged with the same cause within the last second.

        Args:
            cause: under which it is counted.
            event: message of the log line, one of a few constants.
            problem: an unexpected exception, logged with its traceback.
            extra: further fields of the log line; ``not_logged`` is added, the number of such events without a line.
        """
        self.counts[cause] += 1
        self._log(cause, event, problem, extra, may_log=self._limits[cause, event].allow(time.monotonic()))

    def count_conflict(self, cause: RefusalCause, event: str, /, **extra: object) -> None:
        """Count a conflict of two processes about one name, and log it unless there is a flood of them."""
        self.counts[cause] += 1
        self._log(cause, event, None, extra, may_log=self._conflicts.consume(time.monotonic()))

    def _log(
        self, cause: RefusalCause, event: str, problem: Exception | None, extra: dict[str, object], *, may_log: bool
    ) -> None:
        if not may_log:
            self._not_logged[cause, event] += 1
            return
        if not_logged := self._not_logged.pop((cause, event), 0):
            extra["not_logged"] = not_logged
        level = logging.WARNING if problem is None else logging.ERROR
        log.log(level, event, extra=extra, exc_info=problem)
