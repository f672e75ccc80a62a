"""Tests of whether clients of an external feed were connected to the end, and received records until then."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from services.collector.scan import Source
from services.collector.verdict.checks_connection import SETTING
from services.collector.verdict.summary import reconcile
from services.contract.blocklog import ExternalMessage
from services.contract.summary import Check, Summary
from tests.builders.external_runs import Happened, books, log, message
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
    """Return records that came at a steady pace, with numbers from ``start`` on."""
    count = round((last_s - first_s) / step_s) + 1
    return [at(first_s + place * step_s, start + place, other=other) for place in range(count)]


def told(*logs: Files) -> Summary:
    """Return the summary of a run that is over."""
    return reconcile(books(*logs), final=True)


def check(name: str, made: Summary) -> Check:
    """Return the answer to one question."""
    return next(one for one in made.checks if one.name == name)


def client(
    name: str, *course: Any, until_us: int | None = UNTIL_US, silence_s: float | None = None, **more: Any
) -> Files:
    """Return the log of a client whose connections went like this; the feed's own rhythm sets the limit."""
    return log(name, until_us=until_us, silence_s=silence_s, course=course, **more)


def test_a_client_that_is_connected_and_receives_to_its_end_passes() -> None:
    """Both questions are answered with yes, and nothing of a reconnect is said where there was none."""
    made = told(client("client-1", OPENED, each(0, 7.9), SEALED))

    assert ("PASS", []) == (made.verdict, made.reasons)
    assert "every client was connected to its end" == check("connected", made).detail
    assert (True, "the last records came 100.0 ms before the end") == (
        (found := check("receiving", made)).ok,
        found.detail,
    )


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ([], "last close 1006 no close frame received"),
        ([REFUSED], "last close 1006 no close frame received, then HTTP 503: gone (1 failed attempt)"),
        (
            [REFUSED, ("refused", 5.0, None, "connection refused")],
            "last close 1006 no close frame received, then connection refused (2 failed attempts)",
        ),
    ],
)
def test_a_client_that_is_not_connected_at_the_end_fails_the_run(after: list[Happened], said: str) -> None:
    """The reason names the client, the seconds, the last close and the last error."""
    made = told(client("client-1", OPENED, each(0, 2), GONE, *after, SEALED))

    assert "FAIL" == made.verdict
    assert f"client-1 was not connected when the run ended: away for 6.0 s, {said}" == made.headline
    assert check("connected", made).ok is False


def test_a_connection_that_brings_nothing_does_not_end_an_absence() -> None:
    """A server that accepts and closes at once leaves the client away since its last connection with records."""
    flapping: list[Happened] = [("opened", 4.0), ("closed", 4.1, 4401, "expired"), ("opened", 6.0)]
    made = told(client("client-1", OPENED, each(0, 2), GONE, *flapping, ("closed", 6.1, 4401, "expired"), SEALED))

    trouble = "last close 4401 expired (2 connections without a record)"
    assert f"client-1 was not connected when the run ended: away for 6.0 s, {trouble}" == made.headline


