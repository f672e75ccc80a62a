"""Tests of the checks whether clients of an external feed were connected and received records until the end."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from services.collector.scan import Source
from services.collector.verdict.checks_connection import SETTING
from services.collector.verdict.summary import reconcile
from services.contract.blocklog import ExternalMessage, Stall
from services.contract.scalars import utc_text
from services.contract.summary import Check, Summary
from tests.builders.external_runs import Happened, evidence_of, log, message
from tests.builders.runs import START_US, good_run, judged

OPENED: Happened = ("opened", 0.0)
GONE: Happened = ("closed", 2.0, 1006, "no close frame received")
REFUSED: Happened = ("refused", 3.0, 503, "HTTP 503: gone")
UNTIL_US = START_US + 8_000_000
SEALED: Happened = ("sealed", 8.0)
Files = dict[Source, list[bytes]]


def at(seconds: float, seq: int, *, key: str | None = None, other: bool = False) -> ExternalMessage:
    """Return the record of a number that was received some seconds after the start."""
    made = message(seq, round(seconds * 100), key=key)
    return msgspec.structs.replace(made, record=msgspec.Raw(b'{"other":%d}' % seq)) if other else made


def each(
    first_s: float, last_s: float, step_s: float = 0.1, start: int = 1, *, other: bool = False
) -> list[ExternalMessage]:
    """Return records at a steady rate, with numbers from ``start`` on."""
    count = round((last_s - first_s) / step_s) + 1
    return [at(first_s + place * step_s, start + place, other=other) for place in range(count)]


def summary_of(*logs: Files) -> Summary:
    """Return the summary of a run that is over."""
    return reconcile(evidence_of(*logs), final=True)


def check(name: str, made: Summary) -> Check:
    """Return the answer of one check."""
    return next(one for one in made.checks if one.name == name)


def client(
    name: str, *course: Any, until_us: int | None = UNTIL_US, silence_s: float | None = None, **more: Any
) -> Files:
    """Return the log of a client with these connections; the feed's own rhythm sets the limit."""
    return log(name, until_us=until_us, silence_s=silence_s, course=course, **more)


def test_a_client_that_is_connected_and_receives_to_its_end_passes() -> None:
    """A client that is connected and receives to its end passes, and no reconnect is mentioned."""
    made = summary_of(client("client-1", OPENED, each(0, 7.9), SEALED))

    assert ("PASS", []) == (made.verdict, made.reasons)
    assert "every client was connected to its end" == check("connected", made).detail
    assert (True, "the last records came 100.0 ms before the end") == (
        (found := check("receiving", made)).ok,
        found.detail,
    )


@pytest.mark.parametrize(
    ("after", "sentence"),
    [
        ([], "last close 1006 no close frame received"),
        ([REFUSED], "last close 1006 no close frame received, then HTTP 503: gone (1 failed attempt)"),
        (
            [REFUSED, ("refused", 5.0, None, "connection refused")],
            "last close 1006 no close frame received, then connection refused (2 failed attempts)",
        ),
    ],
)
def test_a_client_that_is_not_connected_at_the_end_fails_the_run(after: list[Happened], sentence: str) -> None:
    """The reason names a disconnected client, the seconds, the last close and the last error."""
    made = summary_of(client("client-1", OPENED, each(0, 2), GONE, *after, SEALED))

    assert "FAIL" == made.verdict
    assert f"client-1 was not connected when the run ended: away for 6.0 s, {sentence}" == made.headline
    assert check("connected", made).ok is False


def test_a_connection_that_brings_nothing_does_not_end_an_absence() -> None:
    """A connection without records does not end an absence."""
    flapping: list[Happened] = [("opened", 4.0), ("closed", 4.1, 4401, "expired"), ("opened", 6.0)]
    made = summary_of(client("client-1", OPENED, each(0, 2), GONE, *flapping, ("closed", 6.1, 4401, "expired"), SEALED))

    failure = "last close 4401 expired (2 connections without a record)"
    assert f"client-1 was not connected when the run ended: away for 6.0 s, {failure}" == made.headline


