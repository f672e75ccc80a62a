"""Puts a summary where others find it: ``summary/<run>/summary.json``, and a copy of the newest beside the runs.

Beside the summary of a closed run lie its other files: the verdict for every reader, and the timeline, so that its
charts can be shown without reading its books again.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from services.collector.publish.files.csv_export import sheet
from services.collector.publish.files.html_report import report
from services.collector.publish.files.junit import junit
from services.collector.publish.files.markdown import markdown
from services.collector.publish.view_model import view
from services.collector.verdict.snapshot import Snapshot, empty
from services.contract import summary, timeline
from services.contract.summary import Summary
from services.runtime import durable_file

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


def summary_path(volumes: Path, run: str) -> Path:
    """Return where the summary of a run is."""
    return volumes / "summary" / run / SUMMARY


def load(volumes: Path, run: str) -> Summary | None:
    """Return the published summary of a run, None when there is none that can be read."""
    try:
        return summary.decode(summary_path(volumes, run).read_bytes())
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def load_snapshot(volumes: Path, run: str) -> Snapshot | None:
    """Return what was published of a run; of one without a timeline that can be read, nothing is known over time."""
    made = load(volumes, run)
    if made is None:
        return None
    try:
        return Snapshot(made, timeline.decode(summary_path(volumes, run).with_name(TIMELINE).read_bytes()))
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return Snapshot(made, empty(run))


def dated(made: Snapshot, at: str | None) -> Snapshot:
    """Return a snapshot with the time it was made, the one field that is no function of the books."""
    return made._replace(summary=msgspec.structs.replace(made.summary, made_at=at))


def store(volumes: Path, made: Snapshot, *, newest: bool) -> None:
    """Write a summary so that a reader sees the old one or the new one; of a closed run all its files.

    That of a closed run is on disk then. Another is made again from the books, several times a second: it does not
    keep the disk from the clients.

    Args:
        volumes: the volumes folder.
        made: the run.
        newest: the run is the last one opened, so the copy beside the runs is of this one.

    Raises:
        OSError: the file system refuses.
    """
    durable = made.summary.state == "closed"
    written = faces(made) if durable else {SUMMARY: summary.encode(made.summary)}
    path = summary_path(volumes, made.summary.run)
    durable_file.make_folder(path.parent)
    # The summary last: who finds that of a closed run finds the others.
    for name, data in written.items():
        durable_file.replace(path.with_name(name), data, durable=durable)
    if newest:
        durable_file.replace(volumes / "summary" / SUMMARY, written[SUMMARY], durable=durable)


def places(volumes: Path, run: str) -> str:
    """Return the line that says where the files of a run are."""
    return f"files in {volumes}: logs/{run}/  summary/{run}/{REPORT}"
