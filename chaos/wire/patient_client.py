"""The client as a process that does not disconnect because a server is silent, or answers no ping, for a while.

Its watchdog is not the subject of tests that damage frames. On a busy machine it would add reconnections to them, after
which few long frames follow instead of many short ones.
"""

from __future__ import annotations

import functools
import sys

from services.client import __main__ as client
from services.client import app, clock_sync
from services.client.subscriber import Subscriber, SubscriberLimits

SECONDS = 60.0

if __name__ == "__main__":
    limits = SubscriberLimits(silence_seconds=SECONDS)
    vars(app)["Subscriber"] = functools.partial(Subscriber, limits=limits)
    clock_sync.UNANSWERED_SECONDS = SECONDS
    sys.exit(client.main(sys.argv[1:]))
