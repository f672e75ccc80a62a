"""Tests of services/collector/results/builders/common_facts.py."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.collector.evidence.ledger_evidence import ClientLedger
from services.collector.results.builders.common_facts import block_size, by_first_cause, ledger_facts
from services.contract.rangeset import RangeSet
from tests.builders.runs import fold, good_run, good_sessions, subscription

seqs = st.sets(st.integers(1, 30))


def ranges(numbers: set[int]) -> RangeSet:
    """Return a set of ranges."""
    return RangeSet.from_numbers(numbers)


@given(seqs, seqs, seqs)
def test_every_missing_record_has_the_first_cause_with_evidence(
    missing: set[int], one: set[int], two: set[int]
) -> None:
    """Each missing record has the first cause with evidence for it."""
    lost = by_first_cause(ranges(missing), {"one": ranges(one), "two": ranges(two)}, ("one", "two"))

    assert {"one": ranges(missing & one), "two": ranges((missing - one) & two)} == lost


def test_the_block_size_is_known_from_the_log_or_else_from_the_ledger() -> None:
    """The block size is that of the last session in the log, else that of the last subscription."""
    log = fold(good_run()).logs["client-2"]
    without_log = fold({}).ledger.client("client-2")
    without_log.add_subscription(subscription(good_sessions(size=7)[1]), "x1")

    assert 10 == block_size(log, ClientLedger())
    log.opens.clear()
    assert (7, None) == (block_size(log, without_log), block_size(log, ClientLedger()))


def test_the_facts_of_a_ledger_do_not_depend_on_the_order_of_its_files() -> None:
    """The ends of several servers are sorted, in any order of reading."""
    facts = ledger_facts(fold(good_run()).ledger)

    assert (60, 1000, 2, 1, ()) == (facts.total, facts.rate, facts.wanted, facts.end_variants, facts.feed_differences)
    assert [1_000_000] == [end.late_p99_ns for end in facts.ends]
