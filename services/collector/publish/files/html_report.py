"""The report of a run: the page as one file that opens anywhere, without a server and without a network."""

from __future__ import annotations

import msgspec

from services.collector.publish.files import page_assets
from services.collector.publish.files.chart_data import drawing
from services.collector.publish.view_model import view
from services.collector.verdict.snapshot import Snapshot

MOST_BARS = 20_000
"""A file is read once and not sent every second: it may show more blocks than the live page."""


def report(snapshot: Snapshot) -> bytes:
    """Return the report of a run, of any state and length, the same bytes for the same snapshot."""
    return page_assets.report(
        msgspec.json.encode(
            {
                "view": view(snapshot, ""),
                "drawing": drawing(snapshot.timeline, MOST_BARS),
                "made_at": snapshot.summary.made_at,
            }
        )
    )
