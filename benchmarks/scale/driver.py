"""The process of the clients: ``python -m benchmarks.scale.driver PORT SEED PROFILE``, started by `cuts`.

It says so when the first half of the clients is subscribed, and again when all but one are; each time it goes on when
a line comes. The last client starts the run. When every one of them holds the end and all its receipts were answered,
it prints what was met as one line of JSON.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import sys
from typing import NamedTuple

import msgspec

from benchmarks.scale.clients import Client, Tally
from benchmarks.scale.cutting import cuts
from benchmarks.scale.deliveries import Books, Taker
from benchmarks.scale.serving import many_files
from benchmarks.scale.sizes import Profile
from services.contract.histogram import Histogram
from services.runtime.clock import Clock

_AT_ONCE = 50
"""Connections that are being made at a time."""

_AFTERWARDS_SECONDS = 30.0
"""How long after the last record was due the clients may still be catching up."""


class Met(NamedTuple):
    """What the clients met: their books, and latencies from due time to arrival in seconds."""

    books: Books
    cuts: int
    failed: int
    replayed: int
    replay_p50: float
    replay_p99: float
    replay_max: float
    live_p50: float
    live_p99: float


class Driver:
    """All clients of one run."""

    def __init__(self, port: int, seed: int, profile: Profile) -> None:
        self._profile, self._tally = profile, Tally()
        clock = Clock()
        self._clients = [
            Client(number, port, Taker(profile.records), self._tally, clock) for number in range(1, profile.clients + 1)
        ]
        self._plans = {client: cuts(profile, seed, number) for number, client in enumerate(self._clients)}
        self._subscribed, self._done = asyncio.Semaphore(0), asyncio.Event()
        self._cut_until = 0.0

    async def gather(self, begin: int, end: int) -> None:
        """Subscribe the clients from one number to another."""
        self._tally.on_subscribed = lambda _: self._subscribed.release()
        for number, client in enumerate(self._clients[begin:end]):
            if number >= _AT_ONCE:
                await self._subscribed.acquire()
            client.connect()
        for _ in range(min(_AT_ONCE, end - begin)):
            await self._subscribed.acquire()

    async def play(self) -> Met:
        """Join with the last client, cut all of them as planned, and return what they met."""
        loop = asyncio.get_running_loop()
        seconds = self._profile.records / self._profile.rate
        self._cut_until = loop.time() + seconds
        self._tally.on_subscribed, self._tally.on_done = self._plan, self._look
        for client in self._clients[:-1]:
            self._plan(client)
        self._clients[-1].connect()
        try:
            async with asyncio.timeout(seconds + _AFTERWARDS_SECONDS):
                await self._done.wait()
        except TimeoutError:
            pass  # whoever is behind is missing records or receipts: the books tell
        return self._met()

    def _plan(self, client: Client) -> None:
        seconds = next(self._plans[client])
        if asyncio.get_running_loop().time() + seconds < self._cut_until:
            client.cut_in(seconds, self._profile.away)

    def _look(self) -> None:
        if all(client.taker.done() for client in self._clients):
            self._done.set()

    def _met(self) -> Met:
        books = functools.reduce(Books.plus, (client.taker.books() for client in self._clients))
        live, replayed = Histogram(), Histogram()
        live.record(self._tally.live)
        replayed.record(self._tally.replayed)
        return Met(
            books=books,
            cuts=self._tally.cuts,
            failed=self._tally.failed,
            replayed=replayed.count,
            replay_p50=_seconds(replayed, 50),
            replay_p99=_seconds(replayed, 99),
            replay_max=(replayed.max or 0) / 1e6,
            live_p50=_seconds(live, 50),
            live_p99=_seconds(live, 99),
        )


def first_half(clients: int) -> int:
    """Return how many of the clients come first."""
    return max(1, clients // 2)


def _seconds(micros: Histogram, percent: float) -> float:
    return (micros.percentile(percent) or 0) / 1e6


async def main(port: int, seed: int, profile: Profile) -> None:
    """Drive one run."""
    many_files()
    driver = Driver(port, seed, profile)
    half = first_half(profile.clients)
    for begin, end in ((0, half), (half, profile.clients - 1)):
        await driver.gather(begin, end)
        # What is here now stays: a pause of this process to look through it would be taken for the server's.
        gc.collect()
        gc.freeze()
        print(end, flush=True)
        await asyncio.to_thread(sys.stdin.readline)
    met = await driver.play()
    print(msgspec.json.encode(met).decode(), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), msgspec.json.decode(sys.argv[3], type=Profile)))
