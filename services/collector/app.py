"""The collector: rounds in a thread, the page beside them, until it is told to stop."""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from services.collector.open_run import LATE_SECONDS
from services.collector.poller import POLL_SECONDS, Poller
from services.collector.publish.files import run_files
from services.collector.publish.terminal.printer import TerminalPrinter, of_invocation
from services.collector.publish.web import control
from services.collector.publish.web.control import ControlProxy
from services.collector.publish.web.events import SnapshotBoard
from services.collector.publish.web.self_metrics import SelfMeter, resident_bytes
from services.collector.publish.web.server import PageServer
from services.collector.settings import CollectorSettings
from services.runtime import parent_pipe
from services.runtime.clock import Clock
from services.runtime.heartbeat import beat
from services.runtime.jsonlogs import ErrorLog
from services.runtime.volumes import check_writable

log = logging.getLogger(__name__)


async def _see_the_end(collector: Poller) -> None:
    """Follow a run that ended just now for as long as its server may enter clients that came too late.

    The last round closes it, and a verdict that was printed must not be changed by such a line.
    """
    until = time.monotonic() + LATE_SECONDS
    while time.monotonic() < until and collector.newest is not None and collector.newest.summary.state == "ended":
        await asyncio.sleep(POLL_SECONDS)
        await asyncio.to_thread(collector.round)


async def main(settings: CollectorSettings, stop: asyncio.Event) -> int:
    """Run the service until it is told to stop."""
    check_writable(settings.volumes / "summary")
    board = SnapshotBoard()
    more = control.routes(ControlProxy(settings).ask)
    page = PageServer(settings.page_host, settings.page_port, board, settings.volumes, more)
    speaker = TerminalPrinter.on_stdout(settings.volumes, colour=settings.colour)
    speaker.listen()
    spoken = of_invocation(speaker, parent_pipe.attached())
    collector, meter = Poller(settings, Clock(), spoken), SelfMeter()
    asyncio.get_running_loop().set_exception_handler(partial(_complain, collector.complaints))

    def show() -> None:
        newest, now = collector.newest, time.monotonic()
        meter.note(now, time.process_time())
        board.tell(collector.effort, meter.tiles(collector.effort, collector.complaints.count, resident_bytes(), now))
        places = run_files.places(settings.volumes, newest.summary.run) if newest else ""
        board.show(newest, places, collector.durations)

    tasks = [asyncio.create_task(beat(alive=collector.is_alive)), asyncio.create_task(page.serve())]
    log.info("ready", extra={"page": page.address, "volumes": str(Path(settings.volumes))})
    try:
        while not stop.is_set():
            began = time.process_time()
            behind = await asyncio.to_thread(collector.round)
            show()
            pause = 0.0 if behind else collector.pause_seconds(time.process_time() - began)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause)
        await _see_the_end(collector)
        await asyncio.to_thread(collector.round, last=True)
        show()
    finally:
        speaker.end()
        await page.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return 0


def _complain(complaints: ErrorLog, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Say what went wrong in the event loop; a refused connection is said once, however many there are."""
    problem = context.get("exception")
    if isinstance(problem, OSError) and problem.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
        complaints.report("cannot accept a connection to the page", "", problem)
    else:
        loop.default_exception_handler(context)
