"""Which runs an invocation plays, in their order: known from its own server or its own clients, never guessed.

Our server says it in its log, which this process reads through a pipe that no other process writes to. The clients of
an external feed write the invocation into the run's ``feed.json``.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path

from services.contract.scalars import RUN_PATTERN
from services.runtime.invocation import own_run

BEGUN = ("run opened", "run continued")
"""What the server logs when it begins to play a run, with the run's name as ``run``."""
LISTENING = "listening"
"""What the server logs when clients can connect. A probe of the port could be answered by another server."""
LOOK_SECONDS = 0.1


def event_of(line: str) -> tuple[str, str | None]:
    """Return the event of a line of the server's log, empty for a line that is none, and the run that it names."""
    try:
        said = json.loads(line) if line.startswith("{") else None
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or not isinstance(said.get("event"), str):
        return "", None
    run = said.get("run")
    return said["event"], run if isinstance(run, str) and re.match(RUN_PATTERN, run) else None


class InvocationRuns:
    """The runs of this invocation, the first one first.

    Args:
        note: takes the name of each run once, as soon as it is known.

    Attributes:
        names: of the runs that are known.
        listening: set when the server can be connected to.
    """

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self.names: list[str] = []
        self._more = asyncio.Event()
        self.listening = asyncio.Event()

    def add(self, run: str) -> None:
        """Note that a run is played; a server that is restarted continues a run that is known."""
        if run not in self.names:
            self.names.append(run)
            self._note(run)
            self._more.set()

    def read(self, line: str) -> None:
        """Take in a line of the server's log."""
        event, run = event_of(line)
        if event in BEGUN and run is not None:
            self.add(run)
        elif event == LISTENING:
            self.listening.set()

    async def look(self, logs: Path, invocation: str) -> None:
        """Look for the run of an external feed until the clients have opened it."""
        while True:
            run = own_run(logs, invocation)
            if run is not None:
                self.add(run)
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def nth(self, number: int) -> str:
        """Wait for a run, counted from 0, and return its name."""
        while len(self.names) <= number:
            self._more.clear()
            await self._more.wait()
        return self.names[number]
