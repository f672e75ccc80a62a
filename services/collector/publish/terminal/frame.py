"""What a terminal shows in place while a run goes on: how far it is, the numbers in one line, the clients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from services.collector import formatting
from services.collector.publish.terminal.ink import WIDTH, Span, cut
from services.collector.publish.terminal.progress import clock
from services.collector.publish.terminal.text_table import CLIENTS, GAP, Layout, worth_showing
from services.collector.publish.view_model import Tile, View

MOST_ROWS = 20
BAR = 36
TILES = ("rate", "p99", "missing", "blocks", "clients", "silence")


def frame(
    view: View, width: int, height: int, elapsed_s: float | None = None, rate: float | None = None
) -> list[list[Span]]:
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


def _head(view: View, elapsed_s: float | None) -> Iterator[list[Span]]:
    state: Span = (f"  {view.state.upper()}", "title")
    if view.state in ("opened", "waiting"):
        yield [state, (f"   {view.headline.partition(': ')[2]}", "")]
        return
    delivered, done = view.tile("delivered"), round(BAR * view.share)
    time = "" if elapsed_s is None else f"{clock(elapsed_s)}   "
    bar: list[Span] = [("━" * done, "value"), ("─" * (BAR - done), "faint")]
    yield [state, (f"   {time}", ""), *bar, (f"  {delivered.hint:>7}", "title"), (f"   {delivered.text}", "")]


def _numbers(view: View, width: int, rate: float | None) -> list[Span]:
    line: list[Span] = []
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


def _tile(tile: Tile, text: str) -> list[Span]:
    return [(f"{GAP}{tile.label} ", "faint"), (text, tile.tone or "value"), (" ", "")]


def _clients(view: View, width: int, room: int) -> Iterator[list[Span]]:
    if not view.clients.rows or room < 2:
        return
    most = min(MOST_ROWS, room - 1)
    rows = worth_showing(view.clients.rows, most)
    layout = Layout(view.clients, CLIENTS, width)
    yield list(layout.heads())
    yield from (list(layout.cells(row)) for row in rows)
    if len(view.clients.rows) > most:
        yield [(f"{GAP}and {len(view.clients.rows) - most:,} more", "faint")]


def _within(line: Sequence[Span], width: int) -> Iterator[Span]:
    for text, style in line:
        if width > 0:
            yield cut(text, width), style
        width -= len(text)
