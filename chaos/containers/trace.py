"""System calls that are made to fail, or to kill, in a process of a container: strace, attached from the host."""

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
"""Within which a process that is at work makes a call of the kind that is waited for."""


def need_strace() -> None:
    """Skip a test on a laptop without strace; fail it in CI."""
    if shutil.which("strace") is None:
        say = "strace is missing: apt-get install strace"
        if os.environ.get("CI"):
            pytest.fail(say, pytrace=False)
        pytest.skip(say)


class Trace:
    """strace at one process and all its threads, which it leaves as soon as one call has failed.

    Attributes:
        injected: the lines of strace's output about calls that did fail.
    """

    def __init__(self, pid: int, output: Path, calls: str, effect: str, path: str = "") -> None:
        """Attach; returns once strace has every thread.

        Args:
            pid: the process, by its id on the host.
            output: a file for strace's output; replaced.
            calls: which system calls, separated by commas.
            effect: what becomes of each thread's first one, in strace's words: "error=EIO".
            path: only calls on this file, by its name inside the container; empty for all.
        """
        self._output = output
        output.unlink(missing_ok=True)
        which = ["-P", path] if path else []
        what = ["-e", f"trace={calls}", "-e", f"inject={calls}:{effect}:when=1"]
        self._process = subprocess.Popen(
            ["strace", "-f", "-y", "-p", str(pid), *which, *what, "-o", str(output)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        said = self._process.stderr.readline()
        assert "attached" in said, said

    @property
    def injected(self) -> list[str]:
        """The calls that failed."""
        text = self._output.read_text(errors="replace") if self._output.exists() else ""
        return [line for line in text.splitlines() if "(INJECTED)" in line]

    def lines(self) -> list[str]:
        """Return all that strace saw."""
        return self._output.read_text(errors="replace").splitlines() if self._output.exists() else []

    def detach(self) -> None:
        """Leave the process, which goes on."""
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
    """Attach strace for a while."""
    trace = Trace(pid, output, calls, effect, path)
    try:
        yield trace
    finally:
        trace.detach()


def fail_once(pid: int, output: Path, calls: str, error: str, path: str = "") -> list[str]:
    """Make the next call of a kind fail; return the calls that did, as strace saw them."""
    with attached(pid, output, calls, f"error={error}", path) as trace:
        poll_until(lambda: trace.injected, f"{calls} of {pid} has failed with {error}", CALL_SECONDS, 0.02)
    return trace.injected
