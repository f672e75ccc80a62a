"""A process started by the supervisor; it ends when the supervisor ends, even if the supervisor is killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator, Sequence

from services.runtime import parent_pipe

MAX_LINE_BYTES = 1024 * 1024
"""Length up to which a line is collected in memory."""


class ChildProcess:
    """A process with a pipe whose write end only the supervisor holds; see `services.runtime.parent_pipe`."""

    def __init__(self, process: asyncio.subprocess.Process, parent_end: int) -> None:
        self.process, self._parent_end = process, parent_end

    def send_line(self, line: str) -> None:
        """Write a line to the child's pipe; it is dropped if the pipe is full or the child has ended."""
        with contextlib.suppress(OSError):
            os.write(self._parent_end, f"{line}\n".encode())

    async def wait(self) -> int:
        """Wait for the end of the process, close the pipe, and return the exit code."""
        try:
            return await self.process.wait()
        finally:
            if self.process.returncode is not None and self._parent_end >= 0:
                os.close(self._parent_end)
                self._parent_end = -1

    async def lines(self, max_line_bytes: int = MAX_LINE_BYTES) -> AsyncIterator[str]:
        """Yield the lines of the standard output until it is closed; a longer line is yielded in parts."""
        stream, rest = self.process.stdout, b""
        while stream is not None and (piece := await stream.read(64 * 1024)):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield line.decode(errors="replace")
            if len(rest) > max_line_bytes:
                yield rest.decode(errors="replace")
                rest = b""
        if rest:
            yield rest.decode(errors="replace")


async def start(arguments: Sequence[str], environment: dict[str, str], *, in_place: bool = False) -> ChildProcess:
    """Start a Python program as a child.

    Args:
        arguments: the arguments of Python.
        environment: the environment of the child.
        in_place: the child inherits standard output and standard error, and gets a pipe as standard input. Otherwise
            the supervisor reads its output and errors from one pipe.

    Raises:
        OSError: the process cannot be started.
    """
    child_end, parent_end = os.pipe()
    os.set_blocking(parent_end, False)
    child_environment = {**environment, parent_pipe.VARIABLE: str(child_end)}
    if not in_place:
        # The output is decoded as UTF-8 here, so the child must not encode it by the locale.
        child_environment["PYTHONIOENCODING"] = "utf-8"
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-u", *arguments),
            env=child_environment,
            stdin=PIPE if in_place else DEVNULL,
            stdout=None if in_place else PIPE,
            stderr=None if in_place else STDOUT,
            # In its own session, so that Ctrl-C reaches the supervisor only, which stops the services in order.
            start_new_session=True,
            pass_fds=(child_end,),
        )
    except BaseException:
        os.close(parent_end)
        raise
    finally:
        os.close(child_end)
    return ChildProcess(process, parent_end)
