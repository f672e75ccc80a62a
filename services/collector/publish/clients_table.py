"""The clients of a run as a table: what each answers for, what it logged, how late, and how that went over time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal, TypeAlias

import msgspec

from services.collector import formatting
from services.contract.summary import ClientSummary, Quantiles, Summary
from services.contract.timeline import ClientLane, Timeline

Tone: TypeAlias = Literal["good", "bad", "doubt", ""]
"""How a reader should take something: as it should be, a fact against the run, a doubt, or neither."""


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One column: a short ``label``, a sentence of ``hint``; numbers stand to the right."""

    key: str
    label: str
    hint: str = ""
    numeric: bool = True


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One cell: its ``text``, and the number or text that it is made from, null when nothing was measured."""

    text: str
    value: int | float | str | None
    tone: Tone = ""


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of cells, one for each column."""

    columns: list[Column]
    rows: list[list[Cell]]

    def column(self, key: str) -> list[Cell]:
        """Return the cells of a column, from top to bottom."""
        at = [column.key for column in self.columns].index(key)
        return [row[at] for row in self.rows]

    def hint(self, key: str) -> str:
        """Return the hint of a column."""
        return next(column.hint for column in self.columns if column.key == key)


MOST_CHARACTERS = 16
LEVELS = "▁▂▃▄▅▆▇█"
SILENCE = " "


