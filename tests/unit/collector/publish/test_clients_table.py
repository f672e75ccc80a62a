"""Tests of services/collector/publish/clients_table.py."""

import msgspec

from services.collector.publish import clients_table
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
    """Numbers are sorted by what they are and shown with thousands and units."""
    made = clients_table.table(_summary(_client("client-1", 1_500_000, missing=4000)), _timeline())

    assert [("4,000", 4000, "bad")] == [(cell.text, cell.value, cell.tone) for cell in made.column("missing")]
    assert [("1.5 ms", 1_500_000)] == [(cell.text, cell.value) for cell in made.column("latency_p99")]
    assert [("0", 0, "")] == [(cell.text, cell.value, cell.tone) for cell in made.column("duplicates")]


def test_the_slowest_is_marked() -> None:
    """The one with the highest p99; of equals, and alone, none."""
    slow, fast = _client("client-1", 9), _client("client-2", 5)
    made = clients_table.table(_summary(slow, fast), _timeline())

    assert ["slowest", ""] == [cell.text for cell in made.column("note")]
    assert ["doubt", ""] == [cell.tone for cell in made.column("latency_p99")]
    for every in ([slow], [slow, slow], [_client("client-1", None), _client("client-2", None)]):
        made = clients_table.table(_summary(*every), _timeline())
        assert {""} == {cell.text for cell in made.column("note")}


def test_an_unusual_state_is_noted() -> None:
    """Who vanished or was stopped is set apart from those who finished."""
    made = clients_table.table(_summary(_client("client-1", 9, "lost"), _client("client-2", 5, "left")), _timeline())

    assert [("lost, slowest", "bad"), ("left", "doubt")] == [(cell.text, cell.tone) for cell in made.column("note")]


def test_lanes_are_compared_on_one_scale() -> None:
    """The sparklines of all clients have the same top, which the column's hint tells."""
    made = clients_table.table(
        _summary(_client("client-1", 9), _client("client-2", 5)), _timeline([8_000_000, None, 1], [4_000_000, 1, 1])
    )
    hint = next(column.hint for column in made.columns if column.key == "over_time")

    assert ["█ ▁", "▄▁▁"] == [cell.text for cell in made.column("over_time")]
    assert "█ is 8.0 ms" in hint


def test_silence_is_a_time() -> None:
    """The longest of each; who received nothing has none."""
    silent = msgspec.structs.replace(_client("client-1", 9), silence_ns=100_000_000)
    mute = msgspec.structs.replace(_client("client-2", 9), silence_ns=None)
    made = clients_table.table(_summary(silent, mute), _timeline())

    assert [("100.0 ms", 100_000_000), ("-", None)] == [(cell.text, cell.value) for cell in made.column("silence")]


def test_what_latency_counts_from_is_told() -> None:
    """At rate 0 nothing is due, so the send time takes its place, in numbers and hints."""
    unscheduled = msgspec.structs.replace(_client("client-1", 9), latency_ns=Quantiles())
    summary = msgspec.structs.replace(_summary(unscheduled), latency_ns=Quantiles())
    made = clients_table.table(summary, _timeline())
    hint = next(column.hint for column in made.columns if column.key == "latency_p99")

    assert [unscheduled.transit_ns.p99] == [cell.value for cell in made.column("latency_p99")]
    assert hint.endswith("from when a record was sent.")


def test_without_latency_nobody_looks_silent() -> None:
    """Where no message has a latency there is no line of them, which would be all blank."""
    made = clients_table.table(_summary(_client("client-1", None)), _timeline([None, None]))

    assert [""] == [cell.text for cell in made.column("over_time")]


def test_who_caught_up_with_everything_has_no_latency() -> None:
    """Its transit does not take the place of what was due and not measured; others show that they caught up nothing."""
    late = msgspec.structs.replace(_client("client-2", None), latency_ns=Quantiles(), catch_up=60)
    made = clients_table.table(_summary(_client("client-1", 9), late), _timeline())

    assert [("-", None), ("60", 60)] == [(cell.text, cell.value) for cell in made.column("catch_up")]
    assert [9, None] == [cell.value for cell in made.column("latency_p99")]
