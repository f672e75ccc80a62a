"""Exactly what was done to the frames of a client stands in the summary: how many, which, and why; nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from chaos.tally import Tally
from chaos.wire.damage import SPAN, Damage, Kind, Place, Plan
from chaos.wire.proxy import Proxy
from services.contract.rangeset import RangeSet
from services.contract.summary import Causes, ClientSummary, Summary
from tests.asserts import known
from tests.integration.processes import System

PASS, FAIL = 0, 99
KINDS: tuple[Kind, ...] = ("drop", "duplicate", "swap", "corrupt", "header")
GONE: tuple[Kind, ...] = ("drop", "corrupt", "header")
"""Kinds of which the records are nowhere, as the summary has to say."""
TIMES = (1, 3)
LIVE = {"RATE": 200, "RECORDS": 1000}
REPLAY = {"RATE": 2400, "RECORDS": 10_500}
"""A replay needs frames enough to choose from; the clients must not notice the silence before the cut."""


def names(clients: int) -> list[str]:
    """Return what the clients of one process are called."""
    return [f"client.{number}" for number in range(1, clients + 1)]


def planned(places: tuple[Place, ...], seed: int) -> dict[str, Plan]:
    """Return a client for each kind, how often, and place."""
    cases = [(kind, times, place) for place in places for kind in KINDS for times in TIMES]
    drawn = [Plan(kind, times, place, seed + number) for number, (kind, times, place) in enumerate(cases)]
    return dict(zip(names(len(drawn)), drawn, strict=True))


def played(folder: Path, plans: Mapping[str, Plan], clients: int, **settings: object) -> tuple[int, Summary, Proxy]:
    """Play a run through the proxy; return the verdict's exit code, the summary, and the proxy with its books."""
    with System(folder, GRACE_SECONDS=3, CLIENTS=clients, **settings) as system, Proxy(system.url, plans) as proxy:
        system.start("collector")
        system.server()
        system.client("client", SERVER_URL=proxy.url, CONNECTIONS=clients)
        code, text = system.wait()
        summary = system.volumes.summary()
        assert summary is not None, text
        assert [] == proxy.problems
        return code, summary, proxy


def unnamed(book: Damage, client: ClientSummary) -> int:
    """Return how many of a client's injuries its summary does not name."""
    kind = book.plan.kind
    if kind in GONE:
        told = RangeSet((int(first), int(last)) for first, last in client.missing_ranges)
        return sum(bool(RangeSet([(one.first, one.last)]) - told) for one in book.touched)
    # Of these there is a number alone: each injury takes its records out of it.
    left = known(client.duplicates) if kind == "duplicate" else known(client.reordered)
    lacking = 0
    for one in book.touched:
        left -= one.last - one.first + 1
        lacking += left < 0
    return lacking


def enter(tally: Tally, proxy: Proxy, summary: Summary) -> None:
    """Note what was injected, and what the summary makes of it."""
    found = {client.client: client for client in summary.clients}
    injected: dict[Kind, int] = dict.fromkeys(KINDS, 0)
    for name, book in proxy.books.items():
        injected[book.plan.kind] += book.count
        for one in book.touched:
            tally.fault(f"frame-{one.kind}", f"{name} {book.plan.place} {one.first}-{one.last}", beside=True)
    sums = summary.totals
    tally.held(
        sums.received,
        lost=max(0, known(sums.missing) - sum(injected[kind] for kind in GONE)) + abs(known(sums.residual)),
        duplicated=max(0, known(sums.duplicates) - injected["duplicate"]),
        undetected=sum(unnamed(book, found[name]) for name, book in proxy.books.items()),
    )


def assert_untouched(client: ClientSummary, total: int) -> None:
    """Hold a client to a perfect account."""
    assert ("finished", total, total) == (client.state, client.expected, client.received)
    counts = client.missing, client.duplicates, client.reordered, client.corrupt, client.residual
    assert (0, 0, 0, 0, 0) == counts
    assert Causes() == client.missing_by_cause


def assert_exactly(book: Damage, client: ClientSummary, total: int) -> None:
    """Hold the summary of a client to the books of who injured it."""
    kind, hit = book.plan.kind, book.count
    assert book.plan.times == len(book.touched), book.touched
    if book.plan.place == "replay":
        assert all(one.connection == 2 and one.last <= book.replayed_through for one in book.touched), book.touched
    if book.plan.place == "tail" and kind != "swap":
        assert total == book.touched[-1].last
    gone = kind in GONE
    corrupt = hit if kind in ("corrupt", "header") else 0
    assert (book.seqs().spans() if gone else []) == [tuple(span) for span in client.missing_ranges]
    assert Causes(sent_not_logged=hit if kind == "drop" else 0, corrupt_in_flight=corrupt) == client.missing_by_cause
    counts = client.missing, client.duplicates, client.reordered, client.corrupt
    assert (
        hit if gone else 0,
        hit if kind == "duplicate" else 0,
        hit if kind == "swap" else 0,
        corrupt,
    ) == counts
    assert ("finished", total, 0) == (client.state, client.expected, client.residual)


@pytest.mark.parametrize("places", [("middle", "tail"), ("replay",)], ids="-and-".join)
def test_exactly_the_injected_faults_are_reported(
    places: tuple[Place, ...], seed: int, tally: Tally, tmp_path: Path
) -> None:
    """Frames are damaged once and three times, each kind for clients of its own: each is told what it suffered."""
    plans = planned(places, seed)
    settings = REPLAY if places == ("replay",) else LIVE
    code, summary, proxy = played(tmp_path, plans, len(plans) + 1, **settings)
    enter(tally, proxy, summary)
    found = {client.client: client for client in summary.clients}
    total = settings["RECORDS"]
    for name, book in proxy.books.items():
        assert_exactly(book, found.pop(name), total)
    (whole,) = found.values()
    assert_untouched(whole, total)
    assert (FAIL, "FAIL", 0) == (code, summary.verdict, summary.totals.residual)
    assert {*plans} >= {reason.split(":")[0] for reason in summary.reasons}, summary.reasons
    assert [] == summary.faults


def test_without_a_fault_there_is_no_alarm(tally: Tally, tmp_path: Path) -> None:
    """Through the same proxy, without a plan, every client is whole: PASS, no reason, no fault."""
    code, summary, proxy = played(tmp_path, {}, clients=3, **LIVE)
    sums = summary.totals
    tally.held(
        sums.received, alarms=len(summary.reasons) + len(summary.faults) + known(sums.missing) + known(sums.duplicates)
    )
    for client in summary.clients:
        assert_untouched(client, LIVE["RECORDS"])
    assert (PASS, "PASS", [], []) == (code, summary.verdict, summary.reasons, summary.faults)
    assert 3 == proxy.connections


def test_a_cut_alone_is_no_damage(seed: int, tally: Tally, tmp_path: Path) -> None:
    """Ten connections that die with hundreds of frames in flight are made good by the replay: PASS."""
    plans = {name: Plan("drop", 0, "replay", seed + number) for number, name in enumerate(names(10))}
    code, summary, proxy = played(tmp_path, plans, clients=10, **REPLAY)
    for name in plans:
        tally.fault("connection-cut", name, beside=True)
    enter(tally, proxy, summary)
    assert all(book.replayed_through >= SPAN for book in proxy.books.values())
    assert 20 == proxy.connections
    for client in summary.clients:
        assert_untouched(client, REPLAY["RECORDS"])
    assert (PASS, "PASS") == (code, summary.verdict)
