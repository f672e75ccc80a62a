"""The clients of a run as a table: what each logged, how late it was, and how that changed over time. Pure."""

from __future__ import annotations

from services.collector import formatting
from services.collector.publish.sparkline import highest_value, sparkline
from services.collector.publish.table import (
    Cell,
    Column,
    Table,
    Tone,
    block_duration_cell,
    count_cell,
    duration_cell,
    text_cell,
)
from services.contract.summary import ClientSummary, Quantiles, Summary
from services.contract.timeline import Timeline

COLUMNS = (
    Column(key="client", label="client", hint="The client's name.", numeric=False),
    Column(
        key="state",
        label="state",
        hint="Lost: the connection ended without a goodbye. Left: the client was stopped.",
        numeric=False,
    ),
    Column(key="block_size", label="block size", hint="Messages per block."),
    Column(key="blocks", label="blocks", hint="Blocks that the client logged."),
    Column(key="sessions", label="sessions", hint="Processes that logged under this name: one more for each restart."),
    Column(key="expected", label="expected", hint="Messages that the client should have logged."),
    Column(key="received", label="received", hint="Distinct messages that the client logged."),
    Column(key="missing", label="missing", hint="Expected messages that the client did not log."),
    Column(key="duplicates", label="duplicates", hint="Messages that the client received more than once."),
    Column(key="reordered", label="reordered", hint="Messages that the client received out of order."),
    Column(key="corrupt", label="corrupt", hint="Messages that failed their checksum in flight."),
    Column(
        key="catch_up",
        label="caught up",
        hint="Messages that were due before the client first tried to connect: they have no latency.",
    ),
    Column(key="bytes", label="bytes", hint="Bytes of the records that the client logged."),
    Column(
        key="block_p50",
        label="block p50",
        hint="Median time from a block's first message to its last, if several reads returned them.",
    ),
    Column(key="latency_p50", label="latency p50", hint="Median latency, {from}."),
    Column(key="latency_p99", label="latency p99", hint="99th percentile of the latency, {from}."),
    Column(key="latency_max", label="latency max", hint="Highest latency, {from}."),
    Column(key="silence", label="silence", hint="The longest time in which the client received nothing."),
    Column(
        key="over_time",
        label="worst over time",
        hint="The highest latency, from start to end: █ is {top} for every client, blank is silence.",
        numeric=False,
    ),
    Column(key="note", label="note", hint="How this client differs from the others.", numeric=False),
)


def clients_table(summary: Summary, timeline: Timeline) -> Table:
    """Return the clients of a run, in the order of the summary."""
    highest, slowest = highest_value(timeline.lanes), _slowest(summary)
    # Without sender timestamps no client has a latency: a blank line would look as if all of them had been silent.
    is_measured = any(value is not None for lane in timeline.lanes for value in lane.worst)
    lanes = {lane.client: lane for lane in timeline.lanes}
    rows = []
    for client in summary.clients:
        lane, is_slowest = lanes.get(client.client), client is slowest
        cells = {
            **_count_cells(client),
            **_duration_cells(client, is_slowest=is_slowest),
            "over_time": text_cell(sparkline(lane.worst, highest) if lane and is_measured else ""),
            "note": _note(client, is_slowest=is_slowest),
        }
        rows.append([cells[column.key] for column in COLUMNS])
    hints = {"from": latency_from(summary), "top": formatting.duration(highest) if highest else "the highest"}
    columns = [
        Column(key=column.key, label=column.label, hint=column.hint.format_map(hints), numeric=column.numeric)
        for column in COLUMNS
    ]
    return Table(columns=columns, rows=rows, unlisted=summary.unlisted.count if summary.unlisted else 0)


def latency_from(summary: Summary) -> str:
    """Return the event from which latency counts in this run: at rate 0 no record has a due time."""
    if summary.books == "one-sided":
        return "from the sender's time"
    is_from_due_time = shown_latency(summary) is summary.latency_ns
    return "from when a record was due" if is_from_due_time else "from when a record was sent"


def shown_latency(summary: Summary | ClientSummary) -> Quantiles:
    """Return the latency from the due time, or where no record ever had one, from the send time."""
    caught_up = summary.totals.catch_up if isinstance(summary, Summary) else summary.catch_up
    # A client that only caught up has no latency, although its records had due times: do not show transit instead.
    has_due_times = summary.latency_ns.max is not None or bool(caught_up)
    return summary.latency_ns if has_due_times else summary.transit_ns


def _count_cells(client: ClientSummary) -> dict[str, Cell]:
    bad = ("missing", "duplicates", "reordered", "corrupt")
    names = ("block_size", "blocks", "sessions", "expected", "received", *bad)
    return {
        "client": text_cell(client.client),
        "state": text_cell(client.state, "bad" if client.state == "lost" else ""),
        "bytes": Cell(text=formatting.size(client.bytes), value=client.bytes),
        "catch_up": count_cell(client.catch_up or None, is_bad=False),
        **{name: count_cell(getattr(client, name), is_bad=name in bad) for name in names},
    }


def _duration_cells(client: ClientSummary, *, is_slowest: bool) -> dict[str, Cell]:
    latency = shown_latency(client)
    p99 = duration_cell(latency.p99)
    return {
        "block_p50": block_duration_cell(client.block_duration_ns.p50),
        "latency_p50": duration_cell(latency.p50),
        "latency_p99": Cell(text=p99.text, value=p99.value, tone="doubt") if is_slowest else p99,
        "latency_max": duration_cell(latency.max),
        "silence": duration_cell(client.silence_ns),
    }


def _note(client: ClientSummary, *, is_slowest: bool) -> Cell:
    notes: list[str] = [] if client.state in ("running", "finished") else [client.state]
    notes += ["slowest"] if is_slowest else []
    stalled_ns = client.instrument_ns.stalled
    notes += [f"did not read for {formatting.duration(stalled_ns)}"] if stalled_ns else []
    tone: Tone = "bad" if client.state == "lost" else "doubt" if notes else ""
    return text_cell(", ".join(notes), tone)


def _slowest(summary: Summary) -> ClientSummary | None:
    """Return the client with the highest p99; none on a tie, nor when only one client was measured.

    None either where the summary does not list all clients: one of the others may be slower.
    """
    if summary.unlisted:
        return None
    ranked = []
    for client in summary.clients:
        latency = shown_latency(client)
        if latency.p99 is not None and latency.max is not None:
            ranked.append(((latency.p99, latency.max), client))
    # By the maximum too: with few messages several clients have the same p99.
    ranked.sort(key=lambda item: item[0], reverse=True)
    return ranked[0][1] if len(ranked) > 1 and ranked[0][0] > ranked[1][0] else None
