"""Tests of services/collector/results/build.py."""

from __future__ import annotations

from services.collector.results.build import build_result
from services.collector.results.client_result import NO_EXTERNAL_FACTS
from tests.builders.external_runs import evidence_of, log, numbered_messages
from tests.builders.runs import fold, good_run


def test_the_block_logs_state_which_kind_of_feed_it_is() -> None:
    """Clients of an external feed have its facts in their results; clients of the own feed have a consistency."""
    (external,) = build_result(evidence_of(log("client-1", numbered_messages([1]))), final=True).clients
    own = build_result(fold(good_run()), final=True).clients

    assert (True, False) == (external.external != NO_EXTERNAL_FACTS, external.consistency is not None)
    assert {(False, True)} == {(one.external != NO_EXTERNAL_FACTS, one.consistency is not None) for one in own}
