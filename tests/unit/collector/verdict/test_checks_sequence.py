"""Tests of services/collector/verdict/checks_sequence.py: the summary of runs with unusual numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.verdict.summary import reconcile
from services.collector.verdict.threshold_parser import parse
from services.contract.blocklog import ExternalMessage
from services.contract.sequence_rules import PLAIN, SequenceRules
from services.contract.summary import Summary
from tests.builders.external_runs import STEP_US, evidence_of, log, message, numbered_messages
from tests.builders.external_streams import client, own, without
from tests.builders.runs import START_US

LINKS, RANGES = SequenceRules(previous="$.p"), SequenceRules(first="$.U")


def judged(*logs: Any, limits: str = "") -> Summary:
    """Return the summary of a run that is over."""
    return reconcile(evidence_of(*logs), parse(limits) if limits else (), final=True)


def answer(summary: Summary, name: str) -> tuple[bool | None, str]:
    """Return the answer of one check."""
    return next((check.ok, check.detail) for check in summary.checks if check.name == name)


def over_connections(
    *connections: Iterable[ExternalMessage], rules: SequenceRules = PLAIN, name: str = "client-1"
) -> Any:
    """Return the log of a client that received messages over connections, one after the other."""
    course: list[Any] = []
    for number, messages in enumerate(connections):
        course += [("closed", number * 3.0, 1006, "")] if number else []
        course += [("opened", number * 3.0), messages]
    until_us = START_US + 3_000_000 * len(connections)
    return log(name, course=[*course, ("sealed", 3.0 * len(connections))], rules=rules, size=10, until_us=until_us)


def at(second: float, seqs: Iterable[int], text: str = "") -> list[ExternalMessage]:
    """Return messages from a second on; their records depend on the number and on ``text``."""
    place = round(second * 1e6 / STEP_US)
    return [message(seq, place + index, text=f"{text}{seq}") for index, seq in enumerate(seqs)]


def chain(removed: Iterable[int] = (), *, ranged: bool = False) -> list[ExternalMessage]:
    """Return messages that name the number before, or cover a range, without some by their place."""
    made, last = [], 5000
    for place in range(60):
        step = 0 if place % 20 == 19 and not ranged else 1 + place * 7 % 9
        previous, last = last, last + step
        first, link = (previous + 1, None) if ranged else (None, previous if place else -1)
        made += [] if place in removed else [message(last, place, first=first, previous=link)]
    return made


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        (
            numbered_messages(range(300, 0, -1)),
            "most numbers fall below an earlier one (after 300 comes 299): is FEED_SEQ the path",
        ),
        (
            [message(seq % 4, seq, text=f"{seq}") for seq in range(60)],
            "the numbers begin again after 4 messages, again and again: is FEED_SEQ the path",
        ),
        (
            [message(seq, seq, key=f"id-{seq}") for seq in range(200)],
            "FEED_KEY=$.id has 200 values in 200 messages, so hardly any number follows another: nothing shows",
        ),
    ],
)
def test_what_is_no_sequence_is_invalid(messages: list[ExternalMessage], why: str) -> None:
    """Numbers that are those of no sequence are neither out of order nor complete."""
    summary = judged(log("client-1", messages, seq="$.n", key="$.id" if messages[0].key else None))

    assert "INVALID" == summary.verdict
    assert summary.headline.startswith(f"client-1: {why}")


def test_duplicates_with_other_records_have_a_proposal() -> None:
    """A number that comes again with another record may be that of a snapshot, which is no record of the sequence."""
    snapshots = [message(29, 29, text="snapshot"), *at(0.3, range(30, 40)), message(39, 39, text="snapshot")]

    assert (
        "client-1: 2 duplicates, with other records than before: set FEED_IGNORE if some of the messages are no records"
        == judged(log("client-1", [*numbered_messages(range(30)), *snapshots])).headline
    )


@given(removed=st.sets(st.sampled_from([5, 8, 11, 14, 23, 30, 41, 44, 50])), ranged=st.booleans())
def test_gaps_of_links_and_ranges_are_counted(removed: set[int], ranged: bool) -> None:
    """A feed with k removed records has k gaps and fails; how many records are missing is not known. Without: PASS."""
    summary = judged(log("client-1", chain(removed, ranged=ranged), rules=RANGES if ranged else LINKS))
    totals = summary.totals

    assert ("FAIL" if removed else "PASS") == summary.verdict, summary.reasons
    assert (len(removed), None if removed else 0, 0, 0) == (
        totals.gaps,
        totals.missing,
        totals.duplicates,
        totals.reordered,
    )


def test_the_sentence_of_a_gap_names_its_numbers() -> None:
    """The headline says how many gaps there are, where, and that the number of records is not known."""
    links = judged(log("client-1", chain({5, 30}), rules=LINKS))

    assert "client-1: 2 gaps, 5,022–5,030, 5,143–5,146: at least 2 messages missing, how many is not known" == (
        links.headline
    )
    assert (False, "2 gaps; 55 delivered, by the number that each names as the one before") == answer(links, "complete")


def test_what_one_client_lacks_is_open_for_all() -> None:
    """With gaps at one client, nothing is said of the sum of all; a client without gaps lacks nothing."""
    reported = judged(log("client-1", chain({5, 30}), rules=LINKS), log("client-2", chain(), rules=LINKS))

    assert (None, None, 2) == (reported.totals.expected, reported.totals.missing, reported.totals.gaps)
    assert [None, 0] == [client.missing for client in reported.clients]
    assert (False, "2 gaps; 112 delivered, by the number that each names as the one before") == answer(
        reported, "complete"
    )


@pytest.mark.parametrize(
    ("messages", "settings", "reason"),
    [
        (
            numbered_messages(range(10, 400, 10)),
            {},
            "the numbers do not rise by one (after 10 comes 20): most rise by 10: set FEED_STEP=10",
        ),
        (
            numbered_messages([3, 7, 20, 28, 29, 60]),
            {},
            "the numbers do not rise by one (after 3 comes 7): set FEED_FIRST if each",
        ),
        (numbered_messages([1, 2]), {"key": "$.k"}, "none of its 2 messages has a key at $.k, so its"),
        (numbered_messages([1, 2]), {"rules": RANGES}, "FEED_FIRST=$.U: no record with a number has a value there"),
        (numbered_messages([1000]), {"rules": SequenceRules(wrap="999")}, "FEED_WRAP=999: but it has the number 1,000"),
    ],
)
def test_numbers_that_contradict_the_settings_prove_nothing(
    messages: list[ExternalMessage], settings: Any, reason: str
) -> None:
    """The run is INVALID, with the reason and a proposal, and does not fail by what its numbers seem to lack."""
    summary = judged(log("client-1", messages, **settings))

    assert "INVALID" == summary.verdict
    assert f"client-1: {reason}" in summary.headline
    assert (len(messages), None, None) == (summary.totals.received, summary.totals.expected, summary.totals.missing)
    for name in ("complete", "in order", "once"):
        ok, detail = answer(summary, name)
        assert ok is None
        assert "the numbers are not what the settings say" in detail


def test_mixed_sequences_ask_for_a_key() -> None:
    """Numbers of two sequences in turn make the run INVALID, with the numbers that show it."""
    mixed = [message(seq, seq) for pair in zip(range(50), range(90_000, 90_050), strict=True) for seq in pair]
    summary = judged(log("client-1", mixed))

    assert "INVALID" == summary.verdict
    assert "client-1: its numbers are of several sequences (0, 90,000, 1): set FEED_KEY" in summary.headline


def test_numbers_that_come_again_with_other_records_ask_for_a_key_or_fewer_records() -> None:
    """A heartbeat with the number of the last record repeats that number with another record."""
    beaten = [message(seq, 2 * seq + beat, text=f"{beat}") for seq in range(40) for beat in (0, 1)]
    summary = judged(log("client-1", beaten))

    assert "INVALID" == summary.verdict
    assert "client-1: its numbers come again with other records (2, 2): set FEED_KEY if" in summary.headline


def keyed(second: float, keys: str, count: int) -> list[ExternalMessage]:
    """Return messages of several keys in turn."""
    place = round(second * 1e6 / STEP_US)
    return [
        message(1 + seq, place + seq * len(keys) + at, key=key) for seq in range(count) for at, key in enumerate(keys)
    ]


def test_a_key_that_is_silent_after_a_reconnect_is_no_success() -> None:
    """Where the numbers of the other channel continue, the silent one still keeps the run from passing."""
    first, second = keyed(0, "ab", 100), [message(101 + seq, 310 + seq, key="a") for seq in range(200)]
    reported = judged(over_connections(first, second))

    assert ("INVALID", 0) == (reported.verdict, reported.totals.missing)
    assert reported.headline.startswith("client-1: no record of b came since it reconnected")
    again = [message(101 + seq, 310 + 2 * seq + at, key=key) for seq in range(100) for at, key in enumerate("ab")]
    assert "PASS" == judged(over_connections(first, again)).verdict


def test_a_restart_elsewhere_over_a_new_connection_leaves_completeness_open() -> None:
    """Numbers that fall, or rise beyond all reason, with a new connection do not show what was sent in between."""
    for first in (600_000, 28_000_000):
        reported = judged(over_connections(at(0, range(27_000_000, 27_000_290)), at(3.1, range(first, first + 280))))

        assert ("INVALID", 0, 0) == (reported.verdict, reported.totals.missing, reported.totals.duplicates), first
        assert answer(reported, "complete")[0] is None


def test_a_jump_that_another_client_received_is_a_loss() -> None:
    """A client that was passed over, of a stream that another one received, lacks these records."""
    jumped = at(0, [*range(100), *range(4100, 4150)])
    reported = judged(log("client-1", jumped), log("client-2", at(0, range(4150))))

    assert ("FAIL", 4000) == (reported.verdict, reported.totals.missing)


def test_losses_after_a_restart_are_counted() -> None:
    """A connection that begins at 4, of a feed that begins at 1, lacks three records, and the run fails."""
    reported = judged(over_connections(at(0, range(1, 290)), at(3.1, range(4, 280), "second ")))

    assert ("FAIL", 3) == (reported.verdict, reported.totals.missing)
    assert "client-1: 3 messages missing, 1–3 (3 seen by no client)" == reported.headline


def test_the_scope_of_a_connection_is_not_compared() -> None:
    """Numbers of each connection: a client that came later lacks nothing, and a reconnect is an open question."""
    rules = SequenceRules(scope="connection")
    early, late = (
        log("client-1", numbered_messages(range(1, 90)), rules=rules),
        log("client-2", numbered_messages(range(1, 40)), rules=rules),
    )
    again = over_connections(at(0, range(1, 290)), at(3.1, range(1, 280)), rules=rules)

    assert ("PASS", 0) == ((apart := judged(early, late)).verdict, apart.totals.missing)
    reported = judged(again)
    assert ("INVALID", 0, 0) == (reported.verdict, reported.totals.missing, reported.totals.duplicates)
    assert "the feed's numbers begin again with each connection" in reported.headline


def test_a_connection_that_lacks_its_first_records_is_no_success() -> None:
    """A client whose own numbers begin at 4 may have lost three; with the scope of a connection it has."""
    whole, cut = own(0, 100), without(own(500_000, 100), 0, 1, 2)
    by_connection = SequenceRules(scope="connection")
    for rules, expected in ((SequenceRules(), ("INVALID", 0)), (by_connection, ("FAIL", 3))):
        reported = judged(*(client(name, each, rules=rules) for name, each in (("client-1", whole), ("client-2", cut))))

        assert expected == (reported.verdict, reported.totals.missing), reported.reasons


def test_a_connection_with_other_records_may_have_lost_its_first_ones() -> None:
    """Of connections with other records under the same numbers, one that begins at 4 may have lost three."""
    whole = [message(seq, seq, text=f"a {seq}") for seq in range(1, 100)]
    cut, joined = ([message(seq, seq, text=f"b {seq}") for seq in range(first, 100)] for first in (4, 40))

    reported = judged(log("client-1", whole), log("client-2", cut))

    assert ("INVALID", 0) == (reported.verdict, reported.totals.missing)
    assert "client-2: its connection seems to be numbered for itself, and 1–3 did not come" in reported.headline
    # Far from its first number it is rather another server's stream, which the client joined.
    assert "PASS" == judged(log("client-1", whole), log("client-2", joined)).verdict


def test_a_session_that_is_continued_has_lost_nothing_before() -> None:
    """A connection that begins at 700, where another one begins at 1, is no proved loss of 699 records."""
    rules = SequenceRules(scope="connection")
    reported = judged(over_connections(at(0, range(700, 990)), at(3.1, range(1, 280)), rules=rules))

    assert ("INVALID", 0) == (reported.verdict, reported.totals.missing)
    assert "client-1: its numbers began after 1–699 once, and elsewhere with the first of these" in "".join(
        reported.reasons
    )


@pytest.mark.parametrize(
    ("numbers", "verdict", "missing"),
    [
        ([*range(100, 253), *range(50)], "INVALID", 0),
        ([*range(100, 256), *range(50)], "PASS", 0),
        ([*range(100, 253), *range(300)], "PASS", 0),
        ([*range(100, 253), *range(256), *range(50)], "FAIL", 3),
    ],
)
def test_a_restart_below_a_small_top_is_no_proved_loss(numbers: list[int], verdict: str, missing: int) -> None:
    """A sequence that begins again at 252 may be one of 8 bits: it is if it wraps there again, not if it exceeds it."""
    messages = [message(seq, place, text=f"{place}") for place, seq in enumerate(numbers)]
    reported = judged(log("client-1", messages))

    assert (verdict, missing) == (reported.verdict, reported.totals.missing), reported.reasons


def test_numbers_that_mostly_come_several_times_may_be_of_several_sequences() -> None:
    """If the same records come several times under most numbers, the reason names FEED_KEY."""
    messages = [message(place // 3, place, text=f"{place // 3}") for place in range(3, 60)]
    reported = judged(log("client-1", messages))

    assert "FAIL" == reported.verdict
    assert reported.headline.endswith(
        "duplicates, since most numbers come several times: FEED_KEY tells several sequences apart"
    )


def test_a_reconnect_without_records_leaves_completeness_open() -> None:
    """With numbers of each connection nothing shows what was sent before the second connection, without records."""
    reported = judged(over_connections(at(0, range(1, 290)), [], rules=SequenceRules(scope="connection")))

    assert answer(reported, "complete")[0] is None


def test_a_shared_scope_counts_a_jump_as_missing() -> None:
    """With the scope of a stream, every number between two connections was sent."""
    reported = judged(
        over_connections(at(0, range(100)), at(3.1, range(1_000_000, 1_000_280)), rules=SequenceRules(scope="stream"))
    )

    assert ("FAIL", 999_900) == (reported.verdict, reported.totals.missing)


def test_repeats_after_a_reconnect_fail_with_a_hint() -> None:
    """By default records that come again after a reconnect are duplicates, and the reason names the setting."""
    logs = over_connections(at(0, range(100, 390)), at(3.1, range(370, 640)))

    assert (
        "client-1: 20 duplicates, all right after reconnecting: FEED_REPEATS=reconnect allows these"
        == judged(logs).headline
    )


def test_repeats_after_a_reconnect_may_be_allowed() -> None:
    """Promised repeats are counted apart; a duplicate in mid-connection still fails the run."""
    rules = SequenceRules(repeats="reconnect")
    promised = judged(over_connections(at(0, range(100, 390)), at(3.1, range(370, 640)), rules=rules))
    twice = judged(over_connections(at(0, range(100, 390)), at(3.1, [*range(370, 640), 639]), rules=rules))

    assert ("PASS", 0, 20) == (promised.verdict, promised.totals.duplicates, promised.totals.repeated)
    assert (True, "0 duplicates; 20 messages again after reconnecting, as FEED_REPEATS allows") == answer(
        promised, "once"
    )
    assert ("FAIL", 1, 20) == (twice.verdict, twice.totals.duplicates, twice.totals.repeated)


def test_without_a_wrap_setting_a_missing_zero_is_left_open() -> None:
    """A counter that goes on with 1 after its highest number may have no 0."""
    reported = judged(log("client-1", at(0, [*range(65_500, 65_536), *range(1, 40)])))

    assert ("INVALID", 0) == (reported.verdict, reported.totals.missing)
    assert "set FEED_WRAP" in reported.headline
    assert "PASS" == judged(log("client-1", at(0, [*range(65_500, 65_536), *range(40)]))).verdict


def test_messages_without_a_key_are_mentioned() -> None:
    """Of a feed with keys, a numbered message without one is a sequence of its own, and is mentioned."""
    messages = [*numbered_messages(range(1, 9), key="a"), *numbered_messages([7, 8])]
    reported = judged(log("client-1", messages, key="$.k"))

    assert (True, "10 of 10 delivered, by the feed's own numbers; 2 messages with a number and without a key") == (
        answer(reported, "complete")
    )


def ahead(limits: str = "") -> Summary:
    """Return the summary of a complete run whose sender's clock is ahead."""
    return judged(log("client-1", [message(seq, seq, late_ns=-3_400_000) for seq in range(1, 9)]), limits=limits)


