"""The report of a run: the page as one file that opens anywhere, without a server and without a network. Pure."""

from __future__ import annotations

import msgspec

from services.collector.publish.files import page_assets
from services.collector.publish.files.chart_data import chart_data
from services.collector.publish.view_model import view
from services.collector.verdict.snapshot import Snapshot

MAX_BARS = 20_000
"""A file is not sent every second, so it may show more blocks than the live page."""


def report(snapshot: Snapshot) -> bytes:
    """Return the report of a run in any state; the same snapshot always gives the same bytes."""
    return page_assets.report_page(
        msgspec.json.encode(
            {
                # Without places: a report may be moved, and must be the same on every machine.
                "view": view(snapshot, ""),
                "charts": chart_data(snapshot.timeline, MAX_BARS),
                "made_at": snapshot.summary.made_at,
            }
        )
    )
