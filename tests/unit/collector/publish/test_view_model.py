"""Tests of services/collector/publish/view_model.py."""

import msgspec
import pytest

from services.collector.publish.view_model import View, view
from services.collector.verdict.snapshot import Snapshot, snapshot
from services.collector.verdict.threshold_parser import parse
from services.contract.summary import Causes, Fault, Quantiles, Silence, Summary, Totals
from services.contract.timeline import Timeline
from tests.builders.external_runs import evidence_of, log, message
from tests.builders.runs import RUN, Files, fold, good_run, judged, ledger_source, log_source

EMPTY = Timeline(run=RUN, start_us=None, end_us=None, step_us=50_000, slots=[], lanes=[], marks=[])


def _view(files: Files | None = None, limits: str = "", *, final: bool = True) -> View:
    return view(snapshot(fold(files or good_run()), parse(limits), final=final), "files: here")


def _changed(timeline: Timeline = EMPTY, **changes: object) -> View:
    made: Summary = msgspec.structs.replace(snapshot(fold(good_run()), final=True).summary, **changes)
    return view(Snapshot(made, timeline), "files: here")


def test_a_view_has_the_verdict() -> None:
    """A view has the verdict with its tone, the headline, and the given line of places."""
    made = _view()

    assert (RUN, "closed", "PASS", "good") == (made.run, made.state, made.verdict, made.tone)
    assert made.headline.endswith("120 of 120 delivered · p99 1.0 ms")
    assert "files: here" == made.places


def test_a_failure_has_a_tone_and_reasons() -> None:
    """A failed run has its reasons, and its tiles have tones."""
    files = good_run()
    del files[log_source("client-1")][1]
    made = _view(files)

    assert ("FAIL", "bad") == (made.verdict, made.tone)
    assert made.headline == made.reasons[0]
    assert ("10", "bad", "10 receipted, not logged") == (
        made.tile("missing").text,
        made.tile("missing").tone,
        made.tile("missing").hint,
    )


def test_an_open_run_expects_everything() -> None:
    """While a run is open, every client is expected to get all records, and no check has a result."""
    made = _view({ledger_source(): good_run()[ledger_source()][:5]}, final=False)

    assert (None, "") == (made.verdict, made.tone)
    assert ("0 of 60", "0.0 %") == (made.tile("delivered").text, made.tile("delivered").hint)
    assert {None} == {check.ok for check in made.checks}


def test_thresholds_have_rule_and_measured_value() -> None:
    """Each threshold has its rule and the measured value with its unit."""
    made = _view(limits="latency.p99<5ms, missing!=0")

    assert [(True, "latency.p99<5ms", "measured 1.0 ms"), (False, "missing!=0", "measured 0")] == [
        (limit.ok, limit.name, limit.detail) for limit in made.thresholds
    ]


def test_causes_follow_the_missing_messages() -> None:
    """Only causes that occurred have a row, as parts of the row above."""
    made = _changed(missing_by_cause=Causes(never_sent=2))
    inner = [(row.label, row.texts) for row in made.delivery if row.inner]

    assert [("never sent", ["2 messages"])] == inner
    assert [] == [row for row in _view().delivery if row.inner]


def test_a_duration_that_was_not_measured_has_no_row() -> None:
    """At rate 0 there is no row for the latency from the due time; the tile shows the latency from the send time."""
    made = _changed(latency_ns=Quantiles())

    assert "latency from due time" not in [cell.text for cell in made.times.column("of")]
    assert ("0.5 ms", "from when a record was sent") == (made.tile("p99").text, made.tile("p99").hint)


def test_durations_carry_their_numbers() -> None:
    """A cell of the times has a text and the nanoseconds it is made from."""
    made = _changed(spread_ns=Quantiles(min=1, p50=2, p90=3, p95=4, p99=5, p99_9=6, max=7_000_000))
    row = next(row for row in made.times.rows if row[0].text == "spread first→last client")

    assert [1, 2, 3, 4, 5, 6, 7_000_000] == [cell.value for cell in row[1:]]
    assert ("1 ns", "7.0 ms") == (row[1].text, row[-1].text)


def test_the_longest_silence_has_its_client_and_time() -> None:
    """The tile and the row of the longest silence name client and time; without any silence there is no row."""
    longest = Silence(client="client-2", at="2026-11-22T07:30:00.050999Z", duration_ns=100_000_000)
    made = _changed(silence=longest)

    assert ("100.0 ms", "client-2, from 07:30:00.050 UTC") == (made.tile("silence").text, made.tile("silence").hint)
    assert ["100.0 ms", "client-2, from 07:30:00.050 UTC"] == made.delivery[-1].texts
    assert "residual" == _changed(silence=None).delivery[-1].label


