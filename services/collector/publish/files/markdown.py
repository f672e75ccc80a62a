"""The summary as Markdown, for the page of a CI job: verdict, checks, thresholds, delivery, times, clients. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from services.collector import formatting
from services.collector.publish.sparkline import SILENCE
from services.collector.publish.table import Cell, Table
from services.collector.publish.terminal.text_layout import CLIENTS, most_important
from services.collector.publish.view_model import CheckRow, View
from services.runtime.output import printable

MAX_ROWS = 50
MAX_REASONS = 50
# Names and reasons come from logs, so every character that may mean markup is escaped.
_PUNCTUATION = re.compile(r"([\\`*_{}\[\]<>|~$#])")


def markdown(view: View) -> bytes:
    """Return a run as GitHub flavoured Markdown."""
    return ("\n".join(_lines(view)) + "\n").encode()


def escaped(text: str) -> str:
    """Return a text as one line without markup, safe in a cell of a table."""
    return _PUNCTUATION.sub(r"\\\1", printable.one_line(" ".join(text.splitlines())))


def _lines(view: View) -> Iterator[str]:
    mark = {"PASS": "✅ ", "FAIL": "❌ ", "INVALID": "⚠️ "}.get(view.verdict or "", "")
    yield f"# {mark}{view.verdict or view.state}"
    yield ""
    yield f"**{escaped(view.headline)}**"
    yield from _section("Checks", _table(["", "check", "detail"], _check_rows(view.checks), right=()))
    if view.thresholds:
        yield from _section("Thresholds", _table(["", "rule", "measured"], _check_rows(view.thresholds), right=()))
    delivery = (
        [f"{'↳ ' if row.inner else ''}{row.label}", row.texts[0], ", ".join(row.texts[1:])] for row in view.delivery
    )
    yield from _section("Delivery", _table(["", "", ""], delivery, right=(1,)))
    if view.times.rows:
        yield from _section("Times", _columns(view.times, [column.key for column in view.times.columns]))
    if view.clients.rows:
        yield from _section("Clients", _clients(view.clients))
    if len(view.reasons) > 1:
        yield from _section("Reasons", _reasons(view.reasons))
    yield ""
    yield f"Run {escaped(view.run)}, {escaped(view.places)}"


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    yield ""
    yield f"## {title}"
    yield ""
    yield from lines


def _check_rows(checks: Sequence[CheckRow]) -> Iterator[list[str]]:
    for check in checks:
        yield [formatting.MARKS[check.ok], check.name, check.detail]


def _clients(table: Table) -> Iterator[str]:
    # The page of a CI job is narrow, and clients.csv has every column.
    omitted = {"state", "sessions", "expected", "latency_p50", "bytes"}
    omitted |= {
        column.key
        for column in CLIENTS
        if column.only_toned and not any(cell.tone for cell in table.column(column.key))
    }
    keys = [column.key for column in table.columns if column.key not in omitted]
    keys = [key for key in keys if any(cell.text not in ("", "-") for cell in table.column(key))]
    rows = [list(row) for row in most_important(table.rows, MAX_ROWS)]
    yield from _columns(Table(columns=table.columns, rows=rows), keys)
    if (more := table.beyond(min(MAX_ROWS, len(table.rows)))) > 0:
        yield ""
        yield f"And {more:,} more in clients.csv."
    if any(cell.text for cell in table.column("over_time")):
        yield ""
        yield escaped(table.hint("over_time"))


def _columns(table: Table, keys: Sequence[str]) -> Iterator[str]:
    indices = [index for index, column in enumerate(table.columns) if column.key in keys]
    heads = [table.columns[index].label for index in indices]
    right = [position for position, index in enumerate(indices) if table.columns[index].numeric]
    yield from _table(heads, ([_cell(table, row, index) for index in indices] for row in table.rows), right=right)


def _cell(table: Table, row: Sequence[Cell], index: int) -> str:
    text = row[index].text
    # A blank in a sparkline is silence; HTML would collapse several of them into one.
    return text.replace(SILENCE, "\N{NO-BREAK SPACE}") if table.columns[index].key == "over_time" else text


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[int]) -> Iterator[str]:
    yield _row(heads)
    yield _row(["---:" if index in right else "---" for index in range(len(heads))])
    yield from (_row([escaped(text) for text in row]) for row in rows)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _reasons(reasons: Sequence[str]) -> Iterator[str]:
    yield from (f"* {escaped(reason)}" for reason in reasons[:MAX_REASONS])
    if len(reasons) > MAX_REASONS:
        yield f"* and {len(reasons) - MAX_REASONS:,} more in summary.json"
