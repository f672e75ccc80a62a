"""Tests of services/collector/publish/clients_table.py."""

import msgspec

from services.collector.publish.clients_table import clients_table
from services.contract.summary import ClientState, ClientSummary, Quantiles, Summary
from services.contract.timeline import ClientLane, Timeline, TimeSlot
from tests.builders.runs import RUN, good_run, judged


def _timeline(*worsts: list[int | None]) -> Timeline:
    slots = [
        TimeSlot(at_us=at * 50_000, messages=0, bytes=0, latency=None, transit=None, heat=[])
        for at in range(len(worsts[0]) if worsts else 0)
    ]
    every = [
        ClientLane(client=f"client-{at}", stride=1, bars=[], gaps=[], worst=worst) for at, worst in enumerate(worsts, 1)
    ]
    return Timeline(run=RUN, start_us=0, end_us=0, step_us=50_000, slots=slots, lanes=every, marks=[])


def _client(name: str, p99: int | None, state: ClientState = "finished", missing: int = 0) -> ClientSummary:
    quantiles = Quantiles(min=1, p50=1, p90=1, p95=1, p99=p99, p99_9=p99, max=p99)
    return msgspec.structs.replace(
        judged(good_run()).clients[0], client=name, state=state, missing=missing, latency_ns=quantiles
    )


def _summary(*every: ClientSummary) -> Summary:
    return msgspec.structs.replace(judged(good_run()), clients=list(every))


def test_every_cell_has_its_text_and_its_number() -> None:
    """A cell has a text with thousands and units, and the number that the page sorts by."""
    made = clients_table(_summary(_client("client-1", 1_500_000, missing=4000)), _timeline())

    assert [("4,000", 4000, "bad")] == [(cell.text, cell.value, cell.tone) for cell in made.column("missing")]
    assert [("1.5 ms", 1_500_000)] == [(cell.text, cell.value) for cell in made.column("latency_p99")]
    assert [("0", 0, "")] == [(cell.text, cell.value, cell.tone) for cell in made.column("duplicates")]


def test_the_slowest_is_marked() -> None:
    """The client with the highest p99 is marked, but none on a tie or if there is only one."""
    slow, fast = _client("client-1", 9), _client("client-2", 5)
    made = clients_table(_summary(slow, fast), _timeline())

    assert ["slowest", ""] == [cell.text for cell in made.column("note")]
    assert ["doubt", ""] == [cell.tone for cell in made.column("latency_p99")]
    for every in ([slow], [slow, slow], [_client("client-1", None), _client("client-2", None)]):
        made = clients_table(_summary(*every), _timeline())
        assert {""} == {cell.text for cell in made.column("note")}


def test_an_unusual_state_is_noted() -> None:
    """A client that is lost or has left has its state in its note."""
    made = clients_table(_summary(_client("client-1", 9, "lost"), _client("client-2", 5, "left")), _timeline())

    assert [("lost, slowest", "bad"), ("left", "doubt")] == [(cell.text, cell.tone) for cell in made.column("note")]


def test_sparklines_have_one_scale() -> None:
    """The sparklines of all clients have the same maximum, which is in the column's hint."""
    made = clients_table(
        _summary(_client("client-1", 9), _client("client-2", 5)), _timeline([8_000_000, None, 1], [4_000_000, 1, 1])
    )
    hint = next(column.hint for column in made.columns if column.key == "over_time")

    assert ["█ ▁", "▄▁▁"] == [cell.text for cell in made.column("over_time")]
    assert "█ is 8.0 ms" in hint


def test_silence_is_a_duration() -> None:
    """A client's longest silence is shown; a client that received nothing has none."""
    silent = msgspec.structs.replace(_client("client-1", 9), silence_ns=100_000_000)
    mute = msgspec.structs.replace(_client("client-2", 9), silence_ns=None)
    made = clients_table(_summary(silent, mute), _timeline())

    assert [("100.0 ms", 100_000_000), ("-", None)] == [(cell.text, cell.value) for cell in made.column("silence")]


def test_the_hint_names_the_start_of_latency() -> None:
    """At rate 0 records have no due time, so latency counts from the send time, in numbers and hints."""
    unscheduled = msgspec.structs.replace(_client("client-1", 9), latency_ns=Quantiles())
    summary = msgspec.structs.replace(_summary(unscheduled), latency_ns=Quantiles())
    made = clients_table(summary, _timeline())
    hint = next(column.hint for column in made.columns if column.key == "latency_p99")

    assert [unscheduled.transit_ns.p99] == [cell.value for cell in made.column("latency_p99")]
    assert hint.endswith("from when a record was sent.")


def test_without_latency_there_is_no_sparkline() -> None:
    """If no message has a latency, the sparkline is empty: a blank one would mean silence."""
    made = clients_table(_summary(_client("client-1", None)), _timeline([None, None]))

    assert [""] == [cell.text for cell in made.column("over_time")]


def test_a_client_that_only_caught_up_has_no_latency() -> None:
    """Its transit is not shown as latency; clients that caught up nothing have a dash."""
    late = msgspec.structs.replace(_client("client-2", None), latency_ns=Quantiles(), catch_up=60)
    made = clients_table(_summary(_client("client-1", 9), late), _timeline())

    assert [("-", None), ("60", 60)] == [(cell.text, cell.value) for cell in made.column("catch_up")]
    assert [9, None] == [cell.value for cell in made.column("latency_p99")]
