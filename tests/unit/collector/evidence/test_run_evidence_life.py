"""Tests of the life of a run in services/collector/evidence/run_evidence.py."""

from services.collector.evidence.run_evidence import LedgerLife, LogsLife, RunEvidence
from tests.builders.external_runs import evidence_of, log, numbered_messages
from tests.builders.runs import RUN, START_US, at, fold, good_run, log_source


def test_the_ledger_records_the_life_of_an_own_run() -> None:
    """An own run begins with its first due time and ends with the ledger's end, not with the clients' messages."""
    evidence = fold(good_run())
    life = evidence.life

    assert isinstance(life, LedgerLife)
    assert ("ended", START_US) == (life.state, life.started_us)
    assert evidence.ledger.end is not None
    assert life.ended_at == evidence.ledger.end.at
    assert (True, True, False) == (life.is_finished, life.admits_late_clients, life.lacks_ledger)


def test_the_logs_record_the_life_of_an_external_run() -> None:
    """An external run lasts from the first record of any client to the last one, and ends once all logs are sealed."""
    sealed, running = (
        log("client-1", numbered_messages([1, 2])),
        log("client-2", numbered_messages([1, 2, 3]), reason=None),
    )
    life = evidence_of(sealed, running).life

    assert isinstance(life, LogsLife)
    assert ("running", START_US, at(0)[:-8]) == (life.state, life.started_us, str(life.ended_at)[:-8])
    assert (True, False, False) == (life.is_finished, life.admits_late_clients, life.lacks_ledger)
    assert "ended" == evidence_of(sealed).state


def test_a_stopped_external_run_is_not_finished() -> None:
    """An external run whose clients were stopped is not finished."""
    assert not evidence_of(log("client-1", numbered_messages([1]), reason="shutdown")).life.is_finished


def test_a_log_without_any_ledger_lacks_it() -> None:
    """Only a log under a subscription lacks a ledger."""
    files = {source: lines for source, lines in good_run().items() if source.client}

    assert fold(files).lacks_ledger
    assert not fold({log_source("client-1"): []}).lacks_ledger
    assert not RunEvidence(RUN).lacks_ledger
