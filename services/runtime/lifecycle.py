"""How a process starts and ends: signals, exit codes, and the one report of what the operator must mend."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.runtime import parent_pipe
from services.runtime.errors import EXIT_BAD_SETTINGS, OperatorError
from services.runtime.malloc import keep_freed

Settings = TypeVar("Settings")

_LOOK_SECONDS = 0.5
"""How often it is looked whether what was wrong is mended."""


def run(
    read_settings: Callable[[], Settings],
    main: Callable[[Settings, asyncio.Event], Awaitable[int]],
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> int:
    """Run a service until it returns or is told to stop, and return its exit code.

    ``main`` gets the settings and an event that SIGTERM, SIGINT and SIGHUP set, and the end of the process that started
    this one as its child. What the operator has to mend is printed
    one line each, and the process waits ``HOLD_SECONDS`` before it exits 104, so that a restart policy does not spin.
    If it is mended meanwhile, the service is begun again: a restart policy would make it wait once more.
    """
    # Group-writable: the host's user, in whose group the volumes are, deletes logs without sudo.
    os.umask(0o002)
    keep_freed()
    parent_pipe.attached()
    while True:
        try:
            settings = read_settings()
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                return runner.run(_with_signals(settings, main))
        except OperatorError as problem:
            sys.stderr.write(problem.report())
            if not _mended_in_time(problem):
                return EXIT_BAD_SETTINGS


async def _with_signals(settings: Settings, main: Callable[[Settings, asyncio.Event], Awaitable[int]]) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # `nohup` lets a process ignore that its terminal is closed.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            loop.add_signal_handler(number, stop.set)
    # What was imported stays: looking through it for garbage would hold up a message by milliseconds.
    gc.freeze()
    return await main(settings, stop)


def _mended_in_time(problem: OperatorError) -> bool:
    """Wait for as long as ``HOLD_SECONDS`` says; return, early, whether what was wrong is mended."""
    # Not read with the settings: these may be what is wrong.
    text = os.environ.get("HOLD_SECONDS", "")
    left = min(float(text), 60.0) if text.replace(".", "", 1).isdecimal() else 0.0
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    while left > 0:
        # Before the first look too: what comes and goes must not make the process spin.
        time.sleep(min(left, _LOOK_SECONDS))
        left -= _LOOK_SECONDS
        if problem.is_repaired():
            return True
    return False