def test_a_client_that_never_got_a_connection_fails_the_run() -> None:
    """A client that was never connected fails the run, and is named with the error."""
    made = summary_of(
        client("client-1", OPENED, each(0, 7.9), SEALED), client("client-2", ("refused", 0.0, 401, "no"), SEALED)
    )

    assert ("FAIL", "client-2 was never connected in 8.0 s, HTTP 401: no (1 failed attempt)") == (
        made.verdict,
        made.headline,
    )


@pytest.mark.parametrize(
    ("course", "why"),
    [
        ([("refused", 1.0, 401, "HTTP 401: unauthorized")], "client-1: HTTP 401: unauthorized (1 failed attempt)"),
        ([("refused", 1.0, None, "connection refused")], "client-1: connection refused (1 failed attempt)"),
        ([OPENED, ("closed", 0.1, 4401, "token expired")], "client-1: last close 4401 token expired"),
        ([OPENED], "client-1: connected, and no record came"),
    ],
)
def test_where_nothing_was_measured_the_headline_states_why(course: list[Happened], why: str) -> None:
    """The headline of a run without any message has the reason: not reached, refused, or no record received."""
    made = summary_of(client("client-1", *course, SEALED))

    assert ("INVALID", f"nothing was measured: no client logged a message; {why}") == (made.verdict, made.headline)


def test_clients_with_the_same_failure_are_named_together() -> None:
    """Clients that were refused alike are in one sentence, which says how often where that is equal."""
    refused = ("refused", 1.0, 401, "HTTP 401: no")
    alike = summary_of(client("client-1", refused, SEALED), client("client-2", refused, SEALED))
    more = summary_of(
        client("client-1", refused, SEALED), client("client-2", refused, ("refused", 2.0, *refused[2:]), SEALED)
    )

    assert [
        "nothing was measured: no client logged a message; client-1, client-2: HTTP 401: no (1 failed attempt)",
        "nothing was measured: no client logged a message; client-1, client-2: HTTP 401: no",
    ] == [alike.headline, more.headline]


def test_messages_without_numbers_are_explained_by_the_close() -> None:
    """A server that sends an error message and closes has its reason beside the path that found nothing."""
    error = [msgspec.structs.replace(at(0.1, 1), seq=None)]
    made = summary_of(client("client-1", OPENED, error, ("closed", 0.2, 4401, "token expired"), SEALED, seq="$.seq"))
    sentence = "client-1: none of its 1 message has a number at $.seq that can be used"

    assert f"{sentence}; last close 4401 token expired" == made.headline
    assert sentence == summary_of(client("client-1", OPENED, error, SEALED, seq="$.seq")).headline


def test_a_connected_client_without_records_makes_the_run_invalid() -> None:
    """A silence beyond the feed's rhythm makes the run INVALID; the reason has seconds, limit and its source."""
    made = summary_of(client("client-1", OPENED, each(0, 2), SEALED))

    assert "INVALID" == made.verdict
    assert (
        "client-1 received no record for the last 6.0 s: more than 5.0 s, the larger of 5.0 s and 3 times the longest"
        f" earlier interval between records, 100.0 ms; {SETTING} sets another limit"
    ) == made.headline


@pytest.mark.parametrize(("silence_s", "verdict"), [(5.5, "INVALID"), (7.0, "PASS")])
def test_the_operators_limit_comes_before_the_rhythm(silence_s: float, verdict: str) -> None:
    """FEED_SILENCE has precedence over the rhythm, and holds without one."""
    for records in (each(0, 2), [at(2, 1)]):
        made = summary_of(client("client-1", OPENED, records, SEALED, silence_s=silence_s))

        assert verdict == made.verdict
        assert (
            made.verdict == "PASS"
            or "client-1 received no record for the last 6.0 s: more than the 5.5 s" in made.headline
        )


def test_a_steady_feed_that_stops_in_a_short_run_is_no_pass() -> None:
    """A feed of a hundred records a second is silent after two seconds, in a run that is shorter than five."""
    made = summary_of(client("client-1", OPENED, each(0, 2.5, 0.01), ("sealed", 5.0), until_us=None))

    assert "INVALID" == made.verdict
    assert (
        "client-1 received no record for the last 2.5 s: more than 2.0 s, the larger of 2.0 s and 10 times the longest"
        " earlier interval between records, 10.0 ms"
    ) in made.headline