def test_a_clock_that_is_ahead_does_not_touch_completeness() -> None:
    """A sender's clock that is ahead leaves no latency to claim, and the run passes."""
    reported = ahead()

    assert ("PASS", 0) == (reported.verdict, reported.totals.missing)
    assert (None, "latency not claimed: the sender's clock is ahead by at least 3.4 ms") == answer(reported, "clocks")
    assert "p99" not in reported.headline
    assert "latency not claimed: the sender's clock is ahead by at least 3.4 ms" in reported.headline


def test_a_threshold_on_latency_needs_a_time() -> None:
    """Where no record has a time, a limit on latency is not judged, and is not broken by the feed."""
    messages = [message(seq, seq, late_ns=None) for seq in range(5)]
    reported = judged(log("client-1", messages, time="$.ts"), limits="latency.p99<50ms, missing==0")
    why = "no sender's time: none of 5 messages has one at $.ts"

    assert ("INVALID", [None, True]) == (reported.verdict, [limit.ok for limit in reported.thresholds])
    assert f"threshold latency.p99<50ms is not judged: {why}" == reported.headline


def test_a_threshold_on_latency_needs_a_clock() -> None:
    """With a clock that is ahead, a limit on latency is not judged and the run is INVALID; other limits are."""
    reported = ahead("latency.p99<50ms, missing==0")

    assert ("INVALID", [None, True]) == (reported.verdict, [limit.ok for limit in reported.thresholds])
    assert (
        "threshold latency.p99<50ms is not judged: latency not claimed: the sender's clock is ahead by at least 3.4 ms"
        == reported.headline
    )
    assert "FAIL" == ahead("latency.p99<50ms, received>9").verdict