def test_a_client_that_never_got_a_connection_fails_the_run() -> None:
    """Beside one that received everything it is named, with the error."""
    made = told(
        client("client-1", OPENED, each(0, 7.9), SEALED), client("client-2", ("refused", 0.0, 401, "no"), SEALED)
    )

    assert ("FAIL", "client-2 was never connected, for 8.0 s, HTTP 401: no (1 failed attempt)") == (
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
def test_where_nothing_was_measured_the_headline_says_why(course: list[Happened], why: str) -> None:
    """Not reached, not let in and never served have sentences of their own."""
    made = told(client("client-1", *course, SEALED))

    assert ("INVALID", f"nothing was measured: no client logged a message; {why}") == (made.verdict, made.headline)


def test_clients_with_the_same_trouble_are_named_together() -> None:
    """Clients that were refused alike are in one sentence, which says how often where that is equal."""
    refused = ("refused", 1.0, 401, "HTTP 401: no")
    alike = told(client("client-1", refused, SEALED), client("client-2", refused, SEALED))
    more = told(
        client("client-1", refused, SEALED), client("client-2", refused, ("refused", 2.0, *refused[2:]), SEALED)
    )

    assert [
        "nothing was measured: no client logged a message; client-1, client-2: HTTP 401: no (1 failed attempt)",
        "nothing was measured: no client logged a message; client-1, client-2: HTTP 401: no",
    ] == [alike.headline, more.headline]


def test_a_connected_client_without_records_makes_the_run_invalid() -> None:
    """A silence that the feed's own rhythm does not explain is named with seconds, limit and its source."""
    made = told(client("client-1", OPENED, each(0, 2), SEALED))

    assert "INVALID" == made.verdict
    assert (
        "client-1 received no record for the last 6.0 s: more than 5.0 s, the larger of 5.0 s and 3 times the longest"
        f" earlier interval between records, 100.0 ms; {SETTING} sets another limit"
    ) == made.headline


@pytest.mark.parametrize(("silence_s", "verdict"), [(5.5, "INVALID"), (7.0, "PASS")])
def test_the_operators_limit_comes_before_the_rhythm(silence_s: float, verdict: str) -> None:
    """FEED_SILENCE allows more or less than the feed's own rhythm, also where there is no rhythm."""
    for records in (each(0, 2), [at(2, 1)]):
        made = told(client("client-1", OPENED, records, SEALED, silence_s=silence_s))

        assert verdict == made.verdict
        assert (
            made.verdict == "PASS"
            or "client-1 received no record for the last 6.0 s: more than the 5.5 s" in made.headline
        )


def test_a_slow_feed_sets_its_own_limit() -> None:
    """Three times the longest interval that the feed had before is no silence."""
    slow = [at(0, 1), at(1, 2), at(3.5, 3), at(4, 4)]

    assert "PASS" == told(client("client-1", OPENED, slow, ("sealed", 11.4))).verdict
    assert "INVALID" == told(client("client-1", OPENED, slow, ("sealed", 11.6))).verdict


def test_with_fewer_than_three_intervals_the_rhythm_is_unknown() -> None:
    """Even with many records at one time the run is invalid, and the sentence names the setting."""
    batch = [message(seq, 100) for seq in range(1, 20)]
    for records in (batch, [at(1, 1), at(2, 2), at(3, 3)]):
        made = told(client("client-1", OPENED, records, SEALED))

        assert "INVALID" == made.verdict
        assert "the feed's rhythm is not known" in made.headline
        assert f"set {SETTING}" in made.headline
    assert "PASS" == told(client("client-1", OPENED, [at(4 + 0.5 * seq, seq) for seq in range(1, 5)], SEALED)).verdict


def test_a_client_that_received_nothing_at_all_makes_the_run_invalid() -> None:
    """Beside others that did no limit excuses it."""
    served = client("client-1", OPENED, each(0, 7.9), SEALED)
    for silence_s in (None, 100):
        made = told(served, client("client-2", OPENED, SEALED, silence_s=silence_s))

        assert ("INVALID", "client-2 received no record at all, though client-1 did while it was there") == (
            made.verdict,
            made.headline,
        )


def test_a_named_end_is_no_absence() -> None:
    """A feed that ended as FEED_END says is judged for neither absence nor silence, with any rhythm."""
    end: Happened = ("ended", 2.0, 1000, "done")
    made = told(client("client-1", OPENED, [at(1, 1), at(2, 2)], end, SEALED))

    assert "PASS" == made.verdict
    assert "every client was connected to its end; 1 client ended as FEED_END says" == check("connected", made).detail


def test_a_named_end_answers_for_what_others_had_before_it() -> None:
    """Records that another client had received a second before the end are missing; later ones are not."""
    ended = client("client-1", OPENED, each(0, 1), ("ended", 4.05), SEALED)
    made = told(ended, client("client-2", OPENED, each(0, 7.9), SEALED))

    assert ("FAIL", [(12, 30)]) == (made.verdict, made.clients[0].missing_ranges)


def test_a_client_that_is_stopped_is_judged_up_to_then() -> None:
    """Neither the time after its seal nor the run's own end is held against it."""
    other = client("client-2", OPENED, each(0, 7.9), SEALED)
    stopped = client("client-1", OPENED, each(0, 3), ("sealed", 3.1), reason="shutdown")
    absent = client("client-1", OPENED, each(0, 2), GONE, ("sealed", 3.0), reason="shutdown")

    assert "PASS" == told(stopped, other).verdict
    assert (
        "client-1 was not connected when it was stopped: away for 1.0 s, last close 1006 no close frame received"
        in (told(absent, other).reasons)
    )


def test_without_an_end_of_the_run_each_client_is_judged_at_its_own_seal() -> None:
    """With FEED_SECONDS=0 there is no common end."""
    early = client("client-1", OPENED, each(0, 3), ("sealed", 3.1), reason="shutdown", until_us=None)
    deaf = client("client-1", OPENED, each(0, 1), ("sealed", 7.0), reason="shutdown", until_us=None)
    late = client("client-2", OPENED, each(0, 7.9), SEALED, reason="shutdown", until_us=None)

    assert "PASS" == told(early, late).verdict
    assert ("FAIL", [(12, 60)]) == ((made := told(deaf, late)).verdict, made.clients[0].missing_ranges)


def test_a_short_reconnect_that_lost_nothing_passes_and_is_shown() -> None:
    """On one shared stream the numbers prove that nothing was lost."""
    again: list[Any] = [("closed", 2.05, 1001, "away"), ("opened", 2.45), each(2.5, 7.9, start=22), SEALED]
    made = told(client("client-1", OPENED, each(0, 2), *again))

    assert "PASS" == made.verdict
    assert (
        "every client was connected to its end; 1 reconnect, at most 400.0 ms away" == check("connected", made).detail
    )


def test_an_absence_on_a_feed_that_counts_each_connection_makes_the_run_invalid() -> None:
    """Numbers do not show records that were sent meanwhile: completeness is not claimed, and the seconds are named."""
    again: list[Any] = [GONE, ("opened", 3.5), each(3.6, 7.9, other=True), SEALED]
    made = told(client("client-1", OPENED, each(0, 2), *again))
    why = "client-1 was away in mid-run for 1.5 s, and the feed's numbers begin again with each connection"

    assert ("INVALID", True) == (made.verdict, made.headline.startswith(why))
    assert (None, True) == ((found := check("complete", made)).ok, why in found.detail)


def test_an_absence_between_two_processes_counts_like_one_between_connections() -> None:
    """A client that was stopped and started again was away from its seal on."""
    first = client("client-1", OPENED, each(0, 2), ("sealed", 2.1), reason="shutdown")
    second = client("client-1", ("opened", 4.1), each(4.2, 7.9, other=True), SEALED, session=2)

    assert "client-1 was away in mid-run for 2.0 s, and" in told(first, second).headline


def test_a_fact_comes_before_what_an_absence_leaves_open() -> None:
    """Records that are missing within one connection are a failure; the sentence adds that more may be missing."""
    records = [one for one in each(0, 2) if one.seq != 7]
    again: list[Any] = [GONE, ("opened", 3.5), each(3.6, 7.9, other=True), SEALED]
    made = told(client("client-1", OPENED, records, *again))

    assert "FAIL" == made.verdict
    assert "client-1: 1 message missing, 7 before the numbers began again (1 seen by no client)" == made.headline
    assert any("was away in mid-run" in reason for reason in made.reasons)


def test_logs_without_connection_lines_are_judged_by_the_runs_end() -> None:
    """An older log says nothing of connections, so that is null; silence is judged all the same."""
    heard_out, deaf = (log("client-1", each(0, last), until_us=UNTIL_US, silence_s=None) for last in (7.9, 2.0))
    made = told(heard_out)

    assert ("PASS", None) == (made.verdict, check("connected", made).ok)
    assert "the last records came 100.0 ms before the end; connections are not known" == check("receiving", made).detail
    assert "INVALID" == told(deaf).verdict


def test_a_log_that_lacks_the_last_connection_line_is_no_pass() -> None:
    """Where a client logs its connections and does not say how the last one ended, it is not known."""
    made = told(client("client-1", OPENED, each(0, 7.9)))

    assert ("INVALID", "client-1: its log does not say whether it was connected when its run ended") == (
        made.verdict,
        made.headline,
    )


def test_a_lost_client_stays_lost() -> None:
    """A log that was not closed fails the check `present`, and no other."""
    made = told(client("client-1", OPENED, each(0, 2), GONE, reason=None))

    assert ("FAIL", "lost without a word: client-1") == (made.verdict, made.headline)
    assert (None, "no client closed its log") == ((found := check("connected", made)).ok, found.detail)


def test_a_run_of_our_own_feed_is_not_asked() -> None:
    """The two questions are of external feeds alone."""
    assert not {"connected", "receiving"} & {one.name for one in judged(good_run()).checks}


def test_records_without_a_number_have_a_rhythm() -> None:
    """A feed without numbers falls silent like any other."""
    unnumbered = [message(None, place * 10) for place in range(20)]

    assert "INVALID" == told(client("client-1", OPENED, unnumbered, SEALED)).verdict


def test_what_others_had_last_when_the_whole_feed_stopped_was_in_flight() -> None:
    """A feed that falls silent between two clients makes the run invalid; one that serves another client fails it."""
    behind, ahead = client("client-1", OPENED, each(0, 2), SEALED), client("client-2", OPENED, each(0, 2.1), SEALED)
    served = client("client-2", OPENED, each(0, 7.9), SEALED)

    assert "INVALID" == told(behind, ahead).verdict
    assert ("FAIL", [(22, 70)]) == ((made := told(behind, served)).verdict, made.clients[0].missing_ranges)