def test_a_slow_feed_sets_its_own_limit() -> None:
    """A silence of up to three times the longest earlier interval passes."""
    slow = [at(0, 1), at(1, 2), at(3.5, 3), at(4, 4)]

    assert "PASS" == summary_of(client("client-1", OPENED, slow, ("sealed", 11.4))).verdict
    assert "INVALID" == summary_of(client("client-1", OPENED, slow, ("sealed", 11.6))).verdict


def test_with_fewer_than_three_intervals_the_rhythm_is_unknown() -> None:
    """With fewer than three intervals the run is INVALID, and the reason names FEED_SILENCE."""
    batch = [message(seq, 100) for seq in range(1, 20)]
    for records in (batch, [at(1, 1), at(2, 2), at(3, 3)]):
        made = summary_of(client("client-1", OPENED, records, SEALED))

        assert "INVALID" == made.verdict
        assert "the feed's rhythm is not known" in made.headline
        assert f"set {SETTING}" in made.headline
    assert (
        "PASS"
        == summary_of(client("client-1", OPENED, [at(4 + 0.5 * seq, seq) for seq in range(1, 5)], SEALED)).verdict
    )


def test_a_client_that_never_got_as_far_as_asking_proves_nothing() -> None:
    """A client without an attempt that could be answered makes the run INVALID; one that was refused, FAIL."""
    why = "no attempt was made: FEED_CONNECTS permits 5 a second"
    served, waited = client("client-1", OPENED, each(0, 7.9), SEALED), client("client-2", ("sealed", 8.0, None, why))
    refused = client("client-3", REFUSED, SEALED)

    made, other = summary_of(served, waited), summary_of(served, waited, refused)

    assert ("INVALID", f"client-2 was never connected in 8.0 s: {why}") == (made.verdict, made.headline)
    assert (None, "1 client not connected at the end") == (check("connected", made).ok, check("connected", made).detail)
    assert ("FAIL", "client-3 was never connected in 8.0 s, HTTP 503: gone (1 failed attempt)") == (
        other.verdict,
        other.headline,
    )
    assert f"nothing was measured: no client logged a message; client-2: {why}" == summary_of(waited).headline
    many = [client(f"client-{number}", ("sealed", 8.0, None, why)) for number in range(2, 7)]
    names = "client-2, client-3, client-4, client-5, client-6"
    assert f"{names} were never connected in 8.0 s: {why}" == summary_of(served, *many).headline


@pytest.mark.parametrize(
    ("opened_s", "records"),
    [(0.0, each(7.5, 7.9)), (5.0, each(0, 3))],
    ids=["in flight at the end", "before the connection"],
)
def test_records_that_a_client_could_not_receive_are_no_proof(opened_s: float, records: list[ExternalMessage]) -> None:
    """Records of others before a client's connection, or in the last second, do not show that it lacks some."""
    served = client("client-1", OPENED, records, SEALED, silence_s=100)
    made = summary_of(served, client("client-2", ("opened", opened_s), SEALED))

    remedy = f"set FEED_HELLO if it waits for a message first, else {SETTING}"
    assert f"client-2 received no record at all, so the feed's rhythm is not known: {remedy}" in made.reasons


def test_an_ended_feed_without_records_is_compared_with_others() -> None:
    """A client whose feed ended without a record makes the run INVALID if others received some meanwhile."""
    made = summary_of(
        client("client-1", OPENED, each(0, 7.9), SEALED),
        client("client-2", OPENED, ("ended", 7.9, 1000, "done"), SEALED),
    )

    assert ("INVALID", "client-2 received no record at all, though client-1 did while it was there") == (
        made.verdict,
        made.headline,
    )


