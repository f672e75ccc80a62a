"""The summary of a run as text for a terminal: the verdict first, then sections of ``label.....: number`` as in k6.

Made from the view alone. Lines have at most as many columns as are given; only a path may be longer. Pure.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from services.collector import formatting
from services.collector.publish.table import Table
from services.collector.publish.terminal.text_layout import (
    CLIENTS,
    MIN_WIDTH,
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
from services.runtime.output import printable

MAX_ROWS = 60
"""Clients that are listed."""
MAX_REASONS = 12

LEADER = 27
"""Characters from the start of a label to its colon, at least three dots included, so that all colons line up."""
MIN_NAME_WIDTH = 20
"""Characters of the column with the names of checks and thresholds, if none is longer."""
MIN_BESIDE = 12
"""Characters that texts beside a number need; in a narrower place they are below it."""
_NO_BREAK = "\u00a0"

_STYLES: dict[bool | None, Style] = {True: "good", False: "bad", None: "faint"}


def render(view: View, *, colour: bool = False, width: int = WIDTH) -> str:
    """Return the summary of a run.

    Args:
        view: the run.
        colour: use ANSI colours.
        width: columns of the longest line, between `MIN_WIDTH` and `WIDTH`.
    """
    width = min(max(width, MIN_WIDTH), WIDTH)
    lines = [
        *_head(view, width, colour=colour),
        *(styled_line(*spans, colour=colour) for spans in _sections(view, width)),
        "",
        *(styled_line((f"  {line}", "faint"), colour=colour) for line in _places(view.places, width - 2)),
        "",
    ]
    return "\n".join(lines)


def _head(view: View, width: int, *, colour: bool) -> Iterator[str]:
    verdict = view.verdict or view.state.upper()
    # Further lines of the headline begin below the first, behind the verdict.
    indent = " " * (5 + len(verdict))
    first, *rest = _wrapped(view.headline, width - len(indent)) or [""]
    yield ""
    yield f"  {styled_line((verdict, view.tone), colour=colour, bold=True)}   {first}".rstrip()
    yield from (indent + text for text in rest)


def _sections(view: View, width: int) -> Iterator[Sequence[StyledSpan]]:
    if view.verdict is not None:
        yield from _title("CHECKS")
        yield from _check_rows(view.checks, width)
    if view.thresholds:
        yield from _title("THRESHOLDS")
        yield from _check_rows(view.thresholds, width)
    yield from _title("DELIVERY")
    for row in view.delivery:
        yield from _delivery_row(row, width)
    yield from _times(view.times, width)
    yield from _clients(view.clients, width)
    if len(view.reasons) > 1:
        yield from _title("REASONS")
        yield from _reasons(view.reasons, width)


def _title(title: str) -> Iterator[Sequence[StyledSpan]]:
    yield ()
    yield ((f"  █ {title}", "title"),)


def _check_rows(checks: Sequence[CheckRow], width: int) -> Iterator[Sequence[StyledSpan]]:
    names = max(MIN_NAME_WIDTH, *(len(check.name) + 2 for check in checks)) if checks else MIN_NAME_WIDTH
    names = min(names, width // 2)
    for check in checks:
        first, *rest = _wrapped(check.detail, width - 6 - names) or [""]
        yield (
            ("    ", ""),
            (f"{formatting.MARKS[check.ok]} ", _STYLES[check.ok]),
            (f"{truncated(check.name, names - 2):<{names}}", ""),
            (first, "faint"),
        )
        yield from (((" " * (6 + names) + text, "faint"),) for text in rest)


def _label(label: str, *, inner: bool = False) -> str:
    return f"    {'  ' if inner else ''}{label}".ljust(4 + LEADER, ".") + ": "


def _delivery_row(row: Row, width: int) -> Iterator[Sequence[StyledSpan]]:
    label, (value, *additions) = _label(row.label, inner=row.inner), row.texts
    # A number of eleven digits and the number it is compared with need two lines of a narrow terminal.
    value, *rest = _wrapped(value, width - len(label)) or [""]
    indent = len(label) + len(value) + 3
    is_beside = not rest and width - indent >= MIN_BESIDE
    below = indent if is_beside else len(label)
    texts = _wrapped("   ".join(_unbroken(text, width - below) for text in additions), width - below)
    yield (label, ""), (value, row.tone or "value"), (f"   {texts.pop(0)}" if texts and is_beside else "", "faint")
    yield from (((" " * len(label) + text, row.tone or "value"),) for text in rest)
    yield from (((" " * below + text, "faint"),) for text in texts)


def _unbroken(text: str, width: int) -> str:
    """Return a text that is not wrapped between a number and its unit, if it fits in a line."""
    return text.replace(" ", _NO_BREAK) if len(text) <= width else text


def _wrapped(text: str, width: int, indents: tuple[str, str] = ("", "")) -> list[str]:
    # Escapes first: they are longer than the characters that they show.
    lines = textwrap.wrap(printable.one_line(text), width, initial_indent=indents[0], subsequent_indent=indents[1])
    return [line.replace(_NO_BREAK, " ") for line in lines]


def _times(table: Table, width: int) -> Iterator[Sequence[StyledSpan]]:
    if not table.rows:
        return
    label_width = 4 + LEADER + 1
    layout = ColumnLayout(table, TIMES, width - label_width)
    yield ()
    yield (f"{'  █ TIMES':<{label_width}}", "title"), *layout.heads()
    for row in table.rows:
        yield (_label(row[0].text).rstrip(), ""), *layout.cells(row)


def _clients(table: Table, width: int) -> Iterator[Sequence[StyledSpan]]:
    if not table.rows:
        return
    layout = ColumnLayout(table, CLIENTS, width - 2)
    yield from _title("CLIENTS")
    yield ("  ", ""), *layout.heads()
    for row in most_important(table.rows, MAX_ROWS):
        yield ("  ", ""), *layout.cells(row)
    if (more := table.beyond(min(MAX_ROWS, len(table.rows)))) > 0:
        yield ((f"    and {more:,} more in clients.csv", "faint"),)
    if any(cell.text for cell in table.column("over_time")):
        yield from (((f"    {text}", "faint"),) for text in _wrapped(table.hint("over_time"), width - 4))


def _reasons(reasons: Sequence[str], width: int) -> Iterator[Sequence[StyledSpan]]:
    for reason in reasons[:MAX_REASONS]:
        for wrapped in _wrapped(reason, width, ("    ", "      ")):
            yield ((wrapped, ""),)
    if len(reasons) > MAX_REASONS:
        yield ((f"    and {len(reasons) - MAX_REASONS:,} more in summary.json", "faint"),)


def _places(text: str, width: int) -> Sequence[str]:
    # A path stays whole, so that it can be copied.
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
