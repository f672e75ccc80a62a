"""Tests of grouping the clients of an external feed."""

from __future__ import annotations

import base64
import random
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.collector.evidence.comparison import kept_records
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.results.build import build_result
from services.collector.results.client_result import EXTERNAL_CAUSES, ClientResult
from services.collector.verdict.snapshot import snapshot
from services.collector.verdict.summary import reconcile
from services.contract import summary
from services.contract.blocklog import ExternalMessage, Form
from services.contract.scalars import utc_text
from services.contract.summary import Summary
from tests.builders.external_runs import evidence_of
from tests.builders.external_streams import client, own, plain, record, shared, without
from tests.builders.runs import RUN, START_US, fold_in_turns


def logs_of(*received: list[ExternalMessage]) -> list[Any]:
    """Return the logs of clients that received these messages."""
    return [client(f"client-{number}", messages) for number, messages in enumerate(received, 1)]


def judged(*received: list[ExternalMessage]) -> Summary:
    """Return the final summary of clients that received these messages."""
    return reconcile(evidence_of(*logs_of(*received)), final=True)


def missing(*received: list[ExternalMessage]) -> list[tuple[int, dict[str, int]]]:
    """Return how many messages each client is missing, by cause."""
    clients = build_result(evidence_of(*logs_of(*received)), final=True).clients
    return [(client.missing or 0, by_cause(client)) for client in clients]


def by_cause(client: ClientResult) -> dict[str, int]:
    """Return how many messages a client is missing, by each cause with any."""
    counts = {cause: getattr(client.missing_by_cause, cause) for cause in EXTERNAL_CAUSES}
    return {cause: count for cause, count in counts.items() if count}


def detail(outputs_of: Summary, name: str) -> str:
    """Return the detail of one check."""
    return next(check.detail for check in outputs_of.checks if check.name == name)


def groups(*received: list[ExternalMessage]) -> list[list[str]]:
    """Return the groups of clients that received these messages of a feed without keys."""
    made = evidence_of(*logs_of(*received))
    comparison = build_result(made, final=True).comparison
    assert comparison is not None
    return comparison.groups.members(None)


def beats(offset: int) -> Any:
    """Return record bodies, of which every hundredth has a time, like a heartbeat."""
    return lambda seq: f"at {seq + offset}" if seq % 100 == 99 else plain(seq)