def test_a_client_that_received_nothing_at_all_makes_the_run_invalid() -> None:
    """A client that received nothing while others did makes the run INVALID, with any limit."""
    served = client("client-1", OPENED, each(0, 7.9), SEALED)
    for silence_s in (None, 100):
        made = summary_of(served, client("client-2", OPENED, SEALED, silence_s=silence_s))

        assert ("INVALID", "client-2 received no record at all, though client-1 did while it was there") == (
            made.verdict,
            made.headline,
        )


@pytest.mark.parametrize("reason", ["finished", "shutdown"])
def test_a_client_without_records_and_without_a_known_end_is_no_pass(reason: Any) -> None:
    """A log that says neither when its client ended nor that it received anything proves nothing of that client."""
    made = summary_of(
        log("client-1", each(0, 7.9), until_us=None, reason=reason),
        log("client-2", until_us=None, reason=reason, has_connection_lines=False),
    )

    assert "INVALID" == made.verdict
    assert "client-2 received no record at all, though client-1 did" in made.reasons


def test_a_named_end_is_no_absence() -> None:
    """A feed that ended by FEED_END is neither absent nor silent."""
    end: Happened = ("ended", 2.0, 1000, "done")
    made = summary_of(client("client-1", OPENED, [at(1, 1), at(2, 2)], end, SEALED))

    assert "PASS" == made.verdict
    assert "every client was connected to its end; 1 client ended as FEED_END says" == check("connected", made).detail


def test_a_named_end_answers_for_what_others_had_before_it() -> None:
    """Records that another client had a second before the end are missing; later ones are not."""
    ended = client("client-1", OPENED, each(0, 1), ("ended", 4.05), SEALED)
    made = summary_of(ended, client("client-2", OPENED, each(0, 7.9), SEALED))

    assert ("FAIL", [(12, 30)]) == (made.verdict, made.clients[0].missing_ranges)


def test_a_client_that_is_stopped_is_judged_up_to_then() -> None:
    """A stopped client is judged until its seal, not until the end of the run."""
    other = client("client-2", OPENED, each(0, 7.9), SEALED)
    stopped = client("client-1", OPENED, each(0, 3), ("sealed", 3.1), reason="shutdown")
    absent = client("client-1", OPENED, each(0, 2), GONE, ("sealed", 3.0), reason="shutdown")

    assert "PASS" == summary_of(stopped, other).verdict
    assert (
        "client-1 was not connected when it was stopped: away for 1.0 s, last close 1006 no close frame received"
        in (summary_of(absent, other).reasons)
    )


def test_without_an_end_of_the_run_each_client_is_judged_at_its_own_seal() -> None:
    """With FEED_SECONDS=0 each client is judged until its own seal."""
    early = client("client-1", OPENED, each(0, 3), ("sealed", 3.1), reason="shutdown", until_us=None)
    deaf = client("client-1", OPENED, each(0, 1), ("sealed", 7.0), reason="shutdown", until_us=None)
    late = client("client-2", OPENED, each(0, 7.9), SEALED, reason="shutdown", until_us=None)

    assert "PASS" == summary_of(early, late).verdict
    assert ("FAIL", [(12, 60)]) == ((made := summary_of(deaf, late)).verdict, made.clients[0].missing_ranges)


def test_a_short_reconnect_that_lost_nothing_passes_and_is_shown() -> None:
    """A short reconnect without a loss on a shared stream passes and is mentioned."""
    again: list[Any] = [("closed", 2.05, 1001, "away"), ("opened", 2.45), each(2.5, 7.9, start=22), SEALED]
    made = summary_of(client("client-1", OPENED, each(0, 2), *again))

    assert "PASS" == made.verdict
    assert (
        "every client was connected to its end; 1 reconnect, at most 400.0 ms away" == check("connected", made).detail
    )


def test_an_absence_on_a_feed_that_counts_each_connection_makes_the_run_invalid() -> None:
    """An absence on a feed that is numbered per connection is INVALID, and the reason names the seconds."""
    again: list[Any] = [GONE, ("opened", 3.5), each(3.6, 7.9, other=True), SEALED]
    made = summary_of(client("client-1", OPENED, each(0, 2), *again))
    why = "client-1 was away in mid-run for 1.5 s, and the feed's numbers begin again with each connection"

    assert ("INVALID", True) == (made.verdict, made.headline.startswith(why))
    assert (None, True) == ((found := check("complete", made)).ok, why in found.detail)


