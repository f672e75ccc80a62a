"""Waits for the verdicts of an invocation's own runs, by the same command that a script uses."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec

from services.contract import summary
from services.contract.summary import EXIT_CODES
from services.local import child_process
from services.local.invocation_runs import InvocationRuns
from services.runtime.errors import EXIT_ABORTED, EXIT_BAD_SETTINGS

OPEN_SECONDS = 60.0
"""A run that is not even opened after this long is not waited for any more."""
AGAIN_SECONDS = 0.5

_CODES = {*EXIT_CODES.values(), EXIT_BAD_SETTINGS, EXIT_ABORTED}


async def verdicts(environment: dict[str, str], runs: InvocationRuns, count: int, say: Callable[[str], None]) -> int:
    """Wait for the verdict of every run, the first one first; return the first exit code that is not 0.

    Args:
        environment: the services' settings.
        runs: of this invocation.
        count: how many runs are played, 0 for endless.
        say: takes the reason when waiting is given up.
    """
    number = worst = 0
    while True:
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                run = await runs.nth(number)
        except TimeoutError:
            say(f"no progress for {OPEN_SECONDS:.0f} s, waiting for a run: none has been opened")
            return worst or EXIT_ABORTED
        code = await verdict(environment, run, say)
        worst, number = worst or code, number + 1
        if number == count or code == EXIT_ABORTED:
            return worst


def stopped(volumes: Path, runs: InvocationRuns, count: int) -> int:
    """Return the exit code of an invocation that the operator stopped, once all of its processes have ended.

    A run may end by that, as one of an external feed without an end does: then its verdict has been shown and counts.
    """
    codes = [_closed(volumes, run) for run in runs.names]
    if len(codes) != count or EXIT_ABORTED in codes:
        return EXIT_ABORTED
    return next((code for code in codes if code), 0)


def _closed(volumes: Path, run: str) -> int:
    try:
        made = summary.decode((volumes / "summary" / run / "summary.json").read_bytes())
    except (OSError, msgspec.MsgspecError):
        return EXIT_ABORTED
    return EXIT_CODES[made.verdict] if made.state == "closed" and made.verdict else EXIT_ABORTED


async def verdict(environment: dict[str, str], run: str, say: Callable[[str], None]) -> int:
    """Wait for the verdict of a run and return its exit code."""
    while True:
        code, said = await _wait(environment, run)
        if code in _CODES:
            break
        # The command itself was killed or failed, which says nothing about the run.
        say(f"waiting for run {run} ended with code {code}; waiting again")
        await asyncio.sleep(AGAIN_SECONDS)
    # The collector has shown the summary already: what is not known yet is why waiting was in vain.
    if code in (EXIT_ABORTED, EXIT_BAD_SETTINGS) and said:
        say(said)
    return code


async def _wait(environment: dict[str, str], run: str) -> tuple[int, str]:
    waiting = await child_process.start(("-m", "services.collector", "wait", "--run", run), environment)
    last = deque[str](maxlen=1)
    try:
        async for line in waiting.lines():
            if line.strip():
                last.append(line)
        return await waiting.wait(), "".join(last)
    finally:
        # When the run is stopped before its verdict, this process is of no use any more.
        if waiting.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                waiting.process.kill()
            await waiting.wait()
