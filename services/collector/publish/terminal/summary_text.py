"""The summary of a run on the terminal, in k6's grammar: the verdict first, a dot leader to every number.

Made of the view alone; at most `WIDTH` columns; colours only where the caller says so.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from services.collector import formatting
from services.collector.publish.clients_table import Table
from services.collector.publish.terminal import text_table
from services.collector.publish.terminal.text_table import (
    WIDTH,
    ColumnLayout,
    Style,
    StyledSpan,
    cut,
    line,
    worth_showing,
)
from services.collector.publish.view_model import CheckRow, Row, View

MOST_ROWS = 60
MOST_REASONS = 12

LEADER = 27
"""From a label to its colon, at least three dots: all colons of the summary stand below each other."""
NAME = 20

_STYLES: dict[bool | None, Style] = {True: "good", False: "bad", None: "faint"}


def final(view: View, *, colour: bool = False) -> str:
    """Return the summary of a run.

    Args:
        view: the run.
        colour: use the terminal's colours.
    """
    lines = [
        *_head(view, colour=colour),
        *(line(*spans, colour=colour) for spans in _sections(view)),
        "",
        line(("  ", ""), (view.places, "faint"), colour=colour),
        "",
    ]
    return "\n".join(lines)


def _head(view: View, *, colour: bool) -> Iterator[str]:
    verdict = view.verdict or view.state.upper()
    indent = " " * (5 + len(verdict))
    first, *rest = textwrap.wrap(view.headline, WIDTH - len(indent)) or [""]
    yield ""
    yield f"  {line((verdict, view.tone), colour=colour, bold=True)}   {first}".rstrip()
    yield from (indent + more for more in rest)


def _sections(view: View) -> Iterator[Sequence[StyledSpan]]:
    if view.verdict is not None:
        yield from _title("CHECKS")
        yield from _answers(view.checks)
    if view.thresholds:
        yield from _title("THRESHOLDS")
        yield from _answers(view.thresholds)
    yield from _title("DELIVERY")
    for row in view.delivery:
        yield from _row(row)
    yield from _times(view.times)
    yield from _clients(view.clients)
    if len(view.reasons) > 1:
        yield from _title("REASONS")
        yield from _reasons(view.reasons)


def _title(title: str) -> Iterator[Sequence[StyledSpan]]:
    yield ()
    yield ((f"  █ {title}", "title"),)


def _answers(answers: Sequence[CheckRow]) -> Iterator[Sequence[StyledSpan]]:
    name = max(NAME, *(len(answer.name) + 2 for answer in answers)) if answers else NAME
    name = min(name, WIDTH // 2)
    for answer in answers:
        first, *rest = textwrap.wrap(answer.detail, WIDTH - 6 - name) or [""]
        yield (
            ("    ", ""),
            (f"{formatting.MARKS[answer.ok]} ", _STYLES[answer.ok]),
            (f"{cut(answer.name, name - 2):<{name}}", ""),
            (first, "faint"),
        )
        yield from (((" " * (6 + name) + more, "faint"),) for more in rest)


def _label(label: str, *, inner: bool = False) -> str:
    return f"    {'  ' if inner else ''}{label}".ljust(4 + LEADER, ".") + ": "


def _row(row: Row) -> Iterator[Sequence[StyledSpan]]:
    label, (value, *others) = _label(row.label, inner=row.inner), row.texts
    room = WIDTH - len(label) - len(value) - 3
    first, *rest = textwrap.wrap("   ".join(others), room) if others and room > 0 else [""]
    yield (label, ""), (value, row.tone or "value"), (f"   {first}", "faint")
    yield from (((" " * (len(label) + len(value) + 3) + more, "faint"),) for more in rest)


def _times(table: Table) -> Iterator[Sequence[StyledSpan]]:
    if not table.rows:
        return
    label = 4 + LEADER + 1
    layout = ColumnLayout(table, text_table.TIMES, WIDTH - label)
    yield ()
    yield (f"{'  █ TIMES':<{label}}", "title"), *layout.heads()
    for row in table.rows:
        yield (_label(row[0].text).rstrip(), ""), *layout.cells(row)


def _clients(table: Table) -> Iterator[Sequence[StyledSpan]]:
    if not table.rows:
        return
    layout = ColumnLayout(table, text_table.CLIENTS, WIDTH - 2)
    yield from _title("CLIENTS")
    yield ("  ", ""), *layout.heads()
    for row in worth_showing(table.rows, MOST_ROWS):
        yield ("  ", ""), *layout.cells(row)
    if len(table.rows) > MOST_ROWS:
        yield ((f"    and {len(table.rows) - MOST_ROWS:,} more in clients.csv", "faint"),)
    if any(cell.text for cell in table.column("over_time")):
        yield ((f"    {table.hint('over_time')}", "faint"),)


def _reasons(reasons: Sequence[str]) -> Iterator[Sequence[StyledSpan]]:
    for reason in reasons[:MOST_REASONS]:
        for wrapped in textwrap.wrap(reason, WIDTH, initial_indent="    ", subsequent_indent="      "):
            yield ((wrapped, ""),)
    if len(reasons) > MOST_REASONS:
        yield ((f"    and {len(reasons) - MOST_REASONS:,} more in summary.json", "faint"),)
