"""The summary reports exactly the faults injected into a client's frames: number, records and cause, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from chaos.containers.invariants import LATE
from chaos.tally import Tally
from chaos.wire.damage import SPAN, Damage, DamagePlan, Kind, Position
from chaos.wire.proxy import Proxy
from services.contract.rangeset import RangeSet
from services.contract.summary import Causes, ClientSummary, Summary
from tests.asserts import known
from tests.integration.processes import System

PASS, INVALID, FAIL = 0, 98, 99
KINDS: tuple[Kind, ...] = ("drop", "duplicate", "swap", "corrupt", "header")
MISSING_KINDS: tuple[Kind, ...] = ("drop", "corrupt", "header")
"""Kinds whose records the summary has to report as missing."""
TIMES = (1, 3)
PATIENT = {"GRACE_SECONDS": 8, "SEND_SECONDS": 60}
"""Time for clients that receive late on a busy machine."""
LIVE = {"RATE": 200, "RECORDS": 1000}
REPLAY = {"RATE": 2400, "RECORDS": 10_500}
"""A high rate: the replay needs enough frames."""


def names(clients: int) -> list[str]:
    """Return the names of the clients of one process."""
    return [f"client.{number}" for number in range(1, clients + 1)]


def plans_for(positions: tuple[Position, ...], seed: int) -> dict[str, DamagePlan]:
    """Return a plan for each kind, number and position, by the name of its client."""
    cases = [(kind, times, position) for position in positions for kind in KINDS for times in TIMES]
    plans = [DamagePlan(kind, times, position, seed + number) for number, (kind, times, position) in enumerate(cases)]
    return dict(zip(names(len(plans)), plans, strict=True))


def run_through_proxy(
    folder: Path, plans: Mapping[str, DamagePlan], clients: int, **settings: object
) -> tuple[int, Summary, Proxy]:
    """Make a run through the proxy; return the exit code, the summary, and the proxy with the injected faults."""
    given = {**PATIENT, "CLIENTS": clients, **settings}
    with System(folder, **given) as system, Proxy(system.url, plans) as proxy:
        system.modules["client"] = "chaos.wire.patient_client"
        system.start("collector")
        system.server()
        system.client("client", SERVER_URL=proxy.url, CONNECTIONS=clients)
        code, text = system.wait()
        summary = system.volumes.summary()
        assert summary is not None, text
        assert [] == proxy.problems
        return code, summary, proxy


def reasons_but_late(summary: Summary) -> list[str]:
    """Return the reasons of a verdict without those for late processes, which a busy machine causes."""
    return [reason for reason in summary.reasons if not any(late in reason for late in LATE)]


def assert_no_alarm(code: int, summary: Summary) -> None:
    """Check that a run passed, or was at most too slow on a busy machine."""
    assert ([], []) == (reasons_but_late(summary), summary.faults)
    assert (code, summary.verdict) in ((PASS, "PASS"), (INVALID, "INVALID"))


def count_unnamed(damage: Damage, client: ClientSummary) -> int:
    """Return how many of a client's injected faults its summary does not report."""
    kind = damage.plan.kind
    if kind in MISSING_KINDS:
        reported = RangeSet((int(first), int(last)) for first, last in client.missing_ranges)
        return sum(bool(RangeSet([(fault.first, fault.last)]) - reported) for fault in damage.faults)
    # The summary has only a number of these, so subtract the records of each fault from it.
    left = known(client.duplicates) if kind == "duplicate" else known(client.reordered)
    lacking = 0
    for fault in damage.faults:
        left -= fault.last - fault.first + 1
        lacking += left < 0
    return lacking


def add_results(tally: Tally, proxy: Proxy, summary: Summary) -> None:
    """Add the injected faults, and the summary's counts beyond them, to the tally."""
    clients_by_name = {client.client: client for client in summary.clients}
    injected: dict[Kind, int] = dict.fromkeys(KINDS, 0)
    for name, damage in proxy.damages.items():
        injected[damage.plan.kind] += damage.count
        for fault in damage.faults:
            tally.add_fault(
                f"frame-{fault.kind}", f"{name} {damage.plan.position} {fault.first}-{fault.last}", beside=True
            )
    sums = summary.totals
    tally.add_checks(
        sums.received,
        lost=max(0, known(sums.missing) - sum(injected[kind] for kind in MISSING_KINDS)) + abs(known(sums.residual)),
        duplicated=max(0, known(sums.duplicates) - injected["duplicate"]),
        undetected=sum(count_unnamed(damage, clients_by_name[name]) for name, damage in proxy.damages.items()),
    )