@pytest.mark.parametrize(
    ("client", "kind", "damaged", "faults"), [("client-1", "corrupt_block", "1", "0"), (None, "torn", "0", "1")]
)
def test_faults_are_tiles(client: str | None, kind: str, damaged: str, faults: str) -> None:
    """Damaged lines and other faults have a tile each, and so has the server's lateness."""
    fault = Fault(file="f", line=1, kind=kind, client=client, missing=None, detail="")
    made = _changed(faults=[fault])

    assert (damaged, faults) == (made.tile("damaged").text, made.tile("faults").text)
    assert ("p99 1.0 ms", "p99 1.0 ms late, at most 2.0 ms") == (
        made.tile("generator").text,
        made.tile("generator").hint,
    )


def test_a_run_without_records_can_be_shown() -> None:
    """Without clients and records every number has a text."""
    made = _changed(clients=[], totals=Totals(), latency_ns=Quantiles(), transit_ns=Quantiles(), checks=[])

    assert ("0 of 0", "-") == (made.tile("delivered").text, made.tile("delivered").hint)
    assert ("-", "-", "-") == tuple(made.tile(key).text for key in ("rate", "p99", "generator"))


def test_a_view_is_json() -> None:
    """A view that is encoded for the page and decoded again is equal."""
    made = _view()

    assert made == msgspec.json.decode(msgspec.json.encode(made), type=View)


def test_unknown_values_of_an_external_feed_are_named_unknown() -> None:
    """Without numbers and times the tiles claim neither that nothing is missing nor a latency."""
    made = snapshot(evidence_of(log("client-1", [message(None, 0, late_ns=None)])), final=True)
    texts = {tile.key: (tile.text, tile.hint) for tile in view(made, "files: here").tiles}

    assert ("not known", "") == texts["missing"]
    assert ("not known", "no sender's time") == texts["p99"]
    assert ("0", "found in the logs") == texts["faults"]


def test_catch_up_is_shown_if_there_is_any() -> None:
    """Catch-up is in the delivery rows, the times, and the hint of the latency, which does not include it."""
    quantiles = Quantiles(min=1, p50=2, p90=3, p95=4, p99=5, p99_9=6, max=7_000_000)
    totals = msgspec.structs.replace(judged(good_run()).totals, catch_up=1250)
    made = _changed(totals=totals, catch_up_ns=quantiles)

    assert "catch-up" in [cell.text for cell in made.times.column("of")]
    assert ["1,250 messages", "due before their client first tried to connect"] == made.delivery[-1].texts
    assert "from when a record was due; 1,250 caught up" == made.tile("p99").hint
    assert "caught up" not in [row.label for row in _view().delivery]


def test_blocks_of_one_read_are_named() -> None:
    """A block duration of 0 is shown as one read, in the clients table and in the times; the value stays 0."""
    zero = Quantiles(min=0, p50=0, p90=0, p95=0, p99=0, p99_9=0, max=2_000_000)
    summary = snapshot(fold(good_run()), final=True).summary
    clients = [msgspec.structs.replace(client, block_duration_ns=zero) for client in summary.clients]
    made = _changed(block_duration_ns=zero, clients=clients)
    (row,) = [row for row in made.times.rows if row[0].text == "time to receive a block"]

    assert ["1 read"] * 6 + ["2.0 ms"] == [cell.text for cell in row[1:]]
    assert [0] * 6 + [2_000_000] == [cell.value for cell in row[1:]]
    assert ["1 read"] * 2 == [cell.text for cell in made.clients.column("block_p50")]


def test_what_was_passed_over_and_not_found_is_shown_if_there_is_any() -> None:
    """Ignored messages, pings, and messages without key or time have rows of an external feed, where there are some."""
    counts = {"ignored": 3, "pings": 1, "without_key": 2, "without_time": 5}
    feed = log("client-1", [message(seq, seq) for seq in range(3)], counts=counts)
    rows = {row.label: row.texts for row in view(snapshot(evidence_of(feed), final=True), "").delivery}
    quiet = [
        row.label for row in view(snapshot(evidence_of(log("client-1", [message(1, 1)])), final=True), "").delivery
    ]

    assert (["3 messages"], ["1 message"]) == (rows["ignored"], rows["feed's own pings"])
    assert (["2 messages"], ["5 messages"]) == (rows["without a key"], rows["without a time"])
    assert not {"ignored", "feed's own pings", "without a key", "without a time"} & {*quiet}
