"""The line of one second while a run goes on: its columns stay where they are while the numbers grow."""

from __future__ import annotations

from collections.abc import Sequence

from services.collector import formatting
from services.collector.publish.terminal.ink import WIDTH
from services.collector.publish.view_model import tiles
from services.contract.summary import Summary

GAP = "  "


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
