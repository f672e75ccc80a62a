"""Fuzzes one decoder in this process, for a time: inputs that take a new step are kept, and changed in turn."""

from __future__ import annotations

import contextlib
import mmap
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from chaos.fuzz.line_coverage import LineCoverage
from chaos.fuzz.mutator import MOST_BYTES, mutated
from chaos.fuzz.target import Finding, Target

MOST_SECONDS, MOST_BYTES_OF_MEMORY = 1.0, 64 * 2**20
"""What one input may cost: processor time without tracing, and growth of the resident memory."""
HANG_SECONDS = 15.0
"""Processor time, with tracing, after which an input is given up."""
_ADDRESS_SPACE = 3 * 2**30
"""An input that asks for terabytes fails at once, and does not take the machine with it."""
_MOST_FINDINGS = 5
_ATTEMPTS_TO_SHORTEN = 300


class Hangs(BaseException):
    """An input takes longer than any may. Not an `Exception`, which a decoder might take for one of its own."""


class Worker:
    """Fuzzes one decoder.

    Args:
        target: the decoder.
        seeds: inputs to begin with.
        seed: of all choices.
        current: file into which each input is written before it is tried, in case that it ends the process.
        hang_seconds: processor time after which an input is given up, where `limit_process` was called; 0 for never.

    Attributes:
        tried: number of inputs.
        findings: at most one for each place.
        coverage: of all inputs.
        kept: inputs that took a new step.
        slowest_seconds: most processor time of one input, with tracing.
    """

    def __init__(
        self, target: Target, seeds: Sequence[bytes], seed: int, current: Path, hang_seconds: float = 0.0
    ) -> None:
        self._hang_seconds = hang_seconds
        self.target, self.kept = target, [*seeds] or [b""]
        self.tried, self.findings, self.coverage, self.slowest_seconds = 0, list[Finding](), LineCoverage(), 0.0
        self._chance = random.Random(f"{target.name} {seed}")
        with current.open("w+b") as file:
            file.truncate(MOST_BYTES + 8)
            self._current = mmap.mmap(file.fileno(), 0)

    def run(self, seconds: float) -> None:
        """Try all seeds, and then inputs made of them until the time is over or there are enough findings."""
        until = time.monotonic() + seconds
        for data in list(self.kept):
            self._note(self._try(data), data)
        while time.monotonic() < until and len(self.findings) < _MOST_FINDINGS:
            # Newer ones more often: they reach deeper.
            at = max(self._chance.randrange(len(self.kept)), self._chance.randrange(len(self.kept)))
            data = mutated(self.kept[at], self._chance, self.kept)
            self._note(self._try(data), data)

    def _note(self, finding: Finding | None, data: bytes) -> None:
        if finding is not None and finding.place not in {known.place for known in self.findings}:
            self.findings.append(finding._replace(data=self._shortened(finding, data)))

    def _try(self, data: bytes) -> Finding | None:
        self.tried += 1
        self._current[: len(data) + 8] = len(data).to_bytes(8) + data
        began, before = time.process_time(), _peak_bytes()
        signal.setitimer(signal.ITIMER_VIRTUAL, self._hang_seconds)
        try:
            if self.coverage.run(lambda: self._decode(data)):
                self.kept.append(data)
        except Hangs:
            return Finding(self.target.name, f"takes over {self._hang_seconds:g} s", "hangs", data)
        except Exception as problem:  # noqa: BLE001
            return Finding(self.target.name, f"{type(problem).__name__}: {problem}"[:300], _place(problem), data)
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        took, grown = time.process_time() - began, _peak_bytes() - before
        self.slowest_seconds = max(self.slowest_seconds, took)
        if grown > MOST_BYTES_OF_MEMORY:
            return Finding(self.target.name, f"takes {grown >> 20} MiB", "memory", data)
        # Tracing makes Python many times slower.
        if took > MOST_SECONDS and (untraced := self._untraced_seconds(data)) > MOST_SECONDS:
            return Finding(self.target.name, f"takes {untraced:.1f} s", "time", data)
        return None

    def _decode(self, data: bytes) -> None:
        with contextlib.suppress(*self.target.declared):
            self.target.decode(data)

    def _untraced_seconds(self, data: bytes) -> float:
        began = time.process_time()
        self._decode(data)
        return time.process_time() - began

    def _shortened(self, finding: Finding, data: bytes) -> bytes:
        """Return a shorter input of the same finding, as far as it is found quickly."""
        if finding.place in ("hangs", "memory", "time"):
            return data
        attempts, size = 0, len(data) // 2
        while size and attempts < _ATTEMPTS_TO_SHORTEN:
            at = 0
            while at < len(data) and attempts < _ATTEMPTS_TO_SHORTEN:
                shorter, attempts = data[:at] + data[at + size :], attempts + 1
                found = self._try(shorter)
                if found is not None and found.place == finding.place:
                    data = shorter
                else:
                    at += size
            size //= 2
        return data


def limit_process() -> None:
    """Bound the memory of this process, and have an input that hangs end in `Hangs`."""
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, resource.getrlimit(resource.RLIMIT_AS)[1]))

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise Hangs

    signal.signal(signal.SIGVTALRM, interrupt)


def last_input(current: Path) -> bytes:
    """Return the input that a process tried last, from its file."""
    data = current.read_bytes()
    return data[8 : 8 + int.from_bytes(data[:8])]


def _peak_bytes() -> int:
    # The peak of this program alone: `getrusage` begins with that of the process that started it.
    with contextlib.suppress(OSError, IndexError):
        return int(Path("/proc/self/status").read_bytes().split(b"VmHWM:")[1].split()[0]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _place(problem: BaseException) -> str:
    """Return the innermost line of this repository in a traceback."""
    lines = [frame for frame in traceback.extract_tb(problem.__traceback__) if "/services/" in frame.filename]
    last = lines[-1] if lines else traceback.extract_tb(problem.__traceback__)[-1]
    return f"{type(problem).__name__} at {last.filename.rpartition('/services/')[2]}:{last.lineno}"
