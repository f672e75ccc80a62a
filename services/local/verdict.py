"""Waits for the verdicts of an invocation's runs with the collector's ``wait`` command."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple, TypeAlias

import msgspec

from services.contract import summary
from services.contract.summary import EXIT_CODES
from services.local import child_process
from services.local.invocation_runs import InvocationRuns
from services.runtime.errors import EXIT_ABORTED, EXIT_BAD_SETTINGS

_CODES = {*EXIT_CODES.values(), EXIT_BAD_SETTINGS, EXIT_ABORTED}

RunWait: TypeAlias = Callable[[dict[str, str], str], Awaitable[tuple[int, str]]]
"""The type of `run_wait_command`."""


class WaitPolicy(NamedTuple):
    """How long to wait for the runs of an invocation.

    Attributes:
        open_seconds: time within which the next run has to be opened.
        retry_seconds: pause before the command is run again after it has crashed.
    """

    open_seconds: float = 60.0
    retry_seconds: float = 0.5


DEFAULT_POLICY = WaitPolicy()


async def run_wait_command(environment: dict[str, str], run: str) -> tuple[int, str]:
    """Run the collector's ``wait`` command for one run; return its exit code and the last line that it printed."""
    command = await child_process.start(("-m", "services.collector", "wait", "--run", run), environment)
    last_line = deque[str](maxlen=1)
    try:
        async for line in command.lines():
            if line.strip():
                last_line.append(line)
        return await command.wait(), "".join(last_line)
    finally:
        # The supervisor is being stopped before the verdict.
        if command.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                command.process.kill()
            await command.wait()


async def wait_for_verdicts(
    environment: dict[str, str],
    runs: InvocationRuns,
    count: int,
    show: Callable[[str], None],
    policy: WaitPolicy = DEFAULT_POLICY,
    run_wait: RunWait = run_wait_command,
) -> int:
    """Wait for the verdict of each run in order; return the first exit code that is not 0, or 0.

    Args:
        environment: the services' settings.
        runs: the runs of this invocation.
        count: the number of runs, 0 for endless.
        show: prints the reason for giving up.
        policy: how long to wait.
        run_wait: runs the ``wait`` command.
    """
    number = worst = 0
    while True:
        try:
            async with asyncio.timeout(policy.open_seconds):
                run = await runs.nth(number)
        except TimeoutError:
            show(f"no progress for {policy.open_seconds:.0f} s, waiting for a run: none has been opened")
            return worst or EXIT_ABORTED
        code = await wait_for_verdict(environment, run, show, policy, run_wait)
        worst, number = worst or code, number + 1
        if number == count or code == EXIT_ABORTED:
            return worst


def exit_code_when_stopped(volumes: Path, runs: InvocationRuns, count: int) -> int:
    """Return the exit code of an invocation that was stopped, after all its processes have ended.

    Stopping the clients ends the run of an external feed without an end; its verdict has been printed and counts. An
    invocation with a run that has not been closed, or was never opened, is aborted.
    """
    codes = [_published_code(volumes, run) for run in runs.names]
    # An endless invocation (count 0) has always another run to play, so its stop is no verdict.
    if len(codes) != count or EXIT_ABORTED in codes:
        return EXIT_ABORTED
    return next((code for code in codes if code), 0)


def _published_code(volumes: Path, run: str) -> int:
    try:
        published = summary.decode((volumes / "summary" / run / "summary.json").read_bytes())
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return EXIT_ABORTED
    is_closed = published.state == "closed" and published.verdict
    return EXIT_CODES[published.verdict] if is_closed else EXIT_ABORTED


async def wait_for_verdict(
    environment: dict[str, str],
    run: str,
    show: Callable[[str], None],
    policy: WaitPolicy = DEFAULT_POLICY,
    run_wait: RunWait = run_wait_command,
) -> int:
    """Wait for the verdict of a run and return its exit code; the arguments are those of `wait_for_verdicts`."""
    while True:
        code, reason = await run_wait(environment, run)
        if code in _CODES:
            break
        # Not an exit code of the command: it was killed or has crashed, which is no verdict on the run.
        show(f"waiting for run {run} ended with code {code}; waiting again")
        await asyncio.sleep(policy.retry_seconds)
    # The collector has printed the summary of a closed run already; of the others only the command knows the reason.
    if code in (EXIT_ABORTED, EXIT_BAD_SETTINGS) and reason:
        show(reason)
    return code
