"""The summary of a run as text for a terminal: the verdict first, then sections of ``label.....: number`` as in k6.

Made from the view alone. Lines have at most `WIDTH` columns. Pure.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from services.collector import formatting
from services.collector.publish.table import Table
from services.collector.publish.terminal.text_layout import (
    CLIENTS,
    TIMES,
    WIDTH,
    ColumnLayout,
    Style,
    StyledSpan,
    most_important,
    styled_line,
    truncated,
)
from services.collector.publish.view_model import CheckRow, Row, View

MAX_ROWS = 60
"""Clients that are listed."""
MAX_REASONS = 12

LEADER = 27
"""Characters from the start of a label to its colon, at least three dots included, so that all colons line up."""
MIN_NAME_WIDTH = 20
"""Characters of the column with the names of checks and thresholds, if none is longer."""

_STYLES: dict[bool | None, Style] = {True: "good", False: "bad", None: "faint"}


def render(view: View, *, colour: bool = False) -> str:
    """Return the summary of a run.

    Args:
        view: the run.
        colour: use ANSI colours.
    """
    lines = [
        *_head(view, colour=colour),
        *(styled_line(*spans, colour=colour) for spans in _sections(view)),
        "",
        styled_line(("  ", ""), (view.places, "faint"), colour=colour),
        "",
    ]
    return "\n".join(lines)


def _head(view: View, *, colour: bool) -> Iterator[str]:
    verdict = view.verdict or view.state.upper()
    # Further lines of the headline begin below the first, behind the verdict.
    indent = " " * (5 + len(verdict))
    first, *rest = textwrap.wrap(view.headline, WIDTH - len(indent)) or [""]
    yield ""
    yield f"  {styled_line((verdict, view.tone), colour=colour, bold=True)}   {first}".rstrip()
    yield from (indent + text for text in rest)


def _sections(view: View) -> Iterator[Sequence[StyledSpan]]:
    if view.verdict is not None:
        yield from _title("CHECKS")
        yield from _check_rows(view.checks)
    if view.thresholds:
        yield from _title("THRESHOLDS")
        yield from _check_rows(view.thresholds)
    yield from _title("DELIVERY")
    for row in view.delivery:
        yield from _delivery_row(row)
    yield from _times(view.times)
    yield from _clients(view.clients)
    if len(view.reasons) > 1:
        yield from _title("REASONS")
        yield from _reasons(view.reasons)


def _title(title: str) -> Iterator[Sequence[StyledSpan]]:
    yield ()
    yield ((f"  █ {title}", "title"),)


def _check_rows(checks: Sequence[CheckRow]) -> Iterator[Sequence[StyledSpan]]:
    width = max(MIN_NAME_WIDTH, *(len(check.name) + 2 for check in checks)) if checks else MIN_NAME_WIDTH
    width = min(width, WIDTH // 2)
    for check in checks:
        first, *rest = textwrap.wrap(check.detail, WIDTH - 6 - width) or [""]
        yield (
            ("    ", ""),
            (f"{formatting.MARKS[check.ok]} ", _STYLES[check.ok]),
            (f"{truncated(check.name, width - 2):<{width}}", ""),
            (first, "faint"),
        )
        yield from (((" " * (6 + width) + text, "faint"),) for text in rest)


def _label(label: str, *, inner: bool = False) -> str:
    return f"    {'  ' if inner else ''}{label}".ljust(4 + LEADER, ".") + ": "


def _delivery_row(row: Row) -> Iterator[Sequence[StyledSpan]]:
    label, (value, *additions) = _label(row.label, inner=row.inner), row.texts
    room = WIDTH - len(label) - len(value) - 3
    first, *rest = textwrap.wrap("   ".join(additions), room) if additions and room > 0 else [""]
    yield (label, ""), (value, row.tone or "value"), (f"   {first}", "faint")
    yield from (((" " * (len(label) + len(value) + 3) + text, "faint"),) for text in rest)


def _times(table: Table) -> Iterator[Sequence[StyledSpan]]:
    if not table.rows:
        return
    label_width = 4 + LEADER + 1
    layout = ColumnLayout(table, TIMES, WIDTH - label_width)
    yield ()
    yield (f"{'  █ TIMES':<{label_width}}", "title"), *layout.heads()
    for row in table.rows:
        yield (_label(row[0].text).rstrip(), ""), *layout.cells(row)


def _clients(table: Table) -> Iterator[Sequence[StyledSpan]]:
    if not table.rows:
        return
    layout = ColumnLayout(table, CLIENTS, WIDTH - 2)
    yield from _title("CLIENTS")
    yield ("  ", ""), *layout.heads()
    for row in most_important(table.rows, MAX_ROWS):
        yield ("  ", ""), *layout.cells(row)
    if (more := table.beyond(min(MAX_ROWS, len(table.rows)))) > 0:
        yield ((f"    and {more:,} more in clients.csv", "faint"),)
    if any(cell.text for cell in table.column("over_time")):
        yield ((f"    {table.hint('over_time')}", "faint"),)


def _reasons(reasons: Sequence[str]) -> Iterator[Sequence[StyledSpan]]:
    for reason in reasons[:MAX_REASONS]:
        for wrapped in textwrap.wrap(reason, WIDTH, initial_indent="    ", subsequent_indent="      "):
            yield ((wrapped, ""),)
    if len(reasons) > MAX_REASONS:
        yield ((f"    and {len(reasons) - MAX_REASONS:,} more in summary.json", "faint"),)
