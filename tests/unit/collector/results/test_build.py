"""Tests of services/collector/results/build.py."""

from __future__ import annotations

from services.collector.results.build import build_result
from services.collector.results.client_result import NO_EXTERNAL_FACTS
from tests.builders.external_runs import books, heard, log
from tests.builders.runs import fold, good_run


def test_the_block_logs_say_which_kind_of_feed_it_is() -> None:
    """Clients of an external feed have its facts in their results; those of our own feed are compared with a ledger."""
    (external,) = build_result(books(log("client-1", heard([1]))), final=True).clients
    own = build_result(fold(good_run()), final=True).clients

    assert (True, False) == (external.external != NO_EXTERNAL_FACTS, external.consistency is not None)
    assert {(False, True)} == {(one.external != NO_EXTERNAL_FACTS, one.consistency is not None) for one in own}
