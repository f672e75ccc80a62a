"""Tests of the start and the end of a service process."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from services.runtime import lifecycle
from services.runtime.errors import EXIT_BAD_SETTINGS, BadSettings, PortInUse, UnwritableFolder

pytestmark = pytest.mark.usefixtures("restored_process")

PROBLEMS = ["RATE='fast': expected a number", "SEED='x': expected a whole number"]


def refuse() -> str:
    """Read settings that cannot be used."""
    raise BadSettings(PROBLEMS)


@pytest.fixture(autouse=True)
def held(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return how long the process waited before it exited; it does not really wait."""
    waits: list[float] = []
    monkeypatch.delenv("HOLD_SECONDS", raising=False)
    monkeypatch.setattr(time, "sleep", waits.append)
    return waits


async def never(settings: str, stop: asyncio.Event) -> int:
    """Fail the test: the service must not be started."""
    raise AssertionError("started with settings that cannot be used")


def test_returns_what_the_service_returns(held: list[float]) -> None:
    """The exit code of the process is that of the service, without a delay."""

    async def service(settings: str, stop: asyncio.Event) -> int:
        return len(settings)

    expected = len("settings")

    assert expected == lifecycle.run(lambda: "settings", service)
    assert not held


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_service(number: signal.Signals) -> None:
    """SIGTERM and SIGINT set the event, and the service returns by itself."""

    async def service(settings: None, stop: asyncio.Event) -> int:
        os.kill(os.getpid(), number)
        async with asyncio.timeout(10):
            await stop.wait()
        return 7

    expected = 7

    assert expected == lifecycle.run(lambda: None, service)


def test_bad_settings_are_one_line_each(capfd: pytest.CaptureFixture[str]) -> None:
    """Invalid settings are printed one line each, and the exit code is 104."""
    code = lifecycle.run(refuse, never)
    out, err = capfd.readouterr()

    assert EXIT_BAD_SETTINGS == code == 104
    assert out == ""
    assert [f"error: {problem}" for problem in PROBLEMS] == err.splitlines()


def test_faults_found_later_are_reported_alike(capfd: pytest.CaptureFixture[str]) -> None:
    """An error that the operator can repair ends the process in the same way when the service raises it."""

    async def service(settings: None, stop: asyncio.Event) -> int:
        raise PortInUse("PORT", 8765)

    assert lifecycle.run(lambda: None, service) == EXIT_BAD_SETTINGS
    assert [f"error: {PortInUse('PORT', 8765)}"] == capfd.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *[("", 0.0), ("0", 0.0), ("10", 10.0), ("0.5", 0.5), ("900", 60.0)],
        *[(odd, 0.0) for odd in ("x", "-1", "1.5.2", ".", "²", "nan", "inf", "1e3")],
    ],
)
def test_holds_before_it_exits(monkeypatch: pytest.MonkeyPatch, held: list[float], text: str, seconds: float) -> None:
    """Before it exits with 104, the process waits HOLD_SECONDS, a minute at most."""
    monkeypatch.setenv("HOLD_SECONDS", text)
    lifecycle.run(refuse, never)

    assert seconds == pytest.approx(sum(held))


def test_goes_on_once_the_fault_is_repaired(
    monkeypatch: pytest.MonkeyPatch, held: list[float], capfd: pytest.CaptureFixture[str]
) -> None:
    """If the operator repairs the error in time, the service is started again in the same process."""

    def refuse_for_a_while() -> str:
        if len(held) < 3:
            raise UnwritableFolder("/logs", "read-only file system", "mount it for writing", lambda: len(held) >= 3)
        return "settings"

    async def service(settings: str, stop: asyncio.Event) -> int:
        return len(settings)

    monkeypatch.setenv("HOLD_SECONDS", "10")
    code = lifecycle.run(refuse_for_a_while, service)

    assert len("settings") == code
    assert [0.5] * 3 == held
    assert 1 == len(capfd.readouterr().err.splitlines())


def test_a_fault_that_flickers_does_not_make_the_process_spin(
    monkeypatch: pytest.MonkeyPatch, held: list[float]
) -> None:
    """An error that is repaired and comes back costs a pause every time."""

    def refuse_again_and_again() -> str:
        if len(held) == 5:
            raise ZeroDivisionError
        raise UnwritableFolder("/logs", "read-only file system", "mount it for writing", lambda: True)

    monkeypatch.setenv("HOLD_SECONDS", "10")
    with pytest.raises(ZeroDivisionError):
        lifecycle.run(refuse_again_and_again, never)

    assert [0.5] * 5 == held


def test_a_fault_of_ours_is_no_configuration(held: list[float]) -> None:
    """An error of this program is raised with its traceback."""

    async def service(settings: None, stop: asyncio.Event) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        lifecycle.run(lambda: None, service)
    assert not held


def test_group_may_write_what_it_makes() -> None:
    """Files and folders of a service are writable for the group, to which the host's user belongs."""

    async def service(settings: None, stop: asyncio.Event) -> int:
        mask = os.umask(0)
        os.umask(mask)
        return mask

    expected = 0o002

    assert expected == lifecycle.run(lambda: None, service)


def test_a_held_process_can_be_stopped() -> None:
    """SIGTERM ends a process that waits because of invalid settings."""
    program = textwrap.dedent("""
        from services.runtime import lifecycle
        from services.runtime.errors import BadSettings

        def refuse():
            raise BadSettings(["one line"])

        lifecycle.run(refuse, None)
    """)
    environment = {**os.environ, "HOLD_SECONDS": "60"}
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, env=environment) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        process.terminate()
        code = process.wait(timeout=30)

    assert line == b"error: one line\n"
    assert code == -signal.SIGTERM


def test_an_error_of_the_operator_in_a_task_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A fault that tasks of a running service find is printed and exits 104, as one at its start does."""

    async def fail() -> None:
        raise PortInUse("PORT", 8765)

    async def service(settings: None, stop: asyncio.Event) -> int:
        async with asyncio.TaskGroup() as outer:
            outer.create_task(stop.wait())
            async with asyncio.TaskGroup() as inner:
                inner.create_task(fail())
        return 0

    assert EXIT_BAD_SETTINGS == lifecycle.run(lambda: None, service)
    assert 1 == capsys.readouterr().err.count("error: ")


def test_another_error_beside_it_keeps_its_trace() -> None:
    """A fault of the program is not hidden by one of the operator that a task finds at the same time."""

    async def service(settings: None, stop: asyncio.Event) -> int:
        raise ExceptionGroup("tasks", [PortInUse("PORT", 8765), ZeroDivisionError()])

    with pytest.raises(ExceptionGroup):
        lifecycle.run(lambda: None, service)
