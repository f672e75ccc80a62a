"""Tests of services/collector/results/build.py."""

from __future__ import annotations

import pytest

from services.collector.results.build import awaits_a_seal, build_result
from services.collector.results.client_result import NO_EXTERNAL_FACTS
from services.contract import ledger
from tests.builders.external_runs import evidence_of, log, numbered_messages
from tests.builders.runs import (
    Files,
    Session,
    Writer,
    fold,
    good_run,
    ledger_source,
    log_files,
    log_source,
    opening,
    subscription,
)


def test_the_block_logs_state_which_kind_of_feed_it_is() -> None:
    """Clients of an external feed have its facts in their results; clients of the own feed have a consistency."""
    (external,) = build_result(evidence_of(log("client-1", numbered_messages([1]))), final=True).clients
    own = build_result(fold(good_run()), final=True).clients

    assert (True, False) == (external.external != NO_EXTERNAL_FACTS, external.consistency is not None)
    assert {(False, True)} == {(one.external != NO_EXTERNAL_FACTS, one.consistency is not None) for one in own}


def test_a_run_waits_for_clients_that_are_connected_or_finished() -> None:
    """A run waits for clients that are connected, or have the last record, to seal their logs."""
    sealed = good_run()
    open_log = good_run()
    del open_log[log_source("client-1", 1, 2)][-1]

    assert [False, True] == [awaits_a_seal(fold(files)) for files in (sealed, open_log)]


@pytest.mark.parametrize(("observe", "expected"), [(True, False), (False, True)])
def test_a_run_does_not_wait_for_observers(observe: bool, expected: bool) -> None:
    """A run waits for a connected client without a log, and not for an observer."""
    writer = Writer(ledger.codec)
    writer.put(opening(30, 1))
    writer.put(subscription(Session("a", 1, 1, 0, []), observe=observe))
    files: Files = {ledger_source(): writer.lines}

    assert awaits_a_seal(fold(files)) is expected


def test_a_client_of_an_external_feed_that_goes_on_is_not_waited_for() -> None:
    """A run does not wait for a client of an external feed whose log is open."""
    assert not awaits_a_seal(evidence_of(log("client-1", numbered_messages([1]), reason=None)))
    assert not awaits_a_seal(evidence_of(log("client-1", numbered_messages([1]))))
    assert not awaits_a_seal(fold(log_files(Session("a", 1, 1, 0, [(1, 10)]))))