def test_an_absence_between_two_processes_counts_like_one_between_connections() -> None:
    """A client that was stopped and started again was absent from its seal on."""
    first = client("client-1", OPENED, each(0, 2), ("sealed", 2.1), reason="shutdown")
    second = client("client-1", ("opened", 4.1), each(4.2, 7.9, other=True), SEALED, session=2)

    assert "client-1 was away in mid-run for 2.0 s, and" in summary_of(first, second).headline


def test_a_fact_comes_before_what_an_absence_leaves_open() -> None:
    """Records missing within one connection fail the run, and the sentence adds that more may be missing."""
    records = [one for one in each(0, 2) if one.seq != 7]
    again: list[Any] = [GONE, ("opened", 3.5), each(3.6, 7.9, other=True), SEALED]
    made = summary_of(client("client-1", OPENED, records, *again))

    assert "FAIL" == made.verdict
    assert "client-1: 1 message missing, 7 before the numbers began again (1 seen by no client)" == made.headline
    assert any("was away in mid-run" in reason for reason in made.reasons)


UNANSWERED = "the greeting is unanswered: nothing matched /ok/ within 10 s"


def test_a_client_without_records_is_explained_by_its_connection() -> None:
    """What the log says of a greeting, a close or a refusal is the reason, and no proposal of a longer silence."""
    served = client("client-1", OPENED, each(0, 7.9), SEALED)
    unanswered = client("client-2", OPENED, ("sealed", 8.0, None, UNANSWERED))
    closed = client("client-2", OPENED, ("closed", 3.0, 1002, UNANSWERED), ("opened", 3.5), SEALED)
    alone = client("client-1", ("refused", 0.5, 503, "HTTP 503: warming up"), ("opened", 1.0), SEALED)

    assert f"client-2 received no record at all, though client-1 did while it was there: {UNANSWERED}" == (
        summary_of(served, unanswered).headline
    )
    assert summary_of(served, closed).headline.endswith(f"did while it was there: last close 1002 {UNANSWERED}")
    assert summary_of(alone).headline.endswith(
        "client-1: connected at last, after HTTP 503: warming up, and no record came"
    )
    assert not any(
        SETTING in one for logs in ((served, unanswered), (served, closed)) for one in summary_of(*logs).reasons
    )


def test_a_silence_after_a_reconnect_is_explained_by_its_close() -> None:
    """If the last connection brought no record, the reason of the close before it is that of the silence."""
    course = (OPENED, each(0, 2.9), ("closed", 3.0, 1012, "moved"), ("opened", 3.2))
    silent = summary_of(client("client-1", *course, ("sealed", 20.0), until_us=None))
    greeted = summary_of(client("client-1", *course, ("sealed", 20.0, None, UNANSWERED), until_us=None))

    assert "client-1 received no record for the last 17.1 s: last close 1012 moved" in silent.reasons
    assert f"client-1 received no record for the last 17.1 s: last close 1012 moved, then {UNANSWERED}" in (
        greeted.reasons
    )


def test_logs_without_connection_lines_are_judged_by_the_runs_end() -> None:
    """A log without connection lines does not say how long its client was connected: no pass; silence is judged."""
    heard_out, deaf = (
        summary_of(log("client-1", each(0, last), until_us=UNTIL_US, silence_s=None, has_connection_lines=False))
        for last in (7.9, 2.0)
    )
    lines = "client-1: its log has no line about a connection, so for how long it was connected is not known"

    assert ("INVALID", None, [lines]) == (heard_out.verdict, check("connected", heard_out).ok, heard_out.reasons)
    assert deaf.reasons[1].startswith("client-1 received no record for the last 6.0 s")


def test_a_log_that_lacks_the_last_connection_line_is_no_pass() -> None:
    """A log without the last line of its connection does not pass."""
    made = summary_of(client("client-1", OPENED, each(0, 7.9)))

    assert ("INVALID", "client-1: its log does not say whether it was connected when its run ended") == (
        made.verdict,
        made.headline,
    )


