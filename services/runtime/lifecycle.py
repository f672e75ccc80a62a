"""Start and end of a service process: signals, exit codes, and the report of errors that the operator can repair."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.runtime import parent_pipe, process_setup
from services.runtime.errors import EXIT_BAD_SETTINGS, OperatorError

Settings = TypeVar("Settings")

_CHECK_SECONDS = 0.5
"""Interval between checks whether the operator has repaired the error."""


def run(
    read_settings: Callable[[], Settings],
    main: Callable[[Settings, asyncio.Event], Awaitable[int]],
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> int:
    """Run a service until it returns or is stopped; return its exit code.

    An `OperatorError` is printed. The process then waits ``HOLD_SECONDS`` before it exits with 104, so that a restart
    policy does not spin. If the error is repaired in this time, the service starts again in the same process, without
    the back-off of the restart policy.

    Args:
        read_settings: called before each start.
        main: the service. Its event is set by SIGTERM, SIGINT and SIGHUP, and when the process that started this one as
            its child ends.
        loop_factory: makes the event loop; None for asyncio's default.
    """
    # Group-writable, so that the host's user, whose group owns the volumes, can delete logs without sudo.
    os.umask(0o002)
    process_setup.keep_freed_memory()
    parent_pipe.attached()
    while True:
        try:
            settings = read_settings()
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                return runner.run(_with_signals(settings, main))
        except OperatorError as error:
            sys.stderr.write(error.report())
            if not _repaired_in_time(error):
                return EXIT_BAD_SETTINGS


async def _with_signals(settings: Settings, main: Callable[[Settings, asyncio.Event], Awaitable[int]]) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # Under nohup SIGHUP is ignored: keep it so, or closing the terminal would stop the service.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            loop.add_signal_handler(number, stop.set)
    # Exclude the imported modules from garbage collection: scanning them would delay a message by milliseconds.
    gc.freeze()
    try:
        return await main(settings, stop)
    except ExceptionGroup as group:
        # A task that runs as long as the service may find a fault that the operator has to repair. Any other exception
        # beside it is a fault of this program, and is reported with its trace.
        faults, others = group.split(OperatorError)
        if faults is None or others is not None:
            raise
        raise _first(faults) from None


def _first(faults: ExceptionGroup[OperatorError]) -> OperatorError:
    found: OperatorError | ExceptionGroup[OperatorError] = faults
    while isinstance(found, ExceptionGroup):
        found = found.exceptions[0]
    return found


def _repaired_in_time(error: OperatorError) -> bool:
    """Wait for at most ``HOLD_SECONDS``; return True as soon as the error is repaired, or False."""
    # Not read with the other settings, because they may be the error.
    text = os.environ.get("HOLD_SECONDS", "")
    left = min(float(text), 60.0) if text.replace(".", "", 1).isdecimal() else 0.0
    # No event loop runs meanwhile that could handle it.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    while left > 0:
        # Sleep before the first check too: an error that comes and goes must not make the process spin.
        time.sleep(min(left, _CHECK_SECONDS))
        left -= _CHECK_SECONDS
        if error.is_repaired():
            return True
    return False
