"""Exactly what was done to the frames of a client stands in the summary: how many, which, and why; nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from services.contract.summary import Causes, ClientSummary, Summary
from tests.faults.wire.damage import Damage, Kind, Place, Plan
from tests.faults.wire.proxy import Proxy
from tests.integration.processes import System

PASS, FAIL = 0, 99
KINDS: tuple[Kind, ...] = ("drop", "duplicate", "swap", "corrupt")
REPLAY = {"RATE": 2000, "RECORDS": 5000}
"""A replay needs frames enough to choose from, and a server that has sent them in reasonable time."""


def played(folder: Path, plans: Mapping[str, Plan], clients: int = 2, **settings: object) -> tuple[int, Summary, Proxy]:
    """Play a run through the proxy; return the verdict's exit code, the summary, and the proxy with its books."""
    given: dict[str, object] = {"RATE": 500, "RECORDS": 1500, "GRACE_SECONDS": 3, "CLIENTS": clients, **settings}
    with System(folder, **given) as system, Proxy(system.url, plans) as proxy:
        system.start("collector")
        system.server()
        for number in range(1, clients + 1):
            system.client(f"client-{number}", SERVER_URL=proxy.url)
        code, text = system.wait()
        summary = system.volumes.summary()
        assert summary is not None, text
        assert [] == proxy.problems
        return code, summary, proxy


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
    gone = kind in ("drop", "corrupt")
    assert (book.seqs().spans() if gone else []) == [tuple(span) for span in client.missing_ranges]
    assert (
        Causes(sent_not_logged=hit if kind == "drop" else 0, corrupt_in_flight=hit if kind == "corrupt" else 0)
        == client.missing_by_cause
    )
    counts = client.missing, client.duplicates, client.reordered, client.corrupt
    assert (
        hit if gone else 0,
        hit if kind == "duplicate" else 0,
        hit if kind == "swap" else 0,
        hit if kind == "corrupt" else 0,
    ) == counts
    assert ("finished", total, 0) == (client.state, client.expected, client.residual)


@pytest.mark.parametrize("place", ["middle", "tail", "replay"])
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_exactly_the_injected_faults_are_reported(
    kind: Kind, times: int, place: Place, seed: int, tmp_path: Path
) -> None:
    """The summary names exactly the records that were hit, with their cause, the other client is whole: FAIL."""
    plans = {"client-1": Plan(kind, times, place, seed)}
    code, summary, proxy = played(tmp_path, plans, **(REPLAY if place == "replay" else {}))
    injured, whole = summary.clients
    total = summary.total or 0
    assert_exactly(proxy.books["client-1"], injured, total)
    assert_untouched(whole, total)
    assert (FAIL, "FAIL", 0) == (code, summary.verdict, summary.totals.residual)
    assert all(reason.startswith("client-1") for reason in summary.reasons), summary.reasons
    assert [] == summary.faults


def test_all_kinds_at_once_are_told_apart(seed: int, tmp_path: Path) -> None:
    """Four clients that suffer one kind each, beside one that suffers nothing, are each told what they suffered."""
    plans = {f"client-{number}": Plan(kind, 3, "middle", seed + number) for number, kind in enumerate(KINDS, 1)}
    code, summary, proxy = played(tmp_path, plans, clients=5)
    *injured, whole = summary.clients
    for client in injured:
        assert_exactly(proxy.books[client.client], client, 1500)
    assert_untouched(whole, 1500)
    assert (FAIL, 0) == (code, summary.totals.residual)


def test_without_a_fault_there_is_no_alarm(seed: int, tmp_path: Path) -> None:
    """Through the same proxy, without a plan, every client is whole: PASS, no reason, no fault."""
    code, summary, proxy = played(tmp_path, {}, clients=3)
    for client in summary.clients:
        assert_untouched(client, 1500)
    assert (PASS, "PASS", []) == (code, summary.verdict, summary.faults)
    assert 3 == proxy.connections


def test_a_cut_alone_is_no_damage(seed: int, tmp_path: Path) -> None:
    """A connection that dies with hundreds of frames in flight is made good by the replay: PASS."""
    plans = {"client-1": Plan("drop", 0, "replay", seed)}
    code, summary, proxy = played(tmp_path, plans, **REPLAY)
    assert 1800 <= proxy.books["client-1"].replayed_through
    assert 3 == proxy.connections
    for client in summary.clients:
        assert_untouched(client, 5000)
    assert (PASS, "PASS") == (code, summary.verdict)
