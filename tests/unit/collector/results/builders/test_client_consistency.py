"""Tests of services/collector/results/builders/client_consistency.py; verdict/test_consistency.py has its sentences."""

from __future__ import annotations

from services.collector.results.build import build_result
from services.collector.results.client_result import ClientConsistency
from services.contract.rangeset import RangeSet
from tests.builders.runs import Files, fold, good_run, log_source


def consistency(files: Files, client: int = 0) -> ClientConsistency:
    """Return how far ledger and log of a client agree."""
    found = build_result(fold(files), final=True).clients[client].consistency
    assert found is not None
    return found


def test_a_good_client_has_nothing_that_contradicts() -> None:
    """A good client has a receipt for every block, and every session is sealed and known to both sides."""
    assert consistency(good_run()) == ClientConsistency(
        receipts=6, differing_receipts=(), is_subscribed=True, unsealed_sessions=(), sessions_without_file=(),
        fences_without_subscription=(), fences_granted_twice=(), conflicting_blocks=(), conflicting_lines=(),
        receipt_holes=RangeSet(),
    )  # fmt: skip


def test_a_session_without_file_and_seal_is_found() -> None:
    """A session that is in the ledger alone has no file, and the client's last session is not sealed."""
    files = good_run()
    del files[log_source("client-2", 2)]
    found = consistency(files, 1)

    assert (2,) == found.sessions_without_file


def test_nothing_is_compared_while_the_run_goes_on() -> None:
    """Nothing is compared while the run is open."""
    assert {None} == {client.consistency for client in build_result(fold(good_run()), final=False).clients}
