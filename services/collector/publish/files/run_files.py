"""The files of a run below ``summary/<run>/``: their names, writing them, and reading them again.

An open run has its ``summary.json`` alone. A closed run has the other files as well: the verdict in several formats,
and the timeline, so that its charts can be shown without reading its logs again. A copy of the newest run's summary is
at ``summary/summary.json``.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from services.collector.formatting import displayable
from services.collector.publish.files.csv_export import clients_csv
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


def summary_path(volumes: Path, run: str) -> Path:
    """Return the path of a run's summary."""
    return volumes / "summary" / run / SUMMARY


def places(volumes: Path, run: str) -> str:
    """Return a line that names the folders of a run's files."""
    return f"files in {displayable(str(volumes))}: logs/{run}/  summary/{run}/{REPORT}"


def dated(snapshot: Snapshot, at: str | None) -> Snapshot:
    """Return a snapshot with the time at which it was made: the only field that does not follow from the logs."""
    return snapshot._replace(summary=msgspec.structs.replace(snapshot.summary, made_at=at))


def render_files(snapshot: Snapshot) -> dict[str, bytes]:
    """Return the names and contents of a closed run's files, in the order in which they are written."""
    run = snapshot.summary.run
    # The files may be moved, so they name their places within a volumes folder, and not that folder itself.
    run_view = view(snapshot, f"files: logs/{run}/  summary/{run}/{REPORT}")
    return {
        TIMELINE: timeline.encode(snapshot.timeline),
        REPORT: report(snapshot),
        CLIENTS: clients_csv(snapshot.summary),
        JUNIT: junit(run_view),
        MARKDOWN: markdown(run_view),
        # Last: if the summary of a closed run exists, so do all its other files.
        SUMMARY: summary.encode(snapshot.summary),
    }


def store(volumes: Path, snapshot: Snapshot, *, newest: bool) -> None:
    """Write the summary of a run, and all files if it is closed; a reader sees the old or the new content of each.

    The files of a closed run are synced to disk. The summary of an open run is not: it is written several times a
    second and can be made again from the logs, so it must not compete for the disk with the clients.

    Args:
        volumes: the volumes folder.
        snapshot: the run.
        newest: it is the newest run, so the copy beside the folders of the runs is of this one.

    Raises:
        OSError: the file system refuses.
    """
    is_closed = snapshot.summary.state == "closed"
    contents = render_files(snapshot) if is_closed else {SUMMARY: summary.encode(snapshot.summary)}
    path = summary_path(volumes, snapshot.summary.run)
    # Each time, since an operator may remove the folder of an open run.
    durable_file.make_folder(path.parent)
    for name, content in contents.items():
        durable_file.replace(path.with_name(name), content, durable=is_closed)
    if newest:
        durable_file.replace(volumes / "summary" / SUMMARY, contents[SUMMARY], durable=is_closed)


def load(volumes: Path, run: str) -> Summary | None:
    """Return the published summary of a run, None if there is none that can be read."""
    try:
        return summary.decode(summary_path(volumes, run).read_bytes())
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def load_snapshot(volumes: Path, run: str) -> Snapshot | None:
    """Return a run as it was published; without a readable timeline its timeline is empty."""
    published = load(volumes, run)
    if published is None:
        return None
    try:
        return Snapshot(published, timeline.decode(summary_path(volumes, run).with_name(TIMELINE).read_bytes()))
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return Snapshot(published, empty(run))
