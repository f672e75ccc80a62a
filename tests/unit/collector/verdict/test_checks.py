"""Tests of services/collector/verdict/checks.py; test_reconcile.py tests what each check makes of a run."""

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
    """Each check is either in FAILING or in INVALIDATING."""
    assert {*CHECKS, *EXTERNAL_CHECKS} == {*FAILING, *INVALIDATING}
    assert "present" == next(iter(CHECKS))


def test_a_check_that_fails_is_never_silent() -> None:
    """A check that was answered with no and names no reason keeps a run from passing all the same."""
    answers = {"once": CheckAnswer(False, "2 duplicates"), "clocks": CheckAnswer(False, "one clock")}

    assert (["once: 2 duplicates"], ["clocks: one clock"]) == (failures(answers), doubts(answers))
    unknown = {"once": CheckAnswer(None, "no numbers"), "clocks": CheckAnswer(None, "not measured")}
    assert ([], []) == (failures(unknown), doubts(unknown))


def with_lines(*entries: ledger.Entry, clients: int = 2, sessions: list[Session] | None = None) -> Files:
    """Return a run, by default a good one of two clients, with more lines after the end of its ledger."""
    sessions = good_sessions() if sessions is None else sessions
    writer = good_ledger(sessions, clients=clients)
    for entry in (end(60), *entries):
        writer.put(entry)
    files: Files = {ledger_source(): writer.lines}
    for session in sessions:
        files.update(log_files(session))
    return files


def expect(clients: int, at_ms: int = 0) -> ledger.ExpectEntry:
    """Return the line with the number of clients that the run waits for."""
    return ledger.ExpectEntry(at=at(at_ms), clients=clients, source="the started containers of service client")


def late(client: str) -> ledger.LateEntry:
    """Return the line of a client that asked to take part after the run had ended."""
    return ledger.LateEntry(at=at(100), client=client, instance="i")


def test_fewer_clients_than_expected_are_reported_with_the_source_of_the_number() -> None:
    """The number in an `expect` line replaces that of the open line, larger or smaller; the last one counts."""
    made = judged(with_lines(expect(3), clients=1))

    assert "FAIL" == made.verdict
    assert "2 clients finished, 3 expected (the started containers of service client)" == made.headline
    assert "PASS" == judged(with_lines(expect(3), expect(2, at_ms=1), clients=9)).verdict
    assert "FAIL" == judged(with_lines(clients=9)).verdict


def test_a_client_that_left_was_there() -> None:
    """A client that left counts towards the number that the server found, not towards ``CLIENTS``."""
    gone = Session("client-2", 1, 2, 0, [(1, 10)], reason="shutdown")
    sessions = [good_sessions()[0], gone]

    assert "PASS" == judged(with_lines(expect(2), clients=1, sessions=sessions)).verdict
    assert "FAIL" == judged(with_lines(expect(3), clients=1, sessions=sessions)).verdict
    assert "FAIL" == judged(with_lines(clients=2, sessions=sessions)).verdict


def test_the_headline_of_a_run_that_waits_shows_how_many_are_expected() -> None:
    """The headline of a waiting run has the number of the `expect` line."""
    writer = Writer(ledger.codec)
    writer.put(opening(60, 1))
    writer.put(expect(10))

    assert "waiting: 0 of 10 clients" == reconcile(fold({ledger_source(): writer.lines}), final=False).headline


def test_a_client_that_came_too_late_fails_the_run() -> None:
    """A client that joined too late fails the run and is named in the headline; it has no result."""
    made = judged(with_lines(late("client-10")))

    assert "FAIL" == made.verdict
    assert "client-10 came too late: it asked to take part after the run had ended" == made.headline
    assert ["client-1", "client-2"] == [client.client for client in made.clients]
    assert "2 clients finished, 1 came too late" == made.checks[0].detail


def test_a_client_that_came_too_late_is_named_behind_what_is_worse() -> None:
    """Clients that joined too late are each named once, also in a headline about something else."""
    made = judged({**with_lines(late("client-4"), late("client-3"), late("client-4"), end(60, count=1))})

    assert made.headline.startswith("client-3, client-4 came too late: they asked")
    files = with_lines(late("client-3"), end(60, reason="abandoned"))
    made = judged(files)
    assert "INVALID" == made.verdict
    assert made.headline.startswith("the run was abandoned")
    assert made.headline.endswith("; client-3 came too late: it asked to take part after the run had ended")


def test_a_client_that_took_part_did_not_come_too_late() -> None:
    """A client that took part and asks again after the end did not join too late."""
    assert "PASS" == judged(with_lines(late("client-1"))).verdict


def test_an_open_run_is_not_asked() -> None:
    """The answers for an open run are all null, in the same order."""
    checks, answers = ask(None, "two-sided")

    assert list(CHECKS) == [check.name for check in checks]
    assert {} == answers


def test_a_missing_sentence_shows_ranges_and_causes_in_order() -> None:
    """The sentence about missing messages has the causes in the order of their seqs."""
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


def test_a_missing_sentence_shows_the_silence_around_it() -> None:
    """The sentence has the silence around messages that were sent and not logged; of several gaps the longest."""
    assert "a: 3 messages missing, 11–13 (sent, not logged), during 4.0 ms of silence" == sentence((1, 10), (14, 20))
    assert "a: 13 messages missing, 11–13, 21–30 (sent, not logged), during up to 11.0 ms of silence" == sentence(
        (1, 10), (14, 20), (31, 40)
    )


def test_a_missing_sentence_shows_no_silence_that_was_none() -> None:
    """The sentence has no silence for messages out of order, before the first message, or within one timestamp."""
    messages = [blocklog.OwnMessage(4, at(2), 1, 1, msgspec.Raw(record(4)))]
    together = {"messages": messages, "digest": block_text.block_digest(messages)}

    assert "a: 3 messages missing, 11–13 (sent, not logged)" == sentence((1, 10), (14, 20), reordered=1)
    assert "a: 3 messages missing, 1–3 (sent, not logged)" == sentence((4, 20))
    assert "a: 1 message missing, 3 (sent, not logged)" == sentence((1, 2), (4, 4), **together)


def test_what_was_there_is_not_called_silence() -> None:
    """The sentence has no silence around records whose line was damaged, or that were damaged on the way."""
    corrupt = {"corrupt": [(11, 13)], "missing": [(11, 13)]}

    assert "a: 3 messages missing, 11–13 (corrupt in flight)" == sentence((1, 10), (14, 20), **corrupt)


def test_a_receipt_that_differs_from_the_log_is_reported() -> None:
    """A receipt with another digest or count than its block, or that the server found different, fails the check."""
    for change in ({"digest": "x00000000"}, {"count": 3}, {"match": False}):
        sessions = good_sessions()
        writer = good_ledger(sessions)
        last = sessions[0].blocks[0]
        writer.put(receipt(sessions[0], 1, *last, **change))
        writer.put(end(60))
        made = judged({**good_run(), ledger_source(): writer.lines})

        assert "FAIL" == made.verdict
        assert "client-1: 1 receipt differs from the feed or the log: session 1 block 1" == made.headline
