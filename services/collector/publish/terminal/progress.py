"""The line of one second while a run goes on: its columns stay where they are while the numbers grow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from services.collector import formatting
from services.collector.publish.terminal.text_table import (
    CLIENTS,
    GAP,
    WIDTH,
    ColumnLayout,
    StyledSpan,
    cut,
    worth_showing,
)
from services.collector.publish.view_model import Tile, View, tiles
from services.contract.summary import Summary


def clock(elapsed_s: float | None) -> str:
    """Return a time since the start: ``00:07``, ``1:02:03``."""
    seconds = max(0, int(elapsed_s or 0))
    minutes, hours = seconds // 60 % 60, seconds // 3600
    return f"{hours}:{minutes:02d}:{seconds % 60:02d}" if hours else f"{minutes:02d}:{seconds % 60:02d}"


def progress(summary: Summary, elapsed_s: float | None, rate: float | None) -> str:
    """Return the line of one second.

    Args:
        summary: the run as it stands.
        elapsed_s: since the first record was due.
        rate: messages logged per second of late, all clients together.
    """
    if summary.state in ("opened", "waiting"):
        return summary.headline.replace(": ", "   ", 1)
    of = {tile.key: tile for tile in tiles(summary)}
    done, _, expected = of["delivered"].text.partition(" of ")
    parts = [
        f"{clock(elapsed_s)}  {of['verdict'].text:<7}",
        formatting.several(len(summary.clients), "client"),
        f"{done:>{len(expected)}} of {expected}",
        f"{of['delivered'].hint:>7}",
        f"{formatting.rate(None if rate is None else round(rate)):>13}",
        f"p99 {of['p99'].text:>8}",
        f"missing {of['missing'].text}",
    ]
    return GAP.join(part for at, part in enumerate(parts) if at not in _spared(parts, expected))[:WIDTH]


def _spared(parts: Sequence[str], expected: str) -> tuple[int, ...]:
    """Return what is given up where it is narrow: the share, then the clients.

    Measured by all that may come to be missing, so that it is the same in every line.
    """
    widest = [*parts[:-1], f"missing {expected}"]
    for spared in ((), (3,)):
        if len(GAP.join(part for at, part in enumerate(widest) if at not in spared)) <= WIDTH:
            return spared
    return (1, 3)


MOST_ROWS = 20
BAR = 36
TILES = ("rate", "p99", "missing", "blocks", "clients", "silence")


def frame(
    view: View, width: int, height: int, elapsed_s: float | None = None, rate: float | None = None
) -> list[list[StyledSpan]]:
    """Return the lines of a frame, each as spans; none is wider, and there are no more, than there is room for.

    Args:
        view: the run as it stands.
        width: columns of the terminal.
        height: its lines.
        elapsed_s: since the first record was due, if known.
        rate: messages logged per second of late, all clients together; else that since the start is shown.
    """
    width = min(width, WIDTH)
    lines = [*_head(view, elapsed_s), [], _numbers(view, width, rate), [], *_clients(view, width, height - 6)]
    return [list(_within(line, width)) for line in lines[: max(1, height - 1)]]


def _head(view: View, elapsed_s: float | None) -> Iterator[list[StyledSpan]]:
    state: StyledSpan = (f"  {view.state.upper()}", "title")
    if view.state in ("opened", "waiting"):
        yield [state, (f"   {view.headline.partition(': ')[2]}", "")]
        return
    delivered, done = view.tile("delivered"), round(BAR * view.share)
    time = "" if elapsed_s is None else f"{clock(elapsed_s)}   "
    bar: list[StyledSpan] = [("━" * done, "value"), ("─" * (BAR - done), "faint")]
    yield [state, (f"   {time}", ""), *bar, (f"  {delivered.hint:>7}", "title"), (f"   {delivered.text}", "")]


def _numbers(view: View, width: int, rate: float | None) -> list[StyledSpan]:
    line: list[StyledSpan] = []
    for key in TILES:
        tile = view.tile(key)
        text = formatting.rate(round(rate)) if key == "rate" and rate is not None else tile.text
        spans = _tile(tile, text)
        if text == "-":
            continue
        if sum(len(one) for one, _ in [*line, *spans]) > width:
            break
        line += spans
    return line


def _tile(tile: Tile, text: str) -> list[StyledSpan]:
    return [(f"{GAP}{tile.label} ", "faint"), (text, tile.tone or "value"), (" ", "")]


def _clients(view: View, width: int, room: int) -> Iterator[list[StyledSpan]]:
    if not view.clients.rows or room < 2:
        return
    most = min(MOST_ROWS, room - 1)
    rows = worth_showing(view.clients.rows, most)
    layout = ColumnLayout(view.clients, CLIENTS, width)
    yield list(layout.heads())
    yield from (list(layout.cells(row)) for row in rows)
    if len(view.clients.rows) > most:
        yield [(f"{GAP}and {len(view.clients.rows) - most:,} more", "faint")]


def _within(line: Sequence[StyledSpan], width: int) -> Iterator[StyledSpan]:
    for text, style in line:
        if width > 0:
            yield cut(text, width), style
        width -= len(text)
