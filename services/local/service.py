"""A service as a child process: restarted when it ends by itself, its output shown line by line."""

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
_MAX_RESTART_SECONDS = 2.0
# A process that has run for this long is not in a crash loop: the next delay is short again.
_STABLE_SECONDS = 5.0
_MAX_SENT_LINES = 100

Show = Callable[[str], None]


class SupervisedService:
    """A service that runs until it is stopped, or until its configuration turns out to be bad.

    Args:
        name: the name of the service.
        module: the Python module to run.
        environment: its settings.
        write: writes text to the supervisor's standard output.
        show: called with each line of the service's output, and with messages about it. None connects the service to
            the terminal; messages are then sent to it, and it prints them above its live display.
    """

    def __init__(
        self, name: str, module: str, environment: dict[str, str], write: Callable[[str], None], show: Show | None
    ) -> None:
        self.name, self._module, self._environment, self._write = name, module, environment, write
        self._show = show or self.show_line
        self._has_terminal = show is None
        self._child: ChildProcess | None = None
        self._sent: deque[str] = deque(maxlen=_MAX_SENT_LINES)
        self._is_stopping = False

    async def run(self) -> int:
        """Run and restart the process until it is stopped or exits with 104; return its last exit code."""
        loop, delay = asyncio.get_running_loop(), 0.1
        while True:
            started = loop.time()
            code = await self._once()
            if self._must_stop() or code == EXIT_BAD_SETTINGS:
                return code
            delay = 0.1 if loop.time() - started > _STABLE_SECONDS else min(delay * 2, _MAX_RESTART_SECONDS)
            self._show(f"exited with code {code}; restarting")
            await asyncio.sleep(delay)
            if self._must_stop():
                return code

    def _must_stop(self) -> bool:
        # A method, because `stop` changes the attribute while `run` waits, which a type checker cannot know.
        return self._is_stopping

    async def _once(self) -> int:
        self._child = await child_process.start(("-m", self._module), self._environment, in_place=self._has_terminal)
        for line in self._sent:
            self._child.send_line(line)
        if self._must_stop():
            # `stop` was called while the process was being started.
            self._child.process.terminate()
        async for line in self._child.lines():
            self._show(line)
        code = await self._child.wait()
        if self._has_terminal:
            # A process that was killed could not restore the cursor itself.
            self._write(SHOW_CURSOR)
        return code

    def show_line(self, line: str) -> None:
        """Show a line through the process that has the terminal; if it does not run, write the line directly."""
        process = self._child.process if self._child is not None else None
        pipe = process.stdin if process is not None and process.returncode is None else None
        if pipe is None or pipe.is_closing():
            self._write(f"{line}\n")
        else:
            pipe.write(f"{line}\n".encode())

    def send_line(self, line: str) -> None:
        """Send a line to the process through its pipe, and again to each process that replaces it."""
        self._sent.append(line)
        if self._child is not None:
            self._child.send_line(line)

    async def stop(self, seconds: float = _STOP_SECONDS) -> None:
        """Terminate the process; kill it if it still runs after ``seconds``."""
        self._is_stopping = True
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
