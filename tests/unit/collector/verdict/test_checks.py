"""Tests of services/collector/verdict/checks.py; what each check makes of a run is shown in test_reconcile.py."""

from typing import Any

import msgspec

from services.collector.results.build import build_result
from services.collector.verdict.check_types import CheckAnswer
from services.collector.verdict.checks import (
    CHECKS,
    EXTERNAL_CHECKS,
    FAILING,
    INVALIDATING,
    ask,
    doubts,
    failures,
    missing_sentence,
)
from services.collector.verdict.summary import reconcile
from services.contract import block_text, blocklog, ledger
from tests.builders.runs import (
    Files,
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
    opening,
    receipt,
    record,
)


def test_every_check_is_ranked() -> None:
    """Each question either fails the run or makes it invalid."""
    assert {*CHECKS, *EXTERNAL_CHECKS} == {*FAILING, *INVALIDATING}
    assert "present" == next(iter(CHECKS))


def test_a_check_that_fails_is_never_silent() -> None:
    """A check that was answered with no and names no reason keeps a run from passing all the same."""
    answers = {"once": CheckAnswer(False, "2 duplicates"), "clocks": CheckAnswer(False, "one clock")}

    assert (["once: 2 duplicates"], ["clocks: one clock"]) == (failures(answers), doubts(answers))
    unknown = {"once": CheckAnswer(None, "no numbers"), "clocks": CheckAnswer(None, "not measured")}
    assert ([], []) == (failures(unknown), doubts(unknown))


def with_lines(*entries: ledger.Entry, clients: int = 2, sessions: list[Session] | None = None) -> Files:
    """Return a run, a good one of two clients unless others are given, with more lines behind the end of its ledger."""
    sessions = good_sessions() if sessions is None else sessions
    writer = good_ledger(sessions, clients=clients)
    for entry in (end(60), *entries):
        writer.put(entry)
    files: Files = {ledger_source(): writer.lines}
    for session in sessions:
        files.update(log_files(session))
    return files


def expect(clients: int, at_ms: int = 0) -> ledger.ExpectEntry:
    """Return the line that says how many clients the run waits for."""
    return ledger.ExpectEntry(at=at(at_ms), clients=clients, source="the started containers of service client")


def late(client: str) -> ledger.LateEntry:
    """Return the line of a client that asked to take part after the run had ended."""
    return ledger.LateEntry(at=at(100), client=client, instance="i")


def test_fewer_clients_than_expected_are_told_with_the_source_of_the_number() -> None:
    """The number in the ledger's own line replaces that of the open line, whichever is larger; the last one counts."""
    made = judged(with_lines(expect(3), clients=1))

    assert "FAIL" == made.verdict
    assert "2 clients finished, 3 expected (the started containers of service client)" == made.headline
    assert "PASS" == judged(with_lines(expect(3), expect(2, at_ms=1), clients=9)).verdict
    assert "FAIL" == judged(with_lines(clients=9)).verdict


def test_a_client_that_left_was_there() -> None:
    """Of the number that the server found a client that was stopped in mid-run is one; of ``CLIENTS`` it is not."""
    gone = Session("client-2", 1, 2, 0, [(1, 10)], reason="shutdown")
    sessions = [good_sessions()[0], gone]

    assert "PASS" == judged(with_lines(expect(2), clients=1, sessions=sessions)).verdict
    assert "FAIL" == judged(with_lines(expect(3), clients=1, sessions=sessions)).verdict
    assert "FAIL" == judged(with_lines(clients=2, sessions=sessions)).verdict


def test_the_headline_of_a_run_that_waits_tells_how_many_are_expected() -> None:
    """The number in the ledger's own line replaces that of the open line."""
    writer = Writer(ledger.codec)
    writer.put(opening(60, 1))
    writer.put(expect(10))

    assert "waiting: 0 of 10 clients" == reconcile(fold({ledger_source(): writer.lines}), final=False).headline


def test_a_client_that_came_too_late_fails_the_run() -> None:
    """It is named in the headline; it has no result."""
    made = judged(with_lines(late("client-10")))

    assert "FAIL" == made.verdict
    assert "client-10 came too late: it asked to take part after the run had ended" == made.headline
    assert ["client-1", "client-2"] == [client.client for client in made.clients]
    assert "2 clients finished, 1 came too late" == made.checks[0].detail


def test_a_client_that_came_too_late_is_named_behind_what_is_worse() -> None:
    """Two are both named, once each, even if the headline is about something else."""
    made = judged({**with_lines(late("client-4"), late("client-3"), late("client-4"), end(60, count=1))})

    assert made.headline.startswith("client-3, client-4 came too late: they asked")
    files = with_lines(late("client-3"), end(60, reason="abandoned"))
    made = judged(files)
    assert "INVALID" == made.verdict
    assert made.headline.startswith("the run was abandoned")
    assert made.headline.endswith("; client-3 came too late: it asked to take part after the run had ended")


def test_a_client_that_took_part_did_not_come_too_late() -> None:
    """It asked again when its connection broke after the end."""
    assert "PASS" == judged(with_lines(late("client-1"))).verdict


def test_an_open_run_is_not_asked() -> None:
    """While a run is open all answers are null, in the same order."""
    checks, answers = ask(None, "two-sided")

    assert list(CHECKS) == [check.name for check in checks]
    assert {} == answers


def test_a_missing_sentence_tells_ranges_and_causes_in_order() -> None:
    """The causes stand in the order of their seqs."""
    writer = Writer(ledger.codec)
    session = Session("a", 1, 1, 0, [(1, 10)], reason=None)
    for line in good_ledger([session], 60).lines:
        writer.put(ledger.codec.decode(line)[1])
    writer.put(ledger.SentEntry(at="", client="a", fence=1, through=20))
    writer.put(end(60))
    (client,) = build_result(fold({ledger_source(): writer.lines, **log_files(session)}), final=True).clients

    assert "a is lost: 50 messages missing, 11–20 (sent, not logged); 21–60 (never sent)" == missing_sentence(client)


def sentence(*blocks: tuple[int, int], **of_the_second: Any) -> str:
    """Return the sentence about a client that logged these blocks, a millisecond a message."""
    session = Session("a", 1, 1, 0, list(blocks), changes={2: of_the_second})
    writer = good_ledger([session], blocks[-1][1])
    writer.put(end(blocks[-1][1]))
    (client,) = build_result(fold({ledger_source(): writer.lines, **log_files(session)}), final=True).clients
    return missing_sentence(client)


def test_a_missing_sentence_tells_the_silence_around_it() -> None:
    """Where messages that were sent never came, it is said how long nothing came; of several gaps the longest."""
    assert "a: 3 messages missing, 11–13 (sent, not logged), during 4.0 ms of silence" == sentence((1, 10), (14, 20))
    assert "a: 13 messages missing, 11–13, 21–30 (sent, not logged), during up to 11.0 ms of silence" == sentence(
        (1, 10), (14, 20), (31, 40)
    )


def test_a_missing_sentence_tells_no_silence_that_was_none() -> None:
    """There is none with messages out of order, before the first message, or within one timestamp."""
    messages = [blocklog.OwnMessage(4, at(2), 1, 1, msgspec.Raw(record(4)))]
    together = {"messages": messages, "digest": block_text.block_digest(messages)}

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
