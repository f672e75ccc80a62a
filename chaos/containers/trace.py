"""Makes system calls in a container's process fail, or kill it, with strace attached from the host."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.poll import poll_until

CALL_SECONDS = 15.0
"""Deadline for a working process to make a call of the expected kind."""


def require_strace() -> None:
    """Skip the test if strace is missing; fail it in CI."""
    if shutil.which("strace") is None:
        message = "strace is missing: apt-get install strace"
        if os.environ.get("CI"):
            pytest.fail(message, pytrace=False)
        pytest.skip(message)


class Trace:
    """strace, attached to a process and all its threads, injecting a failure into one call."""

    def __init__(self, pid: int, output: Path, calls: str, effect: str, path: str = "") -> None:
        """Attach strace, and wait until it has attached to every thread.

        Args:
            pid: id of the process on the host.
            output: file for strace's output; an existing one is replaced.
            calls: names of the system calls, separated by commas.
            effect: the injection into the first call of each thread, in strace's syntax: "error=EIO".
            path: restricts the calls to this file, by its name in the container; empty for all files.
        """
        self._output = output
        output.unlink(missing_ok=True)
        path_filter = ["-P", path] if path else []
        injection = ["-e", f"trace={calls}", "-e", f"inject={calls}:{effect}:when=1"]
        self._process = subprocess.Popen(
            ["strace", "-f", "-y", "-p", str(pid), *path_filter, *injection, "-o", str(output)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        line = self._process.stderr.readline()
        assert "attached" in line, line

    @property
    def injected(self) -> list[str]:
        """The lines of strace's output about calls with an injected failure."""
        text = self._output.read_text(errors="replace") if self._output.exists() else ""
        return [line for line in text.splitlines() if "(INJECTED)" in line]

    def lines(self) -> list[str]:
        """Return all lines of strace's output."""
        return self._output.read_text(errors="replace").splitlines() if self._output.exists() else []

    def detach(self) -> None:
        """Detach strace; the process continues."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        assert self._process.stderr is not None
        self._process.stderr.close()


@contextlib.contextmanager
def attached(pid: int, output: Path, calls: str, effect: str, path: str = "") -> Iterator[Trace]:
    """Attach strace to a process inside a ``with`` block."""
    trace = Trace(pid, output, calls, effect, path)
    try:
        yield trace
    finally:
        trace.detach()


def fail_once(pid: int, output: Path, calls: str, error: str, path: str = "") -> list[str]:
    """Make the next call of a kind fail; return strace's lines about it."""
    with attached(pid, output, calls, f"error={error}", path) as trace:
        poll_until(lambda: trace.injected, f"{calls} of {pid} has failed with {error}", CALL_SECONDS, 0.02)
    return trace.injected