def test_a_lost_client_stays_lost() -> None:
    """A log that is not sealed fails the check `present`, and no other."""
    made = summary_of(client("client-1", OPENED, each(0, 2), GONE, reason=None))

    assert ("FAIL", "lost, log not closed: client-1") == (made.verdict, made.headline)
    assert (None, "no client closed its log") == ((found := check("connected", made)).ok, found.detail)


def test_a_run_of_our_own_feed_is_not_asked() -> None:
    """The two checks do not exist for the own feed."""
    assert not {"connected", "receiving"} & {one.name for one in judged(good_run()).checks}


def test_records_without_a_number_have_a_rhythm() -> None:
    """A feed without numbers has a rhythm, and may be silent."""
    unnumbered = [message(None, place * 10) for place in range(20)]

    assert "INVALID" == summary_of(client("client-1", OPENED, unnumbered, SEALED)).verdict


def test_messages_without_a_number_are_no_records_of_a_feed_with_numbers() -> None:
    """A feed with numbers is silent though messages without one come, such as heartbeats; the reason counts these."""
    heartbeats = [message(None, 250 + 50 * place) for place in range(11)]

    made = summary_of(client("client-1", OPENED, [*each(0, 2), *heartbeats], SEALED, seq="$.seq"))

    assert "INVALID" == made.verdict
    assert (
        "client-1 received no record with a number for the last 6.0 s, though 11 messages without one came: more than"
        " 5.0 s"
    ) in made.headline


def test_heartbeats_of_a_feed_that_stopped_leave_its_last_records_in_flight() -> None:
    """What another client received last when the whole feed stopped was in flight, though heartbeats still come."""
    heartbeats = [message(None, 250 + 50 * place) for place in range(11)]
    logs = [client(name, OPENED, [*each(0, last_s), *heartbeats], SEALED, seq="$.seq")
            for name, last_s in (("client-1", 2), ("client-2", 2.1))]  # fmt: skip

    assert ("INVALID", 0) == ((made := summary_of(*logs)).verdict, made.totals.missing)


def test_a_message_without_a_number_does_not_divide_an_interval() -> None:
    """The rhythm of a feed with numbers is that of its numbered records, whatever comes between, in any blocks."""
    slow = [at(0, 1), at(2, 2), at(4, 3), at(6, 4)]
    mixed = [one for record in slow for one in (record, *[message(None, 1000)] * 7)]

    made = summary_of(client("client-1", OPENED, mixed, ("sealed", 11.9), seq="$.seq", until_us=None))

    assert check("receiving", made).ok
    assert "INVALID" == summary_of(client("client-1", OPENED, mixed, ("sealed", 12.1), seq="$.seq")).verdict


def test_what_others_had_last_when_the_whole_feed_stopped_was_in_flight() -> None:
    """If all clients receive nothing more, the last records were in flight: INVALID; if one does, the run fails."""
    behind, ahead = client("client-1", OPENED, each(0, 2), SEALED), client("client-2", OPENED, each(0, 2.1), SEALED)
    served = client("client-2", OPENED, each(0, 7.9), SEALED)

    assert "INVALID" == summary_of(behind, ahead).verdict
    assert ("FAIL", [(22, 70)]) == ((made := summary_of(behind, served)).verdict, made.clients[0].missing_ranges)


CUT: Happened = ("closed", 3.0, 1012, "service restart")
AGAIN: Happened = ("opened", 4.0)


def stalled(until_s: float) -> dict[str, Any]:
    """Return the fields of an end line that names two seconds without reading before this time."""
    started_us = START_US + round((until_s - 2) * 1e6)
    return {"stalls": [Stall(utc_text(started_us), utc_text(started_us + 2_000_000))]}


def test_an_absence_comes_before_the_records_that_were_missed_meanwhile() -> None:
    """The sentence about missing records begins with the absence in which they were sent, and its close."""
    away = client("client-1", OPENED, each(0, 2.9), CUT, AGAIN, each(4, 7.9, start=41), SEALED)
    served = client("client-2", OPENED, each(0, 7.9), SEALED)

    made = summary_of(away, served)

    assert ("FAIL", [(31, 40)]) == (made.verdict, made.clients[0].missing_ranges)
    assert (
        "client-1 was away for 1.0 s, last close 1012 service restart: 10 messages missing, 31–40 (10 sent, not logged)"
    ) == made.headline


