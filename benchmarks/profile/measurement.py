"""One server meets the profile: its clients are driven by other processes, and both sides' logs are held together."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import BooksOpen, cpu_seconds
from benchmarks.profile.deliveries import Classes, Log, Published, classes, contradictions, is_replay
from benchmarks.profile.driver import Met
from benchmarks.profile.drivers import driven
from benchmarks.profile.servers import Entrant
from benchmarks.scale.serving import many_files, resident_bytes
from benchmarks.scale.sizes import Profile
from services.contract.histogram import Histogram

_MOST_TOLD = 5


class Spread(NamedTuple):
    """The number of durations and, in seconds, two percentiles and the longest; 0 where there are none."""

    number: int
    p50: float
    p99: float
    max: float

    @classmethod
    def of(cls, micros: Histogram) -> Spread:
        """Return the spread of durations that were recorded in microseconds."""
        found = (micros.percentile(50), micros.percentile(99), micros.max)
        return cls(micros.count, *((value or 0) / 1e6 for value in found))


class Outcome(NamedTuple):
    """What one server made of the profile.

    ``replay`` counts from when the client began to come back until a message that it had missed was there; ``missed``
    the same messages from when they were sent; ``live`` all others, from when they were sent. What the clients' side
    owes to the plan: ``cuts`` is of how late each was that was made, and ``unmade`` of those that met nobody.
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
    unmade: int
    failed: int
    ended_by_server: int
    cpu_seconds: float
    resident_bytes: int

    @property
    def closed(self) -> bool:
        """Whether every delivery is in one class, and the two sides do not contradict each other."""
        return not self.residual and not self.contradictions


class Account:
    """Adds up the logs of the clients, one after the other."""

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


def play(entrant: Entrant, folder: Path, profile: Profile, seed: int) -> Outcome:
    """Let one server meet the profile.

    Raises:
        BooksOpen: the server or its clients ended before their time.
    """
    folder.mkdir(parents=True)
    with (
        entrant.serve(folder / "server", profile) as server,
        driven(server.port, entrant.speech, folder, profile, seed) as drivers,
    ):
        many_files(server.pid)
        for driver in drivers:
            driver.wait_until_ready()
        for driver in drivers:
            driver.complete()
        start_us = server.start()
        for driver in drivers:
            driver.start(start_us)
        met = [driver.met() for driver in drivers]
        # While all clients are still connected.
        used, resident = cpu_seconds(server.pid), resident_bytes(server.pid)
        if not used:
            raise BooksOpen(f"{entrant.title} ended:\n{server.said()}")
        published, receipted = server.published()
    account = Account(published, profile.records)
    for driver in drivers:
        for log in driver.logs():
            account.add(log)
    against = _against(account, met, receipted)
    return _outcome(entrant, profile.clients * profile.records, account, against, met, used, resident)


def _against(account: Account, met: list[Met], receipted: int | None) -> list[str]:
    """Return what speaks against the books: what was counted in another place, and is not the same."""
    found, taken = account.classes, sum(one.taken for one in met)
    against = account.contradictions[:_MOST_TOLD]
    if taken != found.received + found.again:
        against.append(f"{taken} messages came over the connections; {found.received + found.again} were written down")
    # What was lost broke off a block, and its other records have no receipt.
    if receipted is not None and (receipted > found.received or (receipted < found.received and not found.lost)):
        against.append(f"the ledger holds receipts for {receipted} deliveries; {found.received} were received")
    return against


def _outcome(
    entrant: Entrant, expected: int, account: Account, against: list[str], met: list[Met], used: float, resident: int
) -> Outcome:
    late = Histogram()
    for one in met:
        late.record(one.late_us)
    return Outcome(
        server=entrant.title,
        node=entrant.node,
        expected=expected,
        classes=account.classes,
        residual=account.classes.residual(expected),
        contradictions=against,
        replay=Spread.of(account.replay),
        missed=Spread.of(account.missed),
        live=Spread.of(account.live),
        cuts=Spread.of(late),
        unmade=sum(one.unmade for one in met),
        failed=sum(one.failed for one in met),
        ended_by_server=sum(one.ended_by_server for one in met),
        cpu_seconds=used,
        resident_bytes=resident,
    )
