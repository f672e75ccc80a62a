"""A process of clients: ``python -m benchmarks.profile.driver PORT DIALECT SEED PROFILE BEGIN END FILE``.

It prints a line when the server has confirmed its clients, and another, after a line on standard input, when the last
client is connected, too. Then it reads the time at which publishing starts. After the last message it writes the
clients' logs to the file, one per line, prints the result as one line of JSON, and waits for the end of its input.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks.profile.client import Client, Tally
from benchmarks.profile.plan import cuts
from benchmarks.profile.protocols import DIALECTS
from benchmarks.scale.serving import raise_open_file_limit
from benchmarks.scale.sizes import Profile
from services.runtime.clock import Clock
from services.runtime.eventloop import exact_loop

_PARALLEL_CONNECTS = 50
"""Largest number of simultaneous connection attempts."""

_GATHER_SECONDS = 120.0

_QUIET_SECONDS = 5.0
"""The run is over when all clients are connected and no message has arrived for this long …"""

_AFTERWARDS_SECONDS = 120.0
"""… or at the latest this long after the last message was sent."""


class DriverResult(NamedTuple):
    """Counters of the clients of one process; ``late_us`` has the delay of each cut that was made."""

    received: int
    failed: int
    ended_by_server: int
    skipped_cuts: int
    late_us: list[int]


class Driver:
    """The clients from one number up to another."""

    def __init__(self, port: int, dialect: str, seed: int, profile: Profile, begin: int, end: int) -> None:
        dialect_class = DIALECTS[dialect]
        self._seed, self._profile = seed, profile
        self._clock, self._tally = Clock(), Tally()
        self._clients = [
            Client(number, port, dialect_class(number, profile.records), self._tally, self._clock)
            for number in range(begin, end)
        ]
        self._last_client = self._clients[-1:] if dialect_class.last_one_starts and end == profile.clients else []

    async def connect_most(self) -> None:
        """Connect all clients, except for the last one if its connection starts the publishing."""
        early_clients = self._clients[: len(self._clients) - len(self._last_client)]
        for number, client in enumerate(early_clients):
            if number >= _PARALLEL_CONNECTS:
                await self._tally.confirmed_count.acquire()
            client.connect()
        for _ in range(min(_PARALLEL_CONNECTS, len(early_clients))):
            await self._tally.confirmed_count.acquire()

    async def connect_last(self) -> None:
        """Connect the client that `connect_most` left out."""
        for client in self._last_client:
            client.connect()
            await self._tally.confirmed_count.acquire()

    async def run(self, start_us: int) -> DriverResult:
        """Cut the clients as planned, and wait for the last message; return the result."""
        loop = asyncio.get_running_loop()
        zero = loop.time() + (start_us - self._clock.now_us()) / 1e6
        for client in self._clients:
            for seconds in cuts(self._profile, self._seed, client.log.client):
                planned_us = start_us + round(seconds * 1e6)
                loop.call_at(zero + seconds, client.cut, planned_us, self._profile.away)
        await asyncio.sleep(zero + self._profile.records / self._profile.rate - loop.time())
        await self._wait_until_quiet()
        # Later messages are ignored, so that logs and counters agree.
        self._tally.is_over = True
        tally = self._tally
        return DriverResult(tally.received, tally.failed, tally.ended_by_server, tally.skipped_cuts, tally.late_us)

    def write(self, file: Path) -> None:
        """Write the clients' logs to a file, one per line."""
        with file.open("wb") as lines:
            lines.writelines(msgspec.json.encode(client.log) + b"\n" for client in self._clients)

    async def _wait_until_quiet(self) -> None:
        ended_us = self._clock.now_us()
        deadline_us = ended_us + round(_AFTERWARDS_SECONDS * 1e6)
        quiet_us = ended_us
        while (now_us := self._clock.now_us()) < deadline_us:
            if not all(client.ready for client in self._clients):
                quiet_us = now_us
            if now_us - max(quiet_us, self._tally.received_us) > _QUIET_SECONDS * 1e6:
                return
            await asyncio.sleep(0.1)


async def main(port: int, dialect: str, seed: int, profile: Profile, begin: int, end: int, file: Path) -> None:
    """Drive one run."""
    raise_open_file_limit()
    driver = Driver(port, dialect, seed, profile, begin, end)
    async with asyncio.timeout(_GATHER_SECONDS):
        await driver.connect_most()
    # A garbage collection pause of this process would be measured as latency of the server.
    gc.freeze()
    gc.disable()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    async with asyncio.timeout(_GATHER_SECONDS):
        await driver.connect_last()
    print("complete", flush=True)
    start_us = int(await asyncio.to_thread(sys.stdin.readline))
    driver_result = await driver.run(start_us)
    await asyncio.to_thread(driver.write, file)
    print(msgspec.json.encode(driver_result).decode(), flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    _port, _speech, _seed, _profile, _begin, _end, _file = sys.argv[1:]
    with asyncio.Runner(loop_factory=exact_loop) as runner:
        runner.run(
            main(
                int(_port),
                _speech,
                int(_seed),
                msgspec.json.decode(_profile, type=Profile),
                int(_begin),
                int(_end),
                Path(_file),
            )
        )
