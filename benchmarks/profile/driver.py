"""A process of clients: ``python -m benchmarks.profile.driver PORT SPEECH SEED PROFILE BEGIN END FILE``.

It says so when the server has confirmed its clients, and again, when a line has come, with the one that was held back.
Then it reads when publishing starts. When everything has come that comes, it writes the clients' logs to the file, a
line each, prints what they met as one line of JSON, and waits until its standard input ends.
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
from benchmarks.profile.protocols import SPEAKERS
from benchmarks.scale.serving import many_files
from benchmarks.scale.sizes import Profile
from services.runtime.clock import Clock
from services.runtime.eventloop import exact_loop

_AT_ONCE = 50
"""Connections that are being made at a time."""

_GATHER_SECONDS = 120.0

_QUIET_SECONDS = 5.0
"""When everybody is back and nothing has come for this long, nothing more is waited for …"""

_AFTERWARDS_SECONDS = 120.0
"""… nor this long after the last message."""


class Met(NamedTuple):
    """What the clients of one process met; ``late_us`` has how late each cut was that was made."""

    taken: int
    failed: int
    ended_by_server: int
    unmade: int
    late_us: list[int]


class Driver:
    """The clients from one number up to another."""

    def __init__(self, port: int, speech: str, seed: int, profile: Profile, begin: int, end: int) -> None:
        speaker = SPEAKERS[speech]
        self._seed, self._profile = seed, profile
        self._clock, self._tally = Clock(), Tally()
        self._clients = [
            Client(number, port, speaker(number, profile.records), self._tally, self._clock)
            for number in range(begin, end)
        ]
        self._held_back = self._clients[-1:] if speaker.last_one_starts and end == profile.clients else []

    async def gather(self) -> None:
        """Connect all clients, but for one whose coming starts the publishing."""
        coming = self._clients[: len(self._clients) - len(self._held_back)]
        for number, client in enumerate(coming):
            if number >= _AT_ONCE:
                await self._tally.came.acquire()
            client.connect()
        for _ in range(min(_AT_ONCE, len(coming))):
            await self._tally.came.acquire()

    async def complete(self) -> None:
        """Connect the one that was held back."""
        for client in self._held_back:
            client.connect()
            await self._tally.came.acquire()

    async def play(self, start_us: int) -> Met:
        """Cut the clients as planned from the start on; return what they met when nothing more comes."""
        loop = asyncio.get_running_loop()
        zero = loop.time() + (start_us - self._clock.now_us()) / 1e6
        for client in self._clients:
            for seconds in cuts(self._profile, self._seed, client.log.client):
                planned_us = start_us + round(seconds * 1e6)
                loop.call_at(zero + seconds, client.cut, planned_us, self._profile.away)
        await asyncio.sleep(zero + self._profile.records / self._profile.rate - loop.time())
        await self._wait_until_quiet()
        # Whatever comes from now on comes too late: the logs end here.
        self._tally.over = True
        tally = self._tally
        return Met(tally.taken, tally.failed, tally.ended_by_server, tally.unmade, tally.late_us)

    def write(self, file: Path) -> None:
        """Write the clients' logs to a file, a line each."""
        with file.open("wb") as lines:
            lines.writelines(msgspec.json.encode(client.log) + b"\n" for client in self._clients)

    async def _wait_until_quiet(self) -> None:
        ended_us = self._clock.now_us()
        deadline_us = ended_us + round(_AFTERWARDS_SECONDS * 1e6)
        quiet_us = ended_us
        while (now_us := self._clock.now_us()) < deadline_us:
            if not all(client.ready for client in self._clients):
                quiet_us = now_us
            if now_us - max(quiet_us, self._tally.taken_us) > _QUIET_SECONDS * 1e6:
                return
            await asyncio.sleep(0.1)


async def main(port: int, speech: str, seed: int, profile: Profile, begin: int, end: int, file: Path) -> None:
    """Drive one run."""
    many_files()
    driver = Driver(port, speech, seed, profile, begin, end)
    async with asyncio.timeout(_GATHER_SECONDS):
        await driver.gather()
    # A pause of this process to look for garbage would be taken for the server's.
    gc.freeze()
    gc.disable()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    async with asyncio.timeout(_GATHER_SECONDS):
        await driver.complete()
    print("complete", flush=True)
    start_us = int(await asyncio.to_thread(sys.stdin.readline))
    met = await driver.play(start_us)
    await asyncio.to_thread(driver.write, file)
    print(msgspec.json.encode(met).decode(), flush=True)
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
