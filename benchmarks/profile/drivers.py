"""Starts and controls the processes of the clients."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks.measure import InvalidRun, environment
from benchmarks.profile.deliveries import Log
from benchmarks.profile.driver import DriverResult
from benchmarks.scale.sizes import Profile

_PROCESSES = 2


class Driver(NamedTuple):
    """One process of clients, its log file, and the file with its standard error."""

    process: subprocess.Popen[bytes]
    log_file: Path
    errors: Path

    def wait_until_ready(self) -> None:
        """Wait until the server has confirmed its clients, except for one whose connection starts the publishing.

        Raises:
            InvalidRun: the process has ended.
        """
        self._read_line()

    def connect_last(self) -> None:
        """Connect that client, and wait until it is confirmed.

        Raises:
            InvalidRun: the process has ended.
        """
        self._write_line(b"complete")
        self._read_line()

    def start(self, start_us: int) -> None:
        """Send the time at which publishing starts, in epoch microseconds."""
        self._write_line(b"%d" % start_us)

    def driver_result(self) -> DriverResult:
        """Wait for the end of the run; return the result. The clients stay connected.

        Raises:
            InvalidRun: the process has ended.
        """
        return msgspec.json.decode(self._read_line(), type=DriverResult)

    def logs(self) -> Iterator[Log]:
        """Read the logs of its clients."""
        decoder = msgspec.json.Decoder(Log)
        with self.log_file.open("rb") as lines:
            yield from map(decoder.decode, lines)

    def _write_line(self, line: bytes) -> None:
        if self.process.stdin is not None:
            self.process.stdin.write(line + b"\n")
            self.process.stdin.flush()

    def _read_line(self) -> bytes:
        line = self.process.stdout.readline() if self.process.stdout is not None else b""
        if not line:
            self.process.wait()
            raise InvalidRun(f"the clients ended:\n{self.errors.read_text(errors='replace')[-2000:]}")
        return line


@contextmanager
def run_drivers(port: int, dialect: str, folder: Path, profile: Profile, seed: int) -> Iterator[list[Driver]]:
    """Run the clients of a profile in several processes, inside a ``with`` block."""
    edges = [profile.clients * number // _PROCESSES for number in range(_PROCESSES + 1)]
    with ExitStack() as stack:
        drivers = []
        for begin, end in pairwise(edges):
            log_file, errors = folder / f"{begin}.logs", folder / f"{begin}.errors"
            parameters = (port, dialect, seed, msgspec.json.encode(profile).decode(), begin, end, log_file)
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.profile.driver", *map(str, parameters)],
                env=environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stack.enter_context(errors.open("wb")),
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            drivers.append(Driver(process, log_file, errors))
        yield drivers
