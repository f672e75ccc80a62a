"""Tests of services/collector/reconcile/checks.py; what each check makes of a run is shown in test_reconcile.py."""

from typing import Any

import msgspec

from services.collector.reconcile import onesided_checks
from services.collector.reconcile.accounts import accounts
from services.collector.reconcile.checks import CHECKS, FAILING, INVALIDATING, ask, missing_sentence
from services.contract import blocklog, ledger
from tests.unit.collector.books_factory import (
    Session,
    Writer,
    at,
    end,
    fold,
    good_ledger,
    good_run,
    good_sessions,
    judged,
    ledger_source,
    log_files,
    receipt,
    record,
)


def test_every_check_is_ranked() -> None:
    """Each question either fails the run or makes it invalid."""
    assert {*CHECKS, *onesided_checks.CHECKS} == {*FAILING, *INVALIDATING}
    assert "present" == next(iter(CHECKS))


def test_an_open_run_is_not_asked() -> None:
    """While a run is open all answers are null, in the same order."""
    checks, answers = ask(None, is_one_sided=False)

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
    (account,) = accounts(fold({ledger_source(): writer.lines, **log_files(session)}), final=True)

    assert "a is lost: 50 messages missing, 11–20 (sent, not logged); 21–60 (never sent)" == missing_sentence(account)


def sentence(*blocks: tuple[int, int], **of_the_second: Any) -> str:
    """Return what is said of a client that logged these blocks, a millisecond a message."""
    session = Session("a", 1, 1, 0, list(blocks), changes={2: of_the_second})
    writer = good_ledger([session], blocks[-1][1])
    writer.put(end(blocks[-1][1]))
    (account,) = accounts(fold({ledger_source(): writer.lines, **log_files(session)}), final=True)
    return missing_sentence(account)


def test_a_missing_sentence_tells_the_silence_around_it() -> None:
    """Where messages that were sent never came, it is said how long nothing came; of several gaps the longest."""
    assert "a: 3 messages missing, 11–13 (sent, not logged), during 4.0 ms of silence" == sentence((1, 10), (14, 20))
    assert "a: 13 messages missing, 11–13, 21–30 (sent, not logged), during up to 11.0 ms of silence" == sentence(
        (1, 10), (14, 20), (31, 40)
    )


def test_a_missing_sentence_tells_no_silence_that_was_none() -> None:
    """Out of order others may have come, before the first message nobody knows, and at one moment nothing is silent."""
    messages = [blocklog.Message(4, at(2), 1, 1, msgspec.Raw(record(4)))]
    together = {"messages": messages, "digest": blocklog.block_digest(messages)}

    assert "a: 3 messages missing, 11–13 (sent, not logged)" == sentence((1, 10), (14, 20), reordered=1)
    assert "a: 3 messages missing, 1–3 (sent, not logged)" == sentence((4, 20))
    assert "a: 1 message missing, 3 (sent, not logged)" == sentence((1, 2), (4, 4), **together)


def test_what_was_there_is_not_called_silence() -> None:
    """Records whose line was lost, or that came damaged, did come."""
    corrupt = {"corrupt": [(11, 13)], "missing": [(11, 13)]}

    assert "a: 3 messages missing, 11–13 (corrupt in flight)" == sentence((1, 10), (14, 20), **corrupt)


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