def test_a_threshold_on_latency_names_the_messages_without_a_time() -> None:
    """A limit on latency holds for the messages that have a time, and its detail counts the others; of its client."""
    timed = numbered_messages(range(1, 9))
    reported = judged(
        log("client-1", [*timed, message(9, 9, late_ns=None)], counts={"without_time": 1}),
        log("client-2", [*timed, message(9, 9)]),
        limits="latency.p99<50ms, latency{client:client-2}.max<50ms, missing==0",
    )

    assert ["measured 1.0 ms; 2 messages without a time", "measured 1.0 ms", "measured 0"] == (
        [limit.detail for limit in reported.thresholds]
    )
    assert "PASS" == reported.verdict


def test_a_record_without_a_link_is_noticed_though_its_number_follows() -> None:
    """In mid-connection a record that names no number before is a doubt, also if its number is the next one."""
    links = ((5, -1), (6, 5), (7, -1), (8, 7))
    reported = judged(log("client-1", [message(seq, seq, previous=link) for seq, link in links], rules=LINKS))

    assert ("INVALID", False) == (reported.verdict, "PASS" in reported.headline)
    assert "1 record in mid-connection named no number before" in reported.headline


def test_ranges_that_begin_where_the_first_one_began_are_a_new_sequence() -> None:
    """Over a new connection a range that begins with the very first number begins anew, if no record ended there."""
    before = [message(710, 0, first=700), message(720, 1, first=711)]
    after = [message(700, 310, first=700, text="new"), message(705, 311, first=701, text="new")]
    reported = over_connections(before, after, rules=RANGES)

    assert (1, 0) == ((summary := judged(reported)).totals.restarts, summary.totals.duplicates)


def test_a_jump_within_a_block_is_explained_by_the_silence_before_it() -> None:
    """Numbers that a feed had time to send are missing, also if the silence is within a block."""
    seqs = [*range(1, 1001), *range(3001, 3011)]
    reported = judged(
        log("client-1", [message(seq, seq) for seq in seqs], size=len(seqs), until_us=START_US + 31_000_000)
    )

    assert ("FAIL", 2000) == (reported.verdict, reported.totals.missing), reported.reasons


def test_the_rate_of_a_sequence_is_that_since_it_began_again() -> None:
    """A slow time before a new beginning does not make a jump after it one that the rate cannot explain."""
    slow = [message(9000 + place, 6000 * place, text=f"slow {place}") for place in range(10)]
    seqs = [*range(1, 1001), *range(3001, 3011)]
    quick = [message(seq, 60_000 + seq) for seq in seqs]
    course: list[Any] = [("opened", 0.0), slow, quick, ("sealed", 631.0)]
    reported = judged(log("client-1", course=course, size=len(quick), until_us=START_US + 631_000_000))

    assert (1, 2000) == (reported.totals.restarts, reported.totals.missing), reported.reasons
