"""Tests of greetings from files and commands."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import pytest

from services.client.external.talk.greeting import CommandStep, FileStep, Greeting, WaitStep
from services.client.external.talk.greeting_sources import GreetingFailed, printed_by, with_files
from services.client.external.templates import MessageTemplate
from services.runtime.errors import BadSettings
from tests.unit.client.fakes import until


def of_file(path: Path) -> Greeting:
    """Return a greeting that has one file between two messages."""
    return Greeting((MessageTemplate("a"), FileStep(str(path), "FEED_HELLO_FILE"), MessageTemplate("z")))


def python(code: str) -> CommandStep:
    """Return a step that runs a program."""
    return CommandStep((sys.executable, "-c", code), 60)


def test_a_file_is_read_each_time(tmp_path: Path) -> None:
    """The steps of a file take its place, as the file has them at that time."""
    path = tmp_path / "login"
    for token in ("one", "two"):
        path.write_text(f'{{"token":"{token}"}}\nwait 2s:ok\n')
        hello, login, wait, last = with_files(of_file(path)).steps
        assert (MessageTemplate("a"), MessageTemplate(f'{{"token":"{token}"}}'), MessageTemplate("z")) == (
            hello, login, last
        )  # fmt: skip
        assert isinstance(wait, WaitStep)
        assert 2.0 == wait.seconds


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "FEED_HELLO_FILE=.*: No such file or directory"),
        (b"\xff", "FEED_HELLO_FILE=.*: expected UTF-8 text"),
        (b" \n", "FEED_HELLO_FILE=.*: it is empty"),
        (b'command:["x"]', "FEED_HELLO_FILE=.*: a file cannot name commands or other files"),
        (b"file:x", "FEED_HELLO_FILE=.*: a file cannot name commands or other files"),
        (b"secret\nwait:(", "FEED_HELLO_FILE=.*: line 2: expected a regular expression"),
    ],
)
def test_a_file_that_cannot_be_used_is_reported(tmp_path: Path, content: bytes | None, problem: str) -> None:
    """The error names the setting, the file and the fault, and nothing of the content."""
    path = tmp_path / "login"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(BadSettings, match=problem) as found:
        with_files(of_file(path))
    assert "secret" not in str(found.value)


async def test_a_command_prints_messages() -> None:
    """Every line that a command prints is a message."""
    found = await printed_by(python("print('{\"op\":1}'); print(); print('binary:x')"))

    assert ('{"op":1}', "binary:x") == found.lines


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("import sys; print('secret'); sys.exit(3)", "ended with exit code 3"),
        ("", "printed no message"),
        ("print('x' * 2_000_000)", "printed more than 1,048,576 bytes"),
    ],
)
async def test_a_command_that_fails_is_named(code: str, problem: str) -> None:
    """The failure of a command has its name and the reason, but neither arguments nor output."""
    with pytest.raises(GreetingFailed, match=f"the greeting's command 'python.*' {problem}") as found:
        await printed_by(python(code))
    assert "secret" not in str(found.value)


async def test_a_command_leaves_no_file_open() -> None:
    """The pipe to a command is closed when the command is over, also if it was ended while it printed."""
    before = os.listdir("/proc/self/fd")
    for code in ("print('x')", "print('x' * 2_000_000)"):
        with contextlib.suppress(GreetingFailed):
            await printed_by(python(code))
        assert before == os.listdir("/proc/self/fd")


async def test_a_command_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    """A command that does not end in time is killed, with the processes it has started."""
    pid = tmp_path / "pid"
    # A shell and no Python, which may take longer than the limit to start on a busy machine.
    step = CommandStep(("sh", "-c", f"sleep 600 & echo $! > '{pid}'; wait"), 1)

    with pytest.raises(GreetingFailed, match="did not end within 1 s"):
        await printed_by(step)
    await until(lambda: not is_alive(int(pid.read_text())))


def is_alive(pid: int) -> bool:
    """Return whether a process still runs; one without a parent that has waited for it is dead."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


async def test_a_command_that_does_not_exist_is_named(tmp_path: Path) -> None:
    """A program that cannot be started is a failure of the greeting."""
    with pytest.raises(GreetingFailed, match="the greeting's command 'none' cannot be started: No such file"):
        await printed_by(CommandStep((str(tmp_path / "none"), "secret")))