def coarse(worst: Sequence[int | None], most: int = MOST_CHARACTERS) -> list[int | None]:
    """Return at most so many values, each the greatest of as many neighbours, null where all of them are."""
    parts = min(most, len(worst))
    bounds = [at * len(worst) // parts for at in range(parts + 1)] if parts else [0]
    pieces = (worst[low:high] for low, high in pairwise(bounds))
    return [max((value for value in piece if value is not None), default=None) for piece in pieces]


def top(lanes: Iterable[ClientLane]) -> int:
    """Return what the highest character stands for: the worst of all clients, so that they can be compared."""
    return max((value for lane in lanes for value in lane.worst if value is not None), default=0)


def sparkline(worst: Sequence[int | None], highest: int) -> str:
    """Return a lane as at most `MOST_CHARACTERS` characters, ``▁`` to ``█`` from 0 to ``highest``; blank: silence."""
    return "".join(SILENCE if value is None else _level(value, highest) for value in coarse(worst))


def _level(value: int, highest: int) -> str:
    # Rounded up: only the worst of all is as high as can be, and nothing that was received looks like silence.
    steps = -(-value * len(LEVELS) // highest) if highest > 0 else 1
    return LEVELS[max(1, min(steps, len(LEVELS))) - 1]


COLUMNS = (
    Column(key="client", label="client", hint="Its name.", numeric=False),
    Column(key="state", label="state", hint="Lost: it vanished without a word. Left: it was stopped.", numeric=False),
    Column(key="block_size", label="block size", hint="Messages to a block."),
    Column(key="blocks", label="blocks", hint="Blocks it logged."),
    Column(key="sessions", label="sessions", hint="Processes that logged under its name: one more for each restart."),
    Column(key="expected", label="expected", hint="Messages that it answers for."),
    Column(key="received", label="received", hint="Distinct messages that it logged."),
    Column(key="missing", label="missing", hint="Messages that it answers for and did not log."),
    Column(key="duplicates", label="duplicates", hint="Messages that it received again."),
    Column(key="reordered", label="reordered", hint="Messages that it received out of order."),
    Column(key="corrupt", label="corrupt", hint="Messages that failed their checksum in flight."),
    Column(key="catch_up", label="caught up", hint="Messages due before it first tried to take part: no latency."),
    Column(key="bytes", label="bytes", hint="Bytes of the records it logged."),
    Column(key="block_p50", label="block p50", hint="Median time to receive a block, first message to last."),
    Column(key="latency_p50", label="latency p50", hint="Median, {from}."),
    Column(key="latency_p99", label="latency p99", hint="Ninety-nine messages in a hundred came sooner, {from}."),
    Column(key="latency_max", label="latency max", hint="The worst, {from}."),
    Column(key="silence", label="silence", hint="The longest time in which it received nothing."),
    Column(
        key="over_time",
        label="worst over time",
        hint="The longest latency, from start to end: █ is {top} for every client, blank is silence.",
        numeric=False,
    ),
    Column(key="note", label="note", hint="What sets it apart.", numeric=False),
)


def table(summary: Summary, timeline: Timeline) -> Table:
    """Return the clients of a run, in the order of the summary."""
    highest, slowest = top(timeline.lanes), _slowest(summary)
    values = {
        "from": latency_from(summary),
        "top": formatting.duration(highest) if highest else "the highest",
    }
    # Without the sender's time nobody was silent for having no latency.
    is_measured = any(value is not None for lane in timeline.lanes for value in lane.worst)
    by_name = {lane.client: lane for lane in timeline.lanes}
    rows = []
    for client in summary.clients:
        lane = by_name.get(client.client)
        cells = {
            **_counts(client),
            **_times(client),
            "over_time": _text(sparkline(lane.worst, highest) if lane and is_measured else ""),
            "note": _note(client, is_slowest=client is slowest),
        }
        if client is slowest:
            p99 = cells["latency_p99"]
            cells["latency_p99"] = Cell(text=p99.text, value=p99.value, tone="doubt")
        rows.append([cells[column.key] for column in COLUMNS])
    columns = [
        Column(key=one.key, label=one.label, hint=one.hint.format_map(values), numeric=one.numeric) for one in COLUMNS
    ]
    return Table(columns=columns, rows=rows)


def latency_from(summary: Summary) -> str:
    """Return from when latency counts in this run: nothing is due at rate 0."""
    if summary.books == "one-sided":
        return "from the sender's time"
    return "from when a record was due" if timed(summary) is summary.latency_ns else "from when a record was sent"


def timed(made: Summary | ClientSummary) -> Quantiles:
    """Return the latency of a run or a client: from the due time, or where nothing was ever due from the send time."""
    # Who caught up with everything has no latency, though all of it was due.
    was_due = made.latency_ns.max is not None or bool(_caught_up(made))
    return made.latency_ns if was_due else made.transit_ns


def _caught_up(made: Summary | ClientSummary) -> int | None:
    return made.totals.catch_up if isinstance(made, Summary) else made.catch_up


def _counts(client: ClientSummary) -> dict[str, Cell]:
    against = ("missing", "duplicates", "reordered", "corrupt")
    names = ("block_size", "blocks", "sessions", "expected", "received", *against)
    lost: Tone = "bad" if client.state == "lost" else ""
    return {
        "client": _text(client.client),
        "state": _text(client.state, lost),
        "bytes": Cell(text=formatting.size(client.bytes), value=client.bytes),
        "catch_up": _count(client.catch_up or None, bad=False),
        **{name: _count(getattr(client, name), bad=name in against) for name in names},
    }


def _times(client: ClientSummary) -> dict[str, Cell]:
    latency = timed(client)
    return {
        "block_p50": duration(client.block_duration_ns.p50),
        "latency_p50": duration(latency.p50),
        "latency_p99": duration(latency.p99),
        "latency_max": duration(latency.max),
        "silence": duration(client.silence_ns),
    }


def _note(client: ClientSummary, *, is_slowest: bool) -> Cell:
    usual = client.state in ("running", "finished")
    parts = [*([] if usual else [client.state]), *(["slowest"] if is_slowest else [])]
    return _text(", ".join(parts), "bad" if client.state == "lost" else "doubt" if parts else "")


def _slowest(summary: Summary) -> ClientSummary | None:
    known = []
    for client in summary.clients:
        latency = timed(client)
        if latency.p99 is not None and latency.max is not None:
            known.append(((latency.p99, latency.max), client))
    known.sort(key=lambda one: one[0], reverse=True)
    # Of equals none is the slowest, nor is the only one.
    return known[0][1] if len(known) > 1 and known[0][0] > known[1][0] else None


def duration(value_ns: int | None) -> Cell:
    """Return a cell for a duration, null when nothing was measured."""
    return Cell(text=formatting.duration(value_ns), value=value_ns)


def _count(count: int | None, *, bad: bool) -> Cell:
    return Cell(text="-" if count is None else f"{count:,}", value=count, tone="bad" if bad and count else "")


def _text(text: str, tone: Tone = "") -> Cell:
    return Cell(text=text, value=text, tone=tone)