@pytest.mark.parametrize("stamped", [True, False])
@pytest.mark.parametrize("begins_us", [(0, 2_500_000), tuple(range(0, 2_400_000, 200_000)), (0, 150_000)])
def test_numbers_of_a_connection_are_not_compared(begins_us: tuple[int, ...], stamped: bool) -> None:
    """A client with lower numbers that connected later misses nothing, and a few other records are no conflict."""
    received = [own(at, 550 - at // 10_000, stamped=stamped, body=beats(at)) for at in begins_us]
    outputs_of = judged(*received)

    assert ("PASS", 0) == (outputs_of.verdict, outputs_of.totals.missing)
    assert "are of their own connections: not compared" in detail(outputs_of, "complete")
    assert outputs_of.spread_ns.max is None


def test_what_is_not_compared_is_stated() -> None:
    """The detail of the check `complete` names the clients that are not compared."""
    outputs_of = judged(own(0, 300), own(900_000, 200))

    assert (
        "500 of 500 delivered, by the feed's own numbers;"
        " numbers of client-1 and client-2 are of their own connections: not compared"
    ) == detail(outputs_of, "complete")


def test_two_connections_begun_at_one_time_are_known_by_a_third() -> None:
    """Two connections that began at the same time are separated with the evidence of a third one."""
    assert [["client-1"], ["client-2"], ["client-3"]] == groups(
        own(0, 300, body=beats(0)), own(100, 300, body=beats(100)), own(160_000, 284, body=beats(16))
    )


@pytest.mark.parametrize("stamped", [True, False])
def test_a_further_time_in_a_record_is_no_conflict(stamped: bool) -> None:
    """Clients that connected at one time are compared, and heartbeats that differ in a second time do not conflict."""

    def beat(begins_us: int) -> Any:
        return lambda seq: utc_text(START_US + begins_us + seq * 10_000) if seq % 100 == 99 else plain(seq)

    outputs_of = judged(*(own(at, 3000, stamped=stamped, body=beat(at), jitter_us=300) for at in (0, 200)))

    assert ("PASS", "0 damaged lines") == (outputs_of.verdict, detail(outputs_of, "intact"))


@pytest.mark.parametrize("form", ["binary", "text"])
def test_a_time_in_a_record_that_is_no_strict_json_is_no_conflict(form: Form) -> None:
    """Records that are logged as texts, or in base64, are compared as they were received, without their times."""

    def logged(message: ExternalMessage) -> ExternalMessage:
        # Cut to milliseconds, most times of sending are equal, so that the clients are compared.
        body = msgspec.json.decode(message.record)
        data = b"\xef\xbb\xbf" + msgspec.json.encode({**body, "ts": body["ts"] // 1000})
        text = base64.b64encode(data).decode() if form == "binary" else data.decode()
        return msgspec.structs.replace(message, form=form, record=msgspec.Raw(msgspec.json.encode(text)))

    received = [[logged(message) for message in shared(0, 300, seed=seed, jitter_us=1300)] for seed in (1, 2)]

    assert ("PASS", "0 damaged lines") == ((made := judged(*received)).verdict, detail(made, "intact"))


@pytest.mark.parametrize("stamped", [True, False])
def test_a_greeting_shows_that_numbers_are_of_a_connection(stamped: bool) -> None:
    """Two connections that began at the same time are not compared if their first records differ."""

    def greeted(begins_us: int) -> Any:
        return lambda seq: plain(seq) if seq else f"connection {begins_us}"

    received = [own(at, 3000, stamped=stamped, body=greeted(at)) for at in (0, 200)]

    assert [["client-1"], ["client-2"]] == groups(*received)


def test_a_clients_own_gaps_count() -> None:
    """A number is missing between the client's own first and last number, and no other client can have received it."""
    assert [(2, {"not_seen": 2}), (0, {})] == missing(without(own(0, 300), 40, 41), own(900_000, 200))


@pytest.mark.parametrize("stamp", ["send", "record", None])
@pytest.mark.parametrize("first", [0, 1, 300])
def test_a_shared_stream_is_compared(stamp: str | None, first: int) -> None:
    """A number that another client of one stream received is missing, although every time of sending differs."""
    received = [shared(first, first + 900, stamp=stamp, seed=seed) for seed in range(3)]
    received[1] = without(received[1], first + 40, *range(first + 500, first + 901))

    assert [(0, {}), (402, {"sent_not_logged": 402}), (0, {})] == missing(*received)


def stamps(late_us: int, *wrong: int) -> Any:
    """Return bodies with a time of sending that the operator has not named; for some numbers it is a wrong one."""
    return lambda seq: f"{utc_text(START_US + late_us + seq * 10_000)} {'wrong' if seq in wrong else plain(seq)}"


@pytest.mark.parametrize("first", [0, 300])
def test_a_stream_whose_stamp_is_not_named_is_compared(first: int) -> None:
    """Without FEED_TIME, records of one stream may differ in their times of sending."""
    received = [shared(first, first + 1500, stamp=None, seed=at, body=stamps(at)) for at in (0, 130, 270)]
    received[1] = without(received[1], first + 40, *range(first + 500, first + 1501))
    received[2] = shared(first, first + 1500, stamp=None, seed=9, body=stamps(270, first + 30, first + 60))
    outputs_of = judged(*received)

    assert [0, 1002, 0] == [one.missing for one in outputs_of.clients]
    assert 1002 == outputs_of.missing_by_cause.sent_not_logged
    assert (
        f"client-1 and client-3 have different records under 2 numbers: {first + 30}, {first + 60}"
        in outputs_of.reasons
    )


def test_every_record_is_compared_without_times_that_are_not_named() -> None:
    """Of a long stream whose stamps are not named other records are found under all numbers, not only sampled ones."""
    wrong = range(20, 6000, 997)
    outputs_of = judged(
        shared(0, 5999, stamp=None, seed=1, body=stamps(0)),
        shared(0, 5999, stamp=None, seed=2, body=stamps(130, *wrong)),
    )

    assert len(wrong) == 6
    assert (
        "client-1 and client-2 have different records under 6 numbers: 20, 1,017, 2,014 and 3 more ranges"
        in outputs_of.reasons
    )


@pytest.mark.parametrize("begins_us", [(0, 2_500_000), (0, 7_000), (0, 100)])
def test_numbers_of_a_connection_whose_stamp_is_not_named_are_not_compared(begins_us: tuple[int, ...]) -> None:
    """Without FEED_TIME, clients whose connections are numbered for themselves pass."""
    outputs_of = judged(*(own(at, 550 - at // 10_000, stamped=False, body=stamps(at)) for at in begins_us))

    assert ("PASS", 0) == (outputs_of.verdict, outputs_of.totals.missing)


@pytest.mark.parametrize("stamp", ["send", "record", None])
@pytest.mark.parametrize(("first", "second"), [(0, 2_500_000), (2_000_000, 4_500_000), (8_000_000, 8_400_000)])
def test_a_stream_that_is_replayed_from_its_start_is_compared(stamp: str | None, first: int, second: int) -> None:
    """Clients that are sent the whole stream when they join, and then continue live, are compared."""
    received = [shared(1, 1000, stamp=stamp, joins_us=at, seed=at) for at in (first, second)]
    received[1] = without(received[1], 77)

    assert [(0, {}), (1, {"sent_not_logged": 1})] == missing(*received)


def test_a_stream_that_is_replayed_to_a_client_that_came_after_another_is_compared() -> None:
    """Clients are compared if one has left before the other is sent the same records."""
    left = client("client-1", shared(1, 400), reason="shutdown")
    made = evidence_of(left, client("client-2", without(shared(1, 1000, joins_us=9_000_000), 77)))

    assert [0, 1] == [one.missing_by_cause.sent_not_logged for one in build_result(made, final=True).clients]


@pytest.mark.parametrize("stamp", ["send", "record", None])
def test_clients_of_two_servers_are_compared_among_themselves(stamp: str | None) -> None:
    """The clients of two servers are two groups, and a loss within a group shows by its other client."""
    one, other = (lambda seq: f"one {seq}"), (lambda seq: f"other {seq}")
    received = [shared(5, 400, body=body, stamp=stamp, seed=seed) for seed, body in enumerate((one, other, one, other))]
    received[3] = without(received[3], 9)
    outputs_of = judged(*received)

    assert [["client-1", "client-3"], ["client-2", "client-4"]] == groups(*received)
    assert [0, 0, 0, 1] == [one.missing for one in outputs_of.clients]
    assert 1 == outputs_of.missing_by_cause.sent_not_logged
    assert (
        "(client-1, client-3) and (client-2, client-4) have other records under the same numbers:"
        " not compared with each other"
    ) in detail(outputs_of, "complete")


@pytest.mark.parametrize("stamp", ["send", "record", None])
@pytest.mark.parametrize("first", [0, 700])
def test_a_few_different_records_prevent_a_pass(stamp: str | None, first: int) -> None:
    """Three conflicts among two thousand equal records are reported with their numbers, and nothing is missing."""
    wrong = {first + 17, first + 18, first + 1999}
    outputs_of = judged(
        shared(first, first + 1999, stamp=stamp, seed=1),
        shared(first, first + 1999, stamp=stamp, seed=2, body=lambda seq: "wrong" if seq in wrong else plain(seq)),
    )
    numbers = f"{first + 17:,}–{first + 18:,}, {first + 1999:,}"

    assert ("FAIL", 0) == (outputs_of.verdict, outputs_of.totals.missing)
    assert [f"client-1 and client-2 have different records under 3 numbers: {numbers}"] == outputs_of.reasons
    assert "0 damaged lines, 3 numbers with different records" == detail(outputs_of, "intact")


def test_the_first_record_over_a_connection_may_be_a_snapshot() -> None:
    """A snapshot has the number of the last record before it, which other clients received: that is no conflict."""
    snapshot = shared(5, 100, body=lambda seq: "snapshot" if seq == 5 else plain(seq))

    assert ("PASS", []) == (judged(snapshot, shared(1, 100)).verdict, judged(snapshot, shared(1, 100)).reasons)


def test_a_snapshot_does_not_hide_a_conflict_of_two_others() -> None:
    """Clients with different records under a number fail, though a third one has its first record there."""
    wrong = shared(1, 100, body=lambda seq: "wrong" if seq == 5 else plain(seq))

    assert ["client-3 and client-1 have different records under 1 number: 5"] == judged(
        wrong, shared(5, 100), shared(1, 100)
    ).reasons


def test_the_client_that_differs_is_named() -> None:
    """The sentence names the one of three clients whose record differs from that of the two others."""
    wrong = shared(5, 100, body=lambda seq: "wrong" if seq == 50 else plain(seq))

    assert ["client-2 and client-1 have different records under 1 number: 50"] == judged(
        wrong, shared(5, 100), shared(5, 100)
    ).reasons


def test_most_records_must_differ() -> None:
    """Clients whose records differ under most numbers are not compared; under fewer than half, these are conflicts."""
    few, most = (
        judged(shared(5, 400), shared(5, 400, body=lambda seq, part=part: f"{seq % 10 < part} {seq}"))  # type: ignore[misc]
        for part in (0, 10)
    )

    assert ("PASS", "PASS") == (few.verdict, most.verdict)
    some = judged(
        shared(5, 404, body=lambda seq: f"{seq % 10 < 3} {seq}"), shared(5, 404, body=lambda seq: f"False {seq}")
    )

    assert "client-1 and client-2 have different records under 120 numbers" in some.headline


def test_sequences_of_a_feed_with_keys_are_judged_one_by_one() -> None:
    """With keys, only the sequences that are counted per connection are not compared."""

    def received(begins_us: int, *lost: int) -> list[ExternalMessage]:
        a = [record(seq, START_US + begins_us + seq * 10_000, key="a") for seq in range(300)]
        b = [record(seq, START_US + seq * 10_000, key="b") for seq in range(500, 900) if seq not in lost]
        return sorted([*a, *b], key=lambda one: one.received_at)

    outputs_of = judged(received(0), received(1_500_000, 600))

    assert [0, 1] == [one.missing for one in outputs_of.clients]
    assert 1 == outputs_of.missing_by_cause.sent_not_logged
    assert "not compared in 1 of 2 sequences" in detail(outputs_of, "complete")


def test_hundreds_of_connections_are_distinguished() -> None:
    """Hundreds of connections that are numbered for themselves are a group each, with few comparisons a client."""
    assert 300 == len(groups(*(own(at * 5_000, 20) for at in range(300))))


def test_without_its_open_line_no_record_of_a_file_is_compared() -> None:
    """A file without an open line is not compared; a copy of it with one is, in any order of reading."""
    wrong = shared(5, 104, seed=2, body=lambda seq: "wrong" if seq == 9 else plain(seq))
    whole, other = logs_of(shared(5, 104), wrong)
    (source,) = other
    headless = {source: other[source][1:]}
    copy = {type(source)(RUN, source.client, "copy.jsonl"): other[source]}

    assert b"different records" not in outputs_of(evidence_of(whole, headless))
    both = {outputs_of(evidence_of(whole, *parts)) for parts in ((headless, copy), (copy, headless))}
    assert 1 == len(both)
    assert b"different records under 1 number: 9" in both.pop()


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.sampled_from(["own", "shared"]), st.integers(0, 40), st.integers(0, 3)), max_size=4),
    st.randoms(use_true_random=False),
)
def test_the_order_of_reading_does_not_matter(kinds: Any, chance: random.Random) -> None:
    """The summary is the same for any order of lines of different files, with queries in between and a full sample."""
    received = [
        own(delay * 1000, 60, body=beats(wrong)) if kind == "own" else shared(wrong, 60, seed=delay)
        for kind, delay, wrong in kinds
    ]
    logs = logs_of(*received)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept_records, "CLUSTERS", 3)
        patch.setattr(kept_records, "ENTRIES", 40)
        patch.setattr(kept_records, "LEAST", 1)
        expected = outputs_of(evidence_of(*logs))
        files = {source: lines for one in logs for source, lines in one.items()}

        assert expected == outputs_of(fold_in_turns(files, chance, partial(snapshot, final=False), 0.3))


def outputs_of(made: RunEvidence) -> bytes:
    """Return summary and timeline of a run."""
    return summary.encode(reconcile(made, final=True))


@pytest.mark.parametrize("forms", [(None, "text"), ("text", None), ("text", "text")])
def test_a_record_that_is_no_strict_json_conflicts_with_another_one(forms: tuple[Form | None, Form | None]) -> None:
    """A record is strict JSON by its bytes alone, so a text and JSON under one number are different records."""
    received = [shared(1, 60, seed=seed) for seed in (1, 2)]
    for messages, form, body in zip(received, forms, (b'"a"', b'"b"'), strict=True):
        messages[39] = msgspec.structs.replace(
            messages[39], form=form, record=msgspec.Raw(body) if form else messages[39].record
        )

    assert ("FAIL", "0 damaged lines, 1 number with different records") == (
        judged(*received).verdict, detail(judged(*received), "intact")
    )  # fmt: skip
