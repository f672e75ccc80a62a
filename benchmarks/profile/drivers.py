"""The processes of the clients, as the process that plays the profile sees them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks.measure import BooksOpen, environment
from benchmarks.profile.deliveries import Log
from benchmarks.profile.driver import Met
from benchmarks.scale.sizes import Profile

_PROCESSES = 2


class Driver(NamedTuple):
    """One process of clients, its file of logs, and that of what it complains of."""

    process: subprocess.Popen[bytes]
    written: Path
    complaints: Path

    def wait_until_ready(self) -> None:
        """Return when the server has confirmed its clients, but for one whose coming starts the publishing.

        Raises:
            BooksOpen: the process has ended.
        """
        self._line()

    def complete(self) -> None:
        """Have that one come; return when it has.

        Raises:
            BooksOpen: the process has ended.
        """
        self._tell(b"complete")
        self._line()

    def start(self, start_us: int) -> None:
        """Tell it when publishing starts, in microseconds, epoch."""
        self._tell(b"%d" % start_us)

    def met(self) -> Met:
        """Return what its clients met, when nothing more comes; they stay connected.

        Raises:
            BooksOpen: the process has ended.
        """
        return msgspec.json.decode(self._line(), type=Met)

    def logs(self) -> Iterator[Log]:
        """Yield the logs of its clients."""
        decoder = msgspec.json.Decoder(Log)
        with self.written.open("rb") as lines:
            yield from map(decoder.decode, lines)

    def _tell(self, line: bytes) -> None:
        if self.process.stdin is not None:
            self.process.stdin.write(line + b"\n")
            self.process.stdin.flush()

    def _line(self) -> bytes:
        line = self.process.stdout.readline() if self.process.stdout is not None else b""
        if not line:
            self.process.wait()
            raise BooksOpen(f"the clients ended:\n{self.complaints.read_text(errors='replace')[-2000:]}")
        return line


@contextmanager
def driven(port: int, speech: str, folder: Path, profile: Profile, seed: int) -> Iterator[list[Driver]]:
    """Run the clients of a profile, shared out among processes, to the end of the block."""
    edges = [profile.clients * number // _PROCESSES for number in range(_PROCESSES + 1)]
    with ExitStack() as stack:
        drivers = []
        for begin, end in pairwise(edges):
            written, complaints = folder / f"{begin}.logs", folder / f"{begin}.complaints"
            told = (port, speech, seed, msgspec.json.encode(profile).decode(), begin, end, written)
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.profile.driver", *map(str, told)],
                env=environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stack.enter_context(complaints.open("wb")),
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            drivers.append(Driver(process, written, complaints))
        yield drivers
