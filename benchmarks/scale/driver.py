"""The process of the clients: ``python -m benchmarks.scale.driver PORT SEED PROFILE``, started by `cuts`.

It prints a line when the first half of the clients is subscribed, and another when all but one are; each time it waits
for a line on standard input. The last client starts the run. When every client has received the end and the
confirmation of all its receipts, it prints the result as one line of JSON.
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
from benchmarks.scale.deliveries import DeliveryClasses, RecordCounter
from benchmarks.scale.serving import raise_open_file_limit
from benchmarks.scale.sizes import Profile
from services.contract.histogram import Histogram
from services.runtime.clock import Clock

_PARALLEL_CONNECTS = 50
"""Largest number of simultaneous connection attempts."""

_AFTERWARDS_SECONDS = 30.0
"""How long after the last record was due the clients may still catch up."""


class DriverResult(NamedTuple):
    """The result of all clients: classes of deliveries, and latencies from due time to arrival in seconds."""

    classes: DeliveryClasses
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
            Client(number, port, RecordCounter(profile.records), self._tally, clock)
            for number in range(1, profile.clients + 1)
        ]
        self._plans = {client: cuts(profile, seed, number) for number, client in enumerate(self._clients)}
        self._subscribed, self._done = asyncio.Semaphore(0), asyncio.Event()
        self._cut_until = 0.0

    async def connect(self, begin: int, end: int) -> None:
        """Subscribe the clients from one number to another."""
        self._tally.on_subscribed = lambda _: self._subscribed.release()
        for number, client in enumerate(self._clients[begin:end]):
            if number >= _PARALLEL_CONNECTS:
                await self._subscribed.acquire()
            client.connect()
        for _ in range(min(_PARALLEL_CONNECTS, end - begin)):
            await self._subscribed.acquire()

    async def run(self) -> DriverResult:
        """Connect the last client, cut all clients as planned, and return the result."""
        loop = asyncio.get_running_loop()
        seconds = self._profile.records / self._profile.rate
        self._cut_until = loop.time() + seconds
        self._tally.on_subscribed, self._tally.on_done = self._plan, self._check_done
        for client in self._clients[:-1]:
            self._plan(client)
        self._clients[-1].connect()
        try:
            async with asyncio.timeout(seconds + _AFTERWARDS_SECONDS):
                await self._done.wait()
        except TimeoutError:
            pass  # missing records and receipts show in the result
        return self._result()

    def _plan(self, client: Client) -> None:
        seconds = next(self._plans[client])
        if asyncio.get_running_loop().time() + seconds < self._cut_until:
            client.cut_in(seconds, self._profile.away)

    def _check_done(self) -> None:
        if all(client.counter.done() for client in self._clients):
            self._done.set()

    def _result(self) -> DriverResult:
        classes = functools.reduce(DeliveryClasses.plus, (client.counter.classes() for client in self._clients))
        live, replayed = Histogram(), Histogram()
        live.record(self._tally.live)
        replayed.record(self._tally.replayed)
        return DriverResult(
            classes=classes,
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
    """Return the size of the half of the clients that connects first."""
    return max(1, clients // 2)


def _seconds(micros: Histogram, percent: float) -> float:
    return (micros.percentile(percent) or 0) / 1e6


async def main(port: int, seed: int, profile: Profile) -> None:
    """Drive one run."""
    raise_open_file_limit()
    driver = Driver(port, seed, profile)
    half = first_half(profile.clients)
    for begin, end in ((0, half), (half, profile.clients - 1)):
        await driver.connect(begin, end)
        # Freeze live objects: a garbage collection pause of this process would be measured as the server's latency.
        gc.collect()
        gc.freeze()
        print(end, flush=True)
        await asyncio.to_thread(sys.stdin.readline)
    result = await driver.run()
    print(msgspec.json.encode(result).decode(), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), msgspec.json.decode(sys.argv[3], type=Profile)))
