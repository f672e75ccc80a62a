"""The parts of a greeting that are fresh for each connection: files, and what commands print.

Neither is ever logged, since a login is in them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

from services.client.external.setting_files import text_in
from services.client.external.talk.greeting import CommandStep, FileStep, Greeting, Step
from services.client.external.templates import Template
from services.contract import bounds
from services.runtime.errors import BadSettings

_MAX_OUTPUT_BYTES = bounds.COMMAND_BYTES.value
_KEPT_SECONDS = 2.0


class GreetingFailed(Exception):
    """A greeting that cannot be completed; its text has no secrets."""


def with_files(greeting: Greeting) -> Greeting:
    """Return a greeting in which the steps of each file take its place, as the file has them now.

    Raises:
        BadSettings: a file cannot be read, or has a step that is none.
    """
    steps: list[Step] = []
    for step in greeting.steps:
        steps += _steps_of(step) if isinstance(step, FileStep) else [step]
    return Greeting(tuple(steps))


def _steps_of(step: FileStep) -> tuple[Step, ...]:
    named = f"{step.setting}={step.path!r}"
    try:
        found = Greeting.of(text_in(step.path, step.setting))
    except ValueError as problem:
        raise BadSettings([f"{named}: {problem}"]) from problem
    if not found:
        # Its writer may just have emptied it: another attempt finds out.
        raise BadSettings([f"{named}: it is empty"])
    if any(isinstance(inner, CommandStep | FileStep) for inner in found.steps):
        # FEED_COMMANDS permits the commands that the operator has seen in the settings.
        raise BadSettings([f"{named}: a file cannot name commands or other files"])
    return found.steps


async def printed_by(step: CommandStep) -> Template:
    """Run a command, and return its lines as messages.

    Raises:
        GreetingFailed: it cannot be started, fails, takes too long, or prints nothing.
    """
    # Not its arguments, which may be secret.
    name = f"the greeting's command {Path(step.arguments[0]).name!r}"
    try:
        process = await asyncio.create_subprocess_exec(
            *step.arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            # A group of its own, so that the processes it has started end with it.
            start_new_session=True,
        )
    except OSError as problem:
        raise GreetingFailed(f"{name} cannot be started: {problem.strerror}") from problem
    try:
        async with asyncio.timeout(step.seconds):
            output = await _output(process.stdout, name)
            code = await process.wait()
    except TimeoutError:
        raise GreetingFailed(f"{name} did not end within {step.seconds:g} s") from None
    finally:
        await _end(process)
    if code != 0:
        raise GreetingFailed(f"{name} ended with exit code {code}")
    template = Template.of(output.decode("utf-8", "replace"))
    if not template.lines:
        raise GreetingFailed(f"{name} printed no message")
    return template


async def _output(printed: asyncio.StreamReader | None, name: str) -> bytes:
    output = b""
    while printed is not None and (part := await printed.read(_MAX_OUTPUT_BYTES)):
        output += part
        if len(output) > _MAX_OUTPUT_BYTES:
            raise GreetingFailed(f"{name} printed more than {_MAX_OUTPUT_BYTES:,} bytes")
    return output


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_KEPT_SECONDS):
            # The pipe is open until its end is read.
            while process.stdout is not None and await process.stdout.read(_MAX_OUTPUT_BYTES):
                pass
            await process.wait()
