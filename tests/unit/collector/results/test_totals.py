"""Tests of services/collector/results/totals.py."""

from __future__ import annotations

from services.collector.results import totals as totals_of
from services.collector.results.client_result_external import accounts
from services.contract.summary import Causes, Quantiles
from tests.builders.runs import Files, fold, good_run, log_source

SUMMED = ("expected", "received", "missing", "duplicates", "reordered", "corrupt", "residual", "bytes")


def holed() -> Files:
    """Return books in which one client lacks a block that it has receipted."""
    files = good_run()
    del files[log_source("client-2")][2]
    return files


def test_the_whole_is_the_sum_of_the_clients() -> None:
    """Every count of the totals is the sum of the clients' own, and each cause's as well."""
    every = accounts(fold(holed()), final=True)
    clients = [totals_of.client(account, scheduled=True) for account in every]
    totals = totals_of.totals(every)

    assert totals.missing
    assert [getattr(totals, name) for name in SUMMED] == [sum(getattr(one, name) for one in clients) for name in SUMMED]
    assert Causes(receipted_not_logged=totals.missing) == totals_of.causes(every)
    assert [Causes(), totals_of.causes(every)] == [one.missing_by_cause for one in clients]


def test_without_a_schedule_a_client_is_not_late() -> None:
    """How long messages were on their way is told all the same."""
    (account, _) = accounts(fold(good_run()), final=True)
    client = totals_of.client(account, scheduled=False)

    assert Quantiles() == client.latency_ns
    assert client.transit_ns.p50 is not None


def test_the_longest_silence_is_one_clients() -> None:
    """It is the longest of any, and names whose it is."""
    every = accounts(fold(good_run()), final=True)
    found = totals_of.silence(every)
    known = {account.client: account.silence.ns for account in every if account.silence}

    assert found is not None
    assert max(known.values()) == found.duration_ns == known[found.client]
    assert totals_of.silence([]) is None