def test_records_lost_on_a_connection_come_before_those_of_an_absence() -> None:
    """If only a part was missed while away, the loss comes first; of two clients, the one that lost on a connection."""
    lossy = [one for one in each(0, 2.9) if one.seq != 7]
    both = client("client-1", OPENED, lossy, CUT, AGAIN, each(4, 7.9, start=41), SEALED)
    away = client("client-2", OPENED, each(0, 2.9), CUT, AGAIN, each(4, 7.9, start=41), SEALED)

    made = summary_of(away, both)

    assert (
        "client-1: 11 messages missing, 7, 31–40 (1 sent, not logged, 10 seen by no client); 10 of them while it was"
        " away, last close 1012 service restart"
    ) == made.reasons[0]
    assert "client-2 was away for 1.0 s" == made.reasons[1].partition(",")[0]


def test_the_absence_at_the_end_is_the_headline_of_what_it_explains() -> None:
    """If all that a client lacks came after its last connection, the headline is that it was not connected."""
    away = client("client-1", OPENED, each(0, 2.9), CUT, SEALED)
    served = client("client-2", OPENED, each(0, 7.9), SEALED)
    lossy = client("client-2", OPENED, [one for one in each(0, 7.9) if one.seq != 7], SEALED)

    made, other = summary_of(away, served), summary_of(away, lossy)

    assert "client-1 was not connected when the run ended: away for 5.0 s, last close 1012 service restart" == (
        made.headline
    )
    assert "client-1 was away for 5.0 s, last close 1012 service restart: 40 messages missing" in made.reasons[1]
    assert "client-2: 1 message missing, 7 (1 sent, not logged)" == other.headline


def test_an_absence_right_after_a_time_without_reading_accuses_nobody() -> None:
    """A client that did not read may have been cut off for that: the run is INVALID, in mid-run and at the end."""
    served = client("client-2", OPENED, each(0, 7.9), SEALED)
    again = (OPENED, each(0, 2.9), CUT, AGAIN, each(4, 7.9, start=41), SEALED)
    gone = (OPENED, each(0, 2.9), CUT, SEALED)
    before = "(it had not read for 2.0 s before, because its disk was behind)"

    back, away = (summary_of(served, client("client-1", *course, ends=stalled(2.8))) for course in (again, gone))

    assert ("INVALID", None) == (back.verdict, check("complete", back).ok)
    assert ("INVALID", None) == (away.verdict, check("connected", away).ok)
    assert before in back.headline
    assert any(before in reason for reason in away.reasons)


def test_a_time_without_reading_explains_no_other_loss() -> None:
    """Records lost on a connection, or in an absence long after the disk was behind, are proved losses."""
    served = client("client-2", OPENED, each(0, 19.9), ("sealed", 20.0), until_us=None)
    lossy = [one for one in each(0, 2.9) if one.seq != 7]
    lost = client("client-1", OPENED, lossy, CUT, AGAIN, each(4, 7.9, start=41), SEALED, ends=stalled(2.8))
    late = (OPENED, each(0, 14.9), ("closed", 15.0, 1012, "x"), ("opened", 16.0), each(16, 19.9, start=161))
    far = client("client-1", *late, ("sealed", 20.0), ends=stalled(2.8), until_us=None)

    assert "FAIL" == summary_of(served, lost).verdict
    assert "FAIL" == summary_of(served, far).verdict


def test_an_absence_from_a_feed_without_numbers_is_a_doubt() -> None:
    """Nothing shows what a feed without numbers sent while its client was away: INVALID, with the seconds."""
    first, later = [message(None, place * 10) for place in range(30)], [message(None, 400 + p * 10) for p in range(40)]

    made = summary_of(client("client-1", OPENED, first, CUT, AGAIN, later, SEALED))

    assert (
        "INVALID",
        (
            "client-1 was away in mid-run for 1.0 s, and the feed has no numbers: whether records were sent meanwhile"
            " is not known; set FEED_SEQ to a number that goes on over connections if the records have one, or"
            " FEED_RESUME if the feed sends again what was missed"
        ),
    ) == (made.verdict, made.headline)


