"""The stop of a server beside others that may stop at the same time: the last one pauses the run for all."""

from __future__ import annotations

import asyncio

from services.server.runs.run import Run

TOGETHER_SECONDS = 0.5
"""How long a server serves on after it has announced its stop: others that are stopped with it announce theirs."""
_LOOK_SECONDS = 0.02


async def leave_together(run: Run, seconds: float = TOGETHER_SECONDS) -> None:
    """Announce the stop of this server; return when its clients may be disconnected.

    Alone that is at once, with the run paused. Of servers that stop together the last one pauses the run, and each of
    them serves on until the pause has begun: otherwise the clients that are disconnected first would miss records that
    are due, and have them late.

    Args:
        run: that this server plays.
        seconds: limit of each of the two waits.
    """
    run.leave()
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while run.agreement.has_siblings(proven=True) and (left := until - loop.time()) > 0:
        await asyncio.sleep(min(_LOOK_SECONDS, left))
        run.follow()
    run.pause_if_last()
    await asyncio.sleep(min(run.seconds_until_pause(), seconds))
