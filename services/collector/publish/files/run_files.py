"""The files of a run below ``summary/<run>/``: their names, writing them, reading them again, and removing old ones.

An open run has its ``summary.json`` alone. A closed run has the other files as well: the verdict in several formats,
and the timeline, so that its charts can be shown without reading its logs again. A copy of the newest run's summary is
at ``summary/summary.json``.

Logs and ledgers are removed by the processes that wrote them; the collector must not be able to write to them. A
summary stays as long as one of them does: without it the run would be read, and its verdict printed, again.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import msgspec

from services.collector.formatting import displayable
from services.collector.publish.files.csv_export import clients_csv
from services.collector.publish.files.html_page import report
from services.collector.publish.files.junit import junit
from services.collector.publish.files.markdown import markdown
from services.collector.publish.view_model import view
from services.collector.verdict.snapshot import Snapshot, empty
from services.contract import summary, timeline
from services.contract.scalars import RUN_PATTERN, run_order
from services.contract.summary import Summary
from services.runtime import durable_file
from services.runtime.jsonlogs import ErrorLog

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
        CLIENTS: clients_csv(snapshot.summary, snapshot.clients),
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


def surplus_runs(closed: Iterable[str], keep: int) -> list[str]:
    """Return the closed runs beyond the newest ``keep``, oldest first; none if ``keep`` is 0."""
    return sorted(closed, key=run_order)[:-keep] if keep else []


def runs_with_summary(volumes: Path) -> set[str]:
    """Return the runs that have a summary, with or without logs and ledger."""
    names = (path.parent.name for path in (volumes / "summary").glob("*/summary.json"))
    return {name for name in names if re.match(RUN_PATTERN, name)}


def remove_surplus(volumes: Path, closed: Iterable[str], keep: int, errors: ErrorLog) -> set[str]:
    """Remove the summaries of surplus runs whose logs and ledgers are gone; return the removed runs."""
    removed = set()
    for run in surplus_runs(closed, keep):
        try:
            if remove_summary(volumes, run):
                removed.add(run)
        except OSError as error:
            errors.report("cannot remove an old summary", "", error)
    return removed


def remove_summary(volumes: Path, run: str) -> bool:
    """Remove a run's summary if its logs and ledger are gone; return whether it was removed.

    Raises:
        OSError: the file system refuses.
    """
    if any((volumes / folder / run).is_dir() for folder in ("logs", "ledger")):
        return False
    shutil.rmtree(volumes / "summary" / run)
    return True
