"""Tests of services/collector/results/totals.py."""

from __future__ import annotations

from services.collector.results import totals as totals_of
from services.collector.results.build import build_result
from services.contract.summary import Causes
from tests.builders.external_runs import evidence_of, log, numbered_messages
from tests.builders.runs import Files, fold, good_run, log_source

SUMMED = ("expected", "received", "missing", "duplicates", "reordered", "corrupt", "residual", "bytes")


def holed() -> Files:
    """Return a run in which one client lacks a block that has a receipt."""
    files = good_run()
    del files[log_source("client-2")][2]
    return files


def test_the_whole_is_the_sum_of_the_clients() -> None:
    """Every total is the sum of the clients' values, and so is each cause."""
    clients = build_result(fold(holed()), final=True).clients
    totals = totals_of.totals(clients)

    assert totals.missing
    assert [getattr(totals, name) for name in SUMMED] == [sum(getattr(one, name) for one in clients) for name in SUMMED]
    assert Causes(receipted_not_logged=totals.missing) == totals_of.causes(clients)
    assert [Causes(), totals_of.causes(clients)] == [one.missing_by_cause for one in clients]


def test_the_longest_silence_is_one_clients() -> None:
    """The longest silence of a run is that of one client, and names it."""
    clients = build_result(fold(good_run()), final=True).clients
    found = totals_of.silence(clients)
    known = {client.client: client.silence.ns for client in clients if client.silence}

    assert found is not None
    assert max(known.values()) == found.duration_ns == known[found.client]
    assert totals_of.silence([]) is None


def test_a_sum_is_known_as_soon_as_one_client_knows_its_part() -> None:
    """A sum is known if any client knows its part."""
    clients = build_result(
        evidence_of(log("client-1", numbered_messages([1, 2, 4])), log("client-2", numbered_messages([None]))),
        final=True,
    ).clients
    unnumbered = totals_of.totals(clients[1:])

    assert (4, 1, 1, None) == (
        (found := totals_of.totals(clients)).expected, found.missing, totals_of.causes(clients).not_seen, found.residual
    )  # fmt: skip
    assert (None, None, 1) == (unnumbered.expected, unnumbered.missing, unnumbered.received)
    assert (0, None) == ((nothing := totals_of.totals([])).expected, nothing.restarts)