def assert_untouched(client: ClientSummary, total: int) -> None:
    """Check that a client has every record once and no error."""
    assert ("finished", total, total) == (client.state, client.expected, client.received)
    counts = client.missing, client.duplicates, client.reordered, client.corrupt, client.residual
    assert (0, 0, 0, 0, 0) == counts
    assert Causes() == client.missing_by_cause


def assert_exactly(damage: Damage, client: ClientSummary, total: int) -> None:
    """Check that the summary of a client reports exactly the injected faults."""
    kind, hit = damage.plan.kind, damage.count
    assert damage.plan.times == len(damage.faults), damage.faults
    if damage.plan.position == "replay":
        assert all(fault.connection == 2 and fault.last <= damage.replayed_through for fault in damage.faults), (
            damage.faults
        )
    if damage.plan.position == "tail" and kind != "swap":
        assert total == damage.faults[-1].last
    is_missing = kind in MISSING_KINDS
    corrupt = hit if kind in ("corrupt", "header") else 0
    assert (damage.seqs().spans() if is_missing else []) == [tuple(span) for span in client.missing_ranges]
    assert Causes(sent_not_logged=hit if kind == "drop" else 0, corrupt_in_flight=corrupt) == client.missing_by_cause
    counts = client.missing, client.duplicates, client.reordered, client.corrupt
    assert (
        hit if is_missing else 0,
        hit if kind == "duplicate" else 0,
        hit if kind == "swap" else 0,
        corrupt,
    ) == counts
    assert ("finished", total, 0) == (client.state, client.expected, client.residual)


@pytest.mark.parametrize("positions", [("middle", "tail"), ("replay",)], ids="-and-".join)
def test_exactly_the_injected_faults_are_reported(
    positions: tuple[Position, ...], seed: int, tally: Tally, tmp_path: Path
) -> None:
    """Frames are damaged once and three times, each kind for its own client: the summary reports exactly these."""
    plans = plans_for(positions, seed)
    settings = REPLAY if positions == ("replay",) else LIVE
    code, summary, proxy = run_through_proxy(tmp_path, plans, len(plans) + 1, **settings)
    add_results(tally, proxy, summary)
    clients_by_name = {client.client: client for client in summary.clients}
    total = settings["RECORDS"]
    for name, damage in proxy.damages.items():
        assert_exactly(damage, clients_by_name.pop(name), total)
    (whole,) = clients_by_name.values()
    assert_untouched(whole, total)
    assert (FAIL, "FAIL", 0) == (code, summary.verdict, summary.totals.residual)
    assert {*plans} >= {reason.split(":")[0] for reason in reasons_but_late(summary)}, summary.reasons
    assert [] == summary.faults


def test_without_a_fault_there_is_no_alarm(tally: Tally, tmp_path: Path) -> None:
    """Through the same proxy without a plan every client has all records: PASS, no reason, no fault."""
    code, summary, proxy = run_through_proxy(tmp_path, {}, clients=3, **LIVE)
    sums = summary.totals
    tally.add_checks(
        sums.received,
        alarms=len(reasons_but_late(summary)) + len(summary.faults) + known(sums.missing) + known(sums.duplicates),
    )
    for client in summary.clients:
        assert_untouched(client, LIVE["RECORDS"])
    assert_no_alarm(code, summary)
    assert 3 <= proxy.connections


def test_a_cut_alone_is_no_damage(seed: int, tally: Tally, tmp_path: Path) -> None:
    """After ten connections are cut with hundreds of frames in flight, the replay restores everything: PASS."""
    plans = {name: DamagePlan("drop", 0, "replay", seed + number) for number, name in enumerate(names(10))}
    code, summary, proxy = run_through_proxy(tmp_path, plans, clients=10, **REPLAY)
    for name in plans:
        tally.add_fault("connection-cut", name, beside=True)
    add_results(tally, proxy, summary)
    assert all(damage.replayed_through >= SPAN for damage in proxy.damages.values())
    # A handshake that takes too long on a busy machine is tried again.
    assert 20 <= proxy.connections
    for client in summary.clients:
        assert_untouched(client, REPLAY["RECORDS"])
    assert_no_alarm(code, summary)
