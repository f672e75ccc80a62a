"""Measures one server with the profile: runs the client processes, and compares their logs with the publisher's."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import InvalidRun, cpu_seconds
from benchmarks.profile.deliveries import Classes, Log, Published, classes, contradictions, is_replay
from benchmarks.profile.driver import DriverResult
from benchmarks.profile.drivers import run_drivers
from benchmarks.profile.servers import Candidate
from benchmarks.scale.serving import raise_open_file_limit, resident_bytes
from benchmarks.scale.sizes import Profile
from services.contract.histogram import Histogram

_MOST_TOLD = 5


class Spread(NamedTuple):
    """The number of durations, two percentiles and the maximum, in seconds; 0 if there are none."""

    number: int
    p50: float
    p99: float
    max: float

    @classmethod
    def of(cls, micros: Histogram) -> Spread:
        """Return the spread of a histogram of microseconds."""
        values = (micros.percentile(50), micros.percentile(99), micros.max)
        return cls(micros.count, *((value or 0) / 1e6 for value in values))


class Outcome(NamedTuple):
    """The outcome for one server.

    ``replay`` measures missed messages from the begin of the client's new connection, ``missed`` the same messages from
    their sending, ``live`` all others from their sending. ``cuts`` has the delays of the cuts, ``skipped_cuts`` the
    number of cuts of clients that were not connected.
    """

    server: str
    node: str
    expected: int
    classes: Classes
    residual: int
    contradictions: list[str]
    replay: Spread
    missed: Spread
    live: Spread
    cuts: Spread
    skipped_cuts: int
    failed: int
    ended_by_server: int
    cpu_seconds: float
    resident_bytes: int

    @property
    def is_consistent(self) -> bool:
        """Whether every delivery is in exactly one class, and the logs do not contradict each other."""
        return not self.residual and not self.contradictions


class LogTotals:
    """Sums of the logs of all clients."""

    def __init__(self, published: Published, messages: int) -> None:
        self._published, self._messages = published, messages
        self.classes = Classes()
        self.contradictions: list[str] = []
        self.replay, self.missed, self.live = Histogram(), Histogram(), Histogram()

    def add(self, log: Log) -> None:
        """Add one client's log."""
        self.classes = self.classes.plus(classes(log, self._published, self._messages))
        self.contradictions += contradictions(log, self._published)
        replay, missed, live = array("q"), array("q"), array("q")
        for arrival in log.arrivals:
            if is_replay(arrival, log):
                replay.append(arrival.at_us - log.connections[arrival.connection].begun_us)
                missed.append(arrival.at_us - arrival.sent_us)
            else:
                live.append(arrival.at_us - arrival.sent_us)
        for histogram, values in ((self.replay, replay), (self.missed, missed), (self.live, live)):
            histogram.record(values)


def run_profile(candidate: Candidate, folder: Path, profile: Profile, seed: int) -> Outcome:
    """Run the profile with one server.

    Raises:
        InvalidRun: the server or the clients ended early.
    """
    folder.mkdir(parents=True)
    with (
        candidate.serve(folder / "server", profile) as server,
        run_drivers(server.port, candidate.dialect, folder, profile, seed) as drivers,
    ):
        raise_open_file_limit(server.pid)
        for driver in drivers:
            driver.wait_until_ready()
        for driver in drivers:
            driver.connect_last()
        start_us = server.start()
        for driver in drivers:
            driver.start(start_us)
        results = [driver.driver_result() for driver in drivers]
        # Measured while all clients are still connected.
        used_seconds, resident = cpu_seconds(server.pid), resident_bytes(server.pid)
        if not used_seconds:
            raise InvalidRun(f"{candidate.title} ended:\n{server.log_tail()}")
        published, receipted = server.published()
    totals = LogTotals(published, profile.records)
    for driver in drivers:
        for log in driver.logs():
            totals.add(log)
    contradictions_ = _contradictions(totals, results, receipted)
    return _outcome(
        candidate, profile.clients * profile.records, totals, contradictions_, results, used_seconds, resident
    )


def _contradictions(totals: LogTotals, results: list[DriverResult], receipted: int | None) -> list[str]:
    """Return the contradictions between the logs, and with counters that are independent of them."""
    values, received = totals.classes, sum(result_.received for result_ in results)
    contradictions_ = totals.contradictions[:_MOST_TOLD]
    if received != values.received + values.duplicates:
        contradictions_.append(
            f"{received} messages came over the connections; {values.received + values.duplicates} were written down"
        )
    # A lost message interrupts a block, whose other records then have no receipt.
    if receipted is not None and (receipted > values.received or (receipted < values.received and not values.lost)):
        contradictions_.append(f"the ledger holds receipts for {receipted} deliveries; {values.received} were received")
    return contradictions_


def _outcome(
    candidate: Candidate,
    expected: int,
    totals: LogTotals,
    contradictions_: list[str],
    results: list[DriverResult],
    used_seconds: float,
    resident: int,
) -> Outcome:
    late = Histogram()
    for result_ in results:
        late.record(result_.late_us)
    return Outcome(
        server=candidate.title,
        node=candidate.node,
        expected=expected,
        classes=totals.classes,
        residual=totals.classes.residual(expected),
        contradictions=contradictions_,
        replay=Spread.of(totals.replay),
        missed=Spread.of(totals.missed),
        live=Spread.of(totals.live),
        cuts=Spread.of(late),
        skipped_cuts=sum(result_.skipped_cuts for result_ in results),
        failed=sum(result_.failed for result_ in results),
        ended_by_server=sum(result_.ended_by_server for result_ in results),
        cpu_seconds=used_seconds,
        resident_bytes=resident,
    )
