"""Tests of services/collector/reconcile/checks.py; what each check makes of a run is shown in test_reconcile.py."""

from services.collector.reconcile.account import accounts
from services.collector.reconcile.checks import CHECKS, FAILING, INVALIDATING, ask, missing_sentence
from services.contract import ledger
from tests.unit.collector.books_factory import (
    Session,
    Writer,
    end,
    fold,
    good_ledger,
    good_run,
    good_sessions,
    judged,
    ledger_source,
    log_files,
    receipt,
)


def test_every_check_is_ranked() -> None:
    """Each question either fails the run or makes it invalid."""
    assert set(CHECKS) == {*FAILING, *INVALIDATING}
    assert "present" == next(iter(CHECKS))


def test_an_open_run_is_not_asked() -> None:
    """While a run is open all answers are null, in the same order."""
    checks, answers = ask(None)

    assert list(CHECKS) == [check.name for check in checks]
    assert {} == answers


def test_a_missing_sentence_tells_ranges_and_causes_in_order() -> None:
    """The causes stand in the order of their seqs."""
    writer = Writer(ledger.codec)
    session = Session("a", 1, 1, 0, [(1, 10)], reason=None)
    for line in good_ledger([session], 60).lines:
        writer.put(ledger.codec.decode(line)[1])
    writer.put(ledger.Sent(at="", client="a", fence=1, through=20))
    writer.put(end(60))
    (account,) = accounts(fold({ledger_source(): writer.lines, **log_files(session)}))

    assert "a is lost: 50 messages missing, 11–20 (sent, not logged); 21–60 (never sent)" == missing_sentence(account)


def test_a_receipt_that_differs_from_the_log_is_told() -> None:
    """A digest or a count other than the block's, or the server's own word, fails the check."""
    for change in ({"digest": "x00000000"}, {"count": 3}, {"match": False}):
        sessions = good_sessions()
        writer = good_ledger(sessions)
        last = sessions[0].blocks[0]
        writer.put(receipt(sessions[0], 1, *last, **change))
        writer.put(end(60))
        made = judged({**good_run(), ledger_source(): writer.lines})

        assert "FAIL" == made.verdict
        assert "client-1: 1 receipt differs from the feed or the log: session 1 block 1" == made.headline
