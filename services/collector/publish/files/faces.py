"""The files of a run that was judged, by name. Pure: the same books give the same bytes, whoever makes them."""

from __future__ import annotations

from services.collector.publish.files.csv_export import sheet
from services.collector.publish.files.html_report import report
from services.collector.publish.files.junit import junit
from services.collector.publish.files.markdown import markdown
from services.collector.publish.view_model import view
from services.collector.verdict.snapshot import Snapshot
from services.contract import summary, timeline

SUMMARY = "summary.json"
TIMELINE = "timeline.json"
REPORT = "report.html"
JUNIT = "junit.xml"
MARKDOWN = "summary.md"
CLIENTS = "clients.csv"


def faces(made: Snapshot) -> dict[str, bytes]:
    """Return the files of a run, in the order in which they are written: the summary last."""
    run = made.summary.run
    # They may be moved: they say where they are in a volumes folder, not where that was.
    shown = view(made, f"files: logs/{run}/  summary/{run}/{REPORT}")
    return {
        TIMELINE: timeline.encode(made.timeline),
        REPORT: report(made),
        CLIENTS: sheet(made.summary),
        JUNIT: junit(shown),
        MARKDOWN: markdown(shown),
        SUMMARY: summary.encode(made.summary),
    }
