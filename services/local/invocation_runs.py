"""The runs of an invocation, in order, as its own server or clients report them.

The server logs the name of each run; the supervisor reads that log through a pipe to which no other process writes. The
clients of an external feed write the invocation into ``feed.json`` of the run. Other runs on the volumes are ignored.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path

from services.contract.scalars import RUN_PATTERN
from services.runtime.invocation import own_run

STARTED = ("run opened", "run continued")
"""Log events of the server at the start of a run, with its name in the field ``run``."""
LISTENING = "listening"
"""Log event of the server when clients can connect. The port is not probed, since another server might answer."""
POLL_SECONDS = 0.1


def event_of(line: str) -> tuple[str, str | None]:
    """Return the event and the run of a line of the server's log; empty and None if the line is not an event."""
    try:
        # Tracebacks and the lines of libraries are not JSON.
        fields = json.loads(line) if line.startswith("{") else None
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict) or not isinstance(fields.get("event"), str):
        return "", None
    run = fields.get("run")
    return fields["event"], run if isinstance(run, str) and re.match(RUN_PATTERN, run) else None


class InvocationRuns:
    """The runs of this invocation, oldest first.

    Args:
        on_run: called once with the name of each run.
        servers: the number of server processes.

    Attributes:
        names: the names of the runs so far.
        listening: set when clients can connect to every server.
    """

    def __init__(self, on_run: Callable[[str], None], servers: int = 1) -> None:
        self._on_run, self._starting = on_run, servers
        self.names: list[str] = []
        self._more = asyncio.Event()
        self.listening = asyncio.Event()

    def add(self, run: str) -> None:
        """Add a run, unless it is known: a server that is restarted continues its run."""
        if run not in self.names:
            self.names.append(run)
            self._on_run(run)
            self._more.set()

    def add_log_line(self, line: str) -> None:
        """Process a line of the server's log."""
        event, run = event_of(line)
        if event in STARTED and run is not None:
            self.add(run)
        elif event == LISTENING:
            # Otherwise all clients would connect to the server that is ready first.
            self._starting -= 1
            if self._starting <= 0:
                self.listening.set()

    async def find_external_run(self, logs: Path, invocation: str) -> None:
        """Poll for the run of an external feed until the clients have opened it."""
        while True:
            run = own_run(logs, invocation)
            if run is not None:
                self.add(run)
                return
            await asyncio.sleep(POLL_SECONDS)

    async def nth(self, number: int) -> str:
        """Wait for the run with this index, counted from 0; return its name."""
        while len(self.names) <= number:
            self._more.clear()
            await self._more.wait()
        return self.names[number]
