"""The collector's service: polls in a thread and serves the page beside them, until it is asked to stop."""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from services.collector.cpu_yield import POLICY
from services.collector.nodes.node_pulls import FolderInUse, NodePulls, refuse_own_files
from services.collector.open_run import LATE_SECONDS
from services.collector.poller import Poller
from services.collector.publish.files import run_files
from services.collector.publish.terminal.printer import TerminalPrinter, printer_of_invocation
from services.collector.publish.web import control
from services.collector.publish.web.control_proxy import ControlProxy
from services.collector.publish.web.events import SnapshotBoard
from services.collector.publish.web.self_metrics import SelfMeter, resident_bytes
from services.collector.publish.web.server import PageServer
from services.collector.settings import CollectorSettings
from services.runtime import parent_pipe
from services.runtime.access.access_control import AccessControl
from services.runtime.clock import Clock
from services.runtime.errors import UnwritableFolder
from services.runtime.heartbeat import beat
from services.runtime.jsonlogs import ErrorLog
from services.runtime.volumes import check_writable, remove_old_runs_regularly

log = logging.getLogger(__name__)

PULLED_FOLDERS = ("logs", "ledger", "nodes")
"""The folders into which files are pulled."""
_REMOVE_SECONDS = 5.0


async def main(settings: CollectorSettings, stop: asyncio.Event) -> int:
    """Run the service until ``stop`` is set; return the exit code.

    Raises:
        OperatorError: a folder cannot be used, or the page's address.
    """
    board, access = SnapshotBoard(), AccessControl(settings.access)
    page = _page(settings, board, access)
    # After the port is bound: a start that is refused for it leaves the volumes as they were.
    try:
        check_writable(settings.volumes / "summary")
        pulls = made_pulls(settings)
    except (UnwritableFolder, FolderInUse):
        page.close()
        raise
    terminal = TerminalPrinter.on_stdout(settings.volumes, colour=settings.colour)
    terminal.relay_stdin()
    poller = Poller(settings, Clock(), printer_of_invocation(terminal, parent_pipe.attached()), pulls=pulls)
    asyncio.get_running_loop().set_exception_handler(partial(_log_loop_error, poller.errors))
    show = partial(_show, poller, board, SelfMeter(), settings.volumes)
    works = [beat(alive=poller.is_alive), page.serve(), access.follow_files()]
    if pulls is not None:
        # Last, so that no thread pulls into the folder if the page cannot be served and the service starts again.
        pulls.start()
        works += removals(settings)
    tasks = [asyncio.create_task(work) for work in works]
    address = _shown_address(page.address, settings.page_published)
    log.info("ready", extra={"page": address, "volumes": str(Path(settings.volumes))})
    try:
        await _poll_until(stop, poller, show)
        await _follow_end(poller)
        await asyncio.to_thread(poller.poll, last=True)
        show()
    finally:
        if pulls is not None:
            await asyncio.to_thread(pulls.stop)
        terminal.close()
        await page.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return 0


def _page(settings: CollectorSettings, board: SnapshotBoard, access: AccessControl) -> PageServer:
    """Return the page's server, which listens."""
    return PageServer(
        settings.page_host,
        settings.page_port,
        board,
        settings.volumes,
        control.routes(ControlProxy(settings).ask),
        access=access,
        names=settings.page_names,
    )


def _shown_address(address: str, published: int | None) -> str:
    """Return where the operator finds the page: in a container not at the port on which it listens."""
    if published is None:
        return address
    return (
        f"http://localhost:{published}/" if published else "the address that docker compose port collector 8766 prints"
    )


def made_pulls(settings: CollectorSettings) -> NodePulls | None:
    """Return what pulls the files of other hosts, if ``NODES`` names any.

    Raises:
        UnwritableFolder: the files cannot be written.
        FolderInUse: the folder has files of services of this host.
    """
    if not settings.nodes:
        return None
    for folder in PULLED_FOLDERS:
        check_writable(settings.volumes / folder)
    refuse_own_files(settings.volumes)
    token, keep_runs = settings.node_token, settings.keep_runs
    return NodePulls(settings.volumes, settings.nodes, token, keep_runs, ca_file=settings.ca_file)


def removals(settings: CollectorSettings) -> list[Coroutine[None, None, None]]:
    """Return the work that removes the copies of old runs: the services of other hosts remove only their own files."""
    volumes, keep = settings.volumes, settings.keep_runs
    return [remove_old_runs_regularly(volumes / side, keep, _REMOVE_SECONDS) for side in ("logs", "ledger")]


async def _poll_until(stop: asyncio.Event, poller: Poller, show: Callable[[], None]) -> None:
    while not stop.is_set():
        used_before = time.process_time()
        is_behind = await asyncio.to_thread(poller.poll)
        show()
        pause = 0.0 if is_behind else poller.pause_seconds(time.process_time() - used_before)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause)


async def _follow_end(poller: Poller) -> None:
    """Follow a run that ended just now for as long as its server may still record clients that came too late.

    The last poll closes the run, and such a line must not change a verdict that was printed already.
    """
    deadline = time.monotonic() + LATE_SECONDS
    while time.monotonic() < deadline and poller.newest is not None and poller.newest.summary.state == "ended":
        await asyncio.sleep(POLICY.polls.least_seconds)
        await asyncio.to_thread(poller.poll)


def _show(poller: Poller, board: SnapshotBoard, meter: SelfMeter, volumes: Path) -> None:
    """Show the newest run and the collector's own cost on the page."""
    newest, now = poller.newest, time.monotonic()
    meter.add_reading(now, time.process_time())
    board.set_effort(poller.effort, meter.tiles(poller.effort, poller.errors.count, resident_bytes(), now))
    places = run_files.places(volumes, newest.summary.run) if newest else ""
    board.show(newest, places, poller.durations)


def _log_loop_error(errors: ErrorLog, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an error of the event loop; connections that cannot be accepted are logged once, however many there are."""
    error = context.get("exception")
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
        errors.report("cannot accept a connection to the page", "", error)
    else:
        loop.default_exception_handler(context)