def of_keys(*keys: tuple[str, float, float]) -> list[ExternalMessage]:
    """Return the records of several keys, each at a steady rate from one time to another, in order."""
    records = []
    for key, first_s, last_s in keys:
        moments = [first_s + place / 10 for place in range(round((last_s - first_s) * 10))]
        records += [(at_s, at(at_s, seq, key=key)) for seq, at_s in enumerate(moments, 1)]
    return [record for _, record in sorted(records, key=lambda pair: pair[0])]


def test_one_key_that_stops_while_others_go_on_is_a_doubt() -> None:
    """A key with a steady rhythm that stops makes the run INVALID, unless FEED_SILENCE allows its silence."""
    records = of_keys(("a", 0, 19.9), ("b", 0, 19.9), ("c", 0, 5))
    course = (OPENED, records, ("sealed", 20.0))

    made = summary_of(client("client-1", *course, key="$.key", until_us=None))
    allowed = summary_of(client("client-1", *course, key="$.key", until_us=None, silence_s=16))

    assert (
        "INVALID",
        (
            "client-1 received no record of c for the last 15.1 s, though others came: more than 5.0 s, the larger of"
            f" 5.0 s and 10 times its longest earlier interval, 100.0 ms; {SETTING} sets a higher limit"
        ),
    ) == (made.verdict, made.headline)
    assert "PASS" == allowed.verdict


@pytest.mark.parametrize(
    "quiet",
    [("c", 0, 1.5), ("c", 0, 2.1), ("c", 0, 16), ("c", 18, 19)],
    ids=["burst", "short beside its silence", "short silence", "late"],
)
def test_a_key_without_a_rhythm_may_be_silent(quiet: tuple[str, float, float]) -> None:
    """A burst of records at the beginning, or a silence within the limit, is no doubt about a key."""
    records = of_keys(("a", 0, 19.9), ("b", 0, 19.9), quiet)

    assert (
        "PASS" == summary_of(client("client-1", OPENED, records, ("sealed", 20.0), key="$.key", until_us=None)).verdict
    )


def test_an_end_that_did_not_come_is_mentioned() -> None:
    """If no condition of FEED_END was met, the check says so, and so does the reason of a silent client."""
    end = {"end": "last 1000"}

    flowing = summary_of(client("client-1", OPENED, each(0, 7.9), SEALED, feed=end))
    silent = summary_of(client("client-1", OPENED, each(0, 2), SEALED, feed=end))

    assert ("PASS", "every client was connected to its end; the end that FEED_END names did not come") == (
        flowing.verdict,
        check("connected", flowing).detail,
    )
    assert silent.headline.endswith(f"{SETTING} sets another limit; the end that FEED_END names did not come")


@pytest.mark.parametrize(
    ("condition", "verdict"),
    [("close 1000", "INVALID"), ('message "end"', "INVALID"), ("messages 30", "PASS"), ("last 30", "PASS")],
)
def test_a_feed_that_ended_for_one_client_only_is_a_doubt(condition: str, verdict: str) -> None:
    """If a close or a message ended the feed for one client and another one received more, the run is INVALID."""
    ended = client("client-1", OPENED, each(0, 2.9), ("ended", 3.0, None, condition), ("sealed", 3.0))
    longer = client("client-2", OPENED, each(0, 6.9), ("ended", 7.0, None, condition), ("sealed", 7.0))
    close = client("client-2", OPENED, each(0, 3.9), ("ended", 4.0, None, condition), ("sealed", 4.0))

    made = summary_of(ended, longer)

    assert verdict == made.verdict
    assert verdict == "PASS" or made.headline.startswith(
        f"client-1: {condition} ended the feed, as FEED_END says, and client-2 received later numbers after that"
    )
    assert "PASS" == summary_of(ended, close).verdict
