"""One service as a process: restarted when it ends by itself, its lines shown under its name."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import deque
from collections.abc import Callable

from services.local import child_process
from services.local.child_process import ChildProcess
from services.runtime.errors import EXIT_BAD_SETTINGS

SHOW_CURSOR = "\x1b[?25h"
_STOP_SECONDS = 8.0
_MOST_RESTART_SECONDS = 2.0
_STABLE_SECONDS = 5.0
_MOST_TOLD = 100

Show = Callable[[str], None]


class SupervisedService:
    """A service that runs until it is stopped, or until the operator has something to mend.

    Args:
        name: of the service.
        module: what is run.
        environment: its settings.
        write: takes a text that is to be shown while the process cannot show it itself.
        show: takes its lines, and what is to be said of it; None gives it the terminal.
    """

    def __init__(
        self, name: str, module: str, environment: dict[str, str], write: Callable[[str], None], show: Show | None
    ) -> None:
        self.name, self._module, self._environment, self._write = name, module, environment, write
        self._show = show or self.tell
        self._has_terminal = show is None
        self._child: ChildProcess | None = None
        self._notes: deque[str] = deque(maxlen=_MOST_TOLD)
        self._stopping = False

    async def run(self) -> int:
        """Run until stopped, or until the operator has something to mend; return the last exit code."""
        loop, delay = asyncio.get_running_loop(), 0.1
        while True:
            began = loop.time()
            code = await self._once()
            if self._over() or code == EXIT_BAD_SETTINGS:
                return code
            delay = 0.1 if loop.time() - began > _STABLE_SECONDS else min(delay * 2, _MOST_RESTART_SECONDS)
            self._show(f"exited with code {code}; restarting")
            await asyncio.sleep(delay)
            if self._over():
                return code

    def _over(self) -> bool:
        return self._stopping

    async def _once(self) -> int:
        self._child = await child_process.start(("-m", self._module), self._environment, in_place=self._has_terminal)
        for note in self._notes:
            self._child.tell(note)
        if self._over():
            # It was told to stop while the process was being started.
            self._child.process.terminate()
        async for line in self._child.lines():
            self._show(line)
        code = await self._child.wait()
        if self._has_terminal:
            # A process that was killed could not give it back.
            self._write(SHOW_CURSOR)
        return code

    def tell(self, line: str) -> None:
        """Have a line shown by the process that has the terminal, above what it shows; write it if there is none."""
        process = self._child.process if self._child is not None else None
        pipe = process.stdin if process is not None and process.returncode is None else None
        if pipe is None or pipe.is_closing():
            self._write(f"{line}\n")
        else:
            pipe.write(f"{line}\n".encode())

    def note(self, line: str) -> None:
        """Tell the process something that it takes in and does not show; a process that is restarted is told again."""
        self._notes.append(line)
        if self._child is not None:
            self._child.tell(line)

    async def stop(self, seconds: float = _STOP_SECONDS) -> None:
        """Ask the process to end, and make it end after so many seconds."""
        self._stopping = True
        if self._child is None or self._child.process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._child.process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(seconds):
                    await self._child.wait()
            except TimeoutError:
                self._child.process.kill()
                await self._child.wait()
