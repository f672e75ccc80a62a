"""A process that the supervisor starts: it ends when the supervisor ends, however that comes about."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator, Sequence

from services.runtime import parent_pipe

MOST_LINE_BYTES = 1024 * 1024
"""A longer line is handed out in parts."""


class ChildProcess:
    """A process with a pipe that only the supervisor holds the write end of; see `services.runtime.parent_pipe`."""

    def __init__(self, process: asyncio.subprocess.Process, parent_end: int) -> None:
        self.process, self._parent_end = process, parent_end

    def tell(self, line: str) -> None:
        """Write a line to the child's pipe; a child that does not read misses it."""
        with contextlib.suppress(OSError):
            os.write(self._parent_end, f"{line}\n".encode())

    async def wait(self) -> int:
        """Wait for the end of the process and return its exit code; the pipe is closed then."""
        try:
            return await self.process.wait()
        finally:
            if self.process.returncode is not None and self._parent_end >= 0:
                os.close(self._parent_end)
                self._parent_end = -1

    async def lines(self) -> AsyncIterator[str]:
        """Hand out the lines of its standard output, until it is closed."""
        stream, rest = self.process.stdout, b""
        while stream is not None and (piece := await stream.read(64 * 1024)):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield line.decode(errors="replace")
            if len(rest) > MOST_LINE_BYTES:
                yield rest.decode(errors="replace")
                rest = b""
        if rest:
            yield rest.decode(errors="replace")


async def start(arguments: Sequence[str], environment: dict[str, str], *, in_place: bool = False) -> ChildProcess:
    """Start a Python program as a child.

    Args:
        arguments: of Python.
        environment: of the child.
        in_place: the child gets this process's standard output and error, and a pipe as standard input. Else its
            output, error included, is read by the supervisor.

    Raises:
        OSError: the system refuses.
    """
    child_end, parent_end = os.pipe()
    os.set_blocking(parent_end, False)
    given = {**environment, parent_pipe.VARIABLE: str(child_end)}
    if not in_place:
        # What is read here is decoded as UTF-8, whatever the locale.
        given["PYTHONIOENCODING"] = "utf-8"
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-u", *arguments),
            env=given,
            stdin=PIPE if in_place else DEVNULL,
            stdout=None if in_place else PIPE,
            stderr=None if in_place else STDOUT,
            # A session of its own: Ctrl-C reaches the supervisor alone, which stops the others in their order.
            start_new_session=True,
            pass_fds=(child_end,),
        )
    except BaseException:
        os.close(parent_end)
        raise
    finally:
        os.close(child_end)
    return ChildProcess(process, parent_end)
