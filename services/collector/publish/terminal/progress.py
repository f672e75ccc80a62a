"""Progress of a run: a line for a log and when it is due, or a frame that is redrawn in place on a terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from services.collector import formatting
from services.collector.publish.terminal.text_layout import (
    CLIENTS,
    GAP,
    WIDTH,
    ColumnLayout,
    StyledSpan,
    most_important,
    truncated,
)
from services.collector.publish.view_model import Tile, View, tiles
from services.contract.summary import Summary
from services.runtime.output import printable

MAX_ROWS = 20
"""Clients in a frame."""
BAR = 36
"""Characters of the progress bar, where they fit."""
TILES = ("rate", "p99", "missing", "blocks", "clients", "silence")

LINE_SECONDS = 1.0
"""Time between two lines while records flow."""
SLOW_LINE_SECONDS = 10.0
"""The same in any other state, or when nothing new was read for `SLOW_AFTER_SECONDS`."""
SLOW_AFTER_SECONDS = 5.0
SILENT_AFTER_SECONDS = 60.0
"""After this long without anything new, no more lines are printed."""
EARLY_SECONDS = 0.025
"""A line may come a quarter of a poll early, or else every line would come one poll later than intended."""


def elapsed_text(elapsed_s: float | None) -> str:
    """Return a time since the start: ``00:07``, ``1:02:03``."""
    seconds = max(0, int(elapsed_s or 0))
    minutes, hours = seconds // 60 % 60, seconds // 3600
    return f"{hours}:{minutes:02d}:{seconds % 60:02d}" if hours else f"{minutes:02d}:{seconds % 60:02d}"


def progress_line(summary: Summary, elapsed_s: float | None, rate: float | None) -> str:
    """Return one line of progress, whose columns keep their places while the numbers grow.

    Args:
        summary: the run as it is now.
        elapsed_s: seconds since the first record was due.
        rate: messages logged per second lately, all clients together.
    """
    if summary.state in ("opened", "waiting"):
        return printable.one_line(summary.headline).replace(": ", "   ", 1)
    tile = {tile.key: tile for tile in tiles(summary)}
    received, _, expected = tile["delivered"].text.partition(" of ")
    parts = [
        f"{elapsed_text(elapsed_s)}  {tile['verdict'].text:<7}",
        formatting.several(summary.client_count, "client"),
        # Without numbers nothing is expected, and a feed that has not begun has neither.
        f"{received:>{len(expected)}} of {expected}" if expected else f"{received:>7} received",
        f"{tile['delivered'].hint:>7}",
        f"{formatting.rate(None if rate is None else round(rate)):>13}",
        f"p99 {tile['p99'].text:>8}",
        f"missing {tile['missing'].text}",
    ]
    omitted = _omitted_parts(parts, expected)
    # Cut at the width, for a line that would wrap breaks the columns of the next ones.
    return GAP.join(part for index, part in enumerate(parts) if index not in omitted)[:WIDTH]


def progress_frame(
    view: View, width: int, height: int, elapsed_s: float | None = None, rate: float | None = None
) -> list[list[StyledSpan]]:
    """Return the lines of a frame that fits a terminal, each as spans.

    Args:
        view: the run as it is now.
        width: columns of the terminal.
        height: lines of the terminal.
        elapsed_s: seconds since the first record was due, if known.
        rate: messages logged per second lately, all clients together; without it the average is shown.
    """
    width = min(width, WIDTH)
    # The last line of the terminal is left for the cursor; a frame that is too high would scroll with every redraw.
    lines = [*_head(view, width, elapsed_s), [], _numbers(view, width, rate), [], *_clients(view, width, height - 6)]
    return [list(_cut_off(line, width)) for line in lines[: max(1, height - 1)]]


class ProgressTimer:
    """Decides when progress of one run is printed.

    Attributes:
        has_printed: whether a line was due already.
    """

    def __init__(self) -> None:
        self.has_printed = False
        self._due_at: float | None = None
        self._state = ""

    def claim_line(self, summary: Summary, now: float, quiet_for: float) -> bool:
        """Return whether to print a line now; if so, the interval until the next one begins.

        Args:
            summary: the run as it is now.
            now: monotonic seconds.
            quiet_for: seconds since something new was read.
        """
        if quiet_for > SILENT_AFTER_SECONDS:
            return False
        is_running = summary.state == "running"
        if is_running and not summary.totals.received and quiet_for < LINE_SECONDS:
            # The run has just started: a line without numbers would delay the first one with numbers.
            return False
        state = f"{summary.state} {summary.headline if summary.state in ('opened', 'waiting') else ''}"
        pause = LINE_SECONDS if is_running and quiet_for < SLOW_AFTER_SECONDS else SLOW_LINE_SECONDS
        # A new state is printed at once.
        if state == self._state and self._due_at is not None and now - self._due_at < pause - EARLY_SECONDS:
            return False
        self._state, self._due_at, self.has_printed = state, now, True
        return True


def _omitted_parts(parts: Sequence[str], expected: str) -> tuple[int, ...]:
    """Return the indices of the parts that do not fit: first the percentage, then the number of clients too.

    Assumes that everything will be missing, the longest possible text, so that the result is the same for every line.
    """
    longest = [*parts[:-1], f"missing {expected}"]
    for omitted in ((), (3,)):
        if len(GAP.join(part for index, part in enumerate(longest) if index not in omitted)) <= WIDTH:
            return omitted
    return (1, 3)


def _head(view: View, width: int, elapsed_s: float | None) -> Iterator[list[StyledSpan]]:
    state: StyledSpan = (f"  {view.state.upper()}", "title")
    if view.state in ("opened", "waiting"):
        yield [state, (f"   {view.headline.partition(': ')[2]}", "")]
        return
    delivered = view.tile("delivered")
    elapsed = "   " if elapsed_s is None else f"   {elapsed_text(elapsed_s)}   "
    share, numbers = f"  {delivered.hint:>7}", f"   {delivered.text}"
    # As long as the numbers can become, so that the bar does not shrink while they grow.
    longest = max(len(numbers), 3 + len(_of_all(delivered.text)))
    length = min(BAR, max(width - len(state[0]) - len(elapsed) - len(share) - longest, 0))
    filled = round(length * view.share)
    bar: list[StyledSpan] = [("━" * filled, "value"), ("─" * (length - filled), "faint")]
    yield [state, (elapsed, ""), *bar, (share, "title"), (numbers, "")]


def _of_all(delivered: str) -> str:
    """Return ``5,000 of 5,000`` for ``12 of 5,000``."""
    _, of, expected = delivered.partition(" of ")
    return f"{expected}{of}{expected}"


def _numbers(view: View, width: int, rate: float | None) -> list[StyledSpan]:
    line: list[StyledSpan] = []
    for key in TILES:
        tile = view.tile(key)
        text = formatting.rate(round(rate)) if key == "rate" and rate is not None else tile.text
        if text == "-":
            continue
        spans = _tile_spans(tile, text)
        if sum(len(part) for part, _ in [*line, *spans]) > width:
            break
        line += spans
    return line


def _tile_spans(tile: Tile, text: str) -> list[StyledSpan]:
    return [(f"{GAP}{tile.label} ", "faint"), (text, tile.tone or "value"), (" ", "")]


def _clients(view: View, width: int, room: int) -> Iterator[list[StyledSpan]]:
    if not view.clients.rows or room < 2:
        return
    most = min(MAX_ROWS, room - 1)
    layout = ColumnLayout(view.clients, CLIENTS, width)
    yield list(layout.heads())
    yield from (list(layout.cells(row)) for row in most_important(view.clients.rows, most))
    if (more := view.clients.beyond(min(most, len(view.clients.rows)))) > 0:
        yield [(f"{GAP}and {more:,} more", "faint")]


def _cut_off(line: Sequence[StyledSpan], width: int) -> Iterator[StyledSpan]:
    for text, style in line:
        shown = printable.one_line(text)
        if width > 0:
            yield truncated(shown, width), style
        width -= len(shown)
