"""The supervisor replaces Compose: it restarts crashed services and stops everything in order."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest

from services.contract.blocklog import EndLine
from tests.integration.processes import ROOT, LocalRun, environment, free_port
from tests.poll import poll_until
from tests.readers import Volumes, is_sealed

ABORTED = 105
HIDE_CURSOR, SHOW_CURSOR = b"\x1b[?25l", b"\x1b[?25h"


class HasPid(Protocol):
    """A process and the last word of its command."""

    pid: int


def children(run: HasPid) -> dict[str, list[int]]:
    """Return the processes of a run by the last word of their command without options: the module, or ``wait``."""
    if shutil.which("ps") is None:
        pytest.skip("no ps here")
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    found: dict[str, list[int]] = {}
    for pid, parent, *arguments in map(str.split, listed.splitlines()):
        if int(parent) == run.pid and arguments:
            words = arguments[: arguments.index("--run")] if "--run" in arguments else arguments
            found.setdefault(words[-1], []).append(int(pid))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127/8 on its loopback interface")
def test_clients_find_a_server_that_listens_elsewhere(tmp_path: Path) -> None:
    """HOST is the address on which the server listens, and the clients of a local run connect to it."""
    with LocalRun(tmp_path, HOST="127.0.0.2", CLIENTS=1, RECORDS=100) as run:
        assert 0 == run.wait(), run.text


def test_what_crashes_is_restarted(tmp_path: Path) -> None:
    """A killed client and a killed collector are restarted, nothing is lost, and KEEP=1 keeps the page up."""
    with LocalRun(tmp_path, CLIENTS=2, RECORDS=800, RATE=400, KEEP=1) as run:
        poll_until(lambda: run.volumes.head("client-2") >= 100, "client-2 has receipted 100", 20)
        before = children(run)
        for victim in (before["services.client"][0], before["services.collector"][0]):
            os.kill(victim, signal.SIGKILL)
        run.wait_for_line("PASS", timeout=40)
        poll_until(lambda: "wait" not in children(run), "the supervisor has the verdict too", 10)
        assert 2 == len([line for line in run.lines if "exited with code -9; restarting" in line])
        for client in ("client-1", "client-2"):
            assert list(range(1, 801)) == [message.seq for message in run.volumes.messages(client)]
        with urllib.request.urlopen(f"http://127.0.0.1:{run.page_port}/summary.json", timeout=10) as answer:
            assert (tmp_path / "summary" / "summary.json").read_bytes() == answer.read()
        assert run.code is None
        run.signal(signal.SIGINT)
        assert 0 == run.wait()


def test_ctrl_c_seals_and_the_next_start_continues(tmp_path: Path) -> None:
    """Ctrl-C ends with 105 and leaves sealed logs and no process; the next start completes the same run."""
    settings: dict[str, object] = {"CLIENTS": 2, "RECORDS": 1200, "RATE": 400}
    with LocalRun(tmp_path, **settings) as run:
        poll_until(lambda: run.volumes.head("client-1") >= 200, "client-1 has receipted 200", 20)
        pids = [pid for several in children(run).values() for pid in several]
        run.signal(signal.SIGINT)
        assert ABORTED == run.wait(), run.text
        # Two services, two clients, and the process that waits for the verdict.
        assert 5 == len(pids)
        assert [] == [pid for pid in pids if Path(f"/proc/{pid}").exists()]
        for client in ("client-1", "client-2"):
            assert all(is_sealed(path) for path in run.volumes.files(client))
            assert ["shutdown"] == [entry.reason for entry in run.volumes.log(client) if isinstance(entry, EndLine)]
    with LocalRun(tmp_path, **settings) as again:
        assert 0 == again.wait(), again.text
        assert 1 == len(again.volumes.runs())
        for client in ("client-1", "client-2"):
            assert list(range(1, 1201)) == [message.seq for message in again.volumes.messages(client)]


def is_gone(pid: int) -> bool:
    """Return whether a process has ended; a zombie has."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return not state.strip() or state.startswith("Z")


def all_gone(pids: Sequence[int]) -> None:
    """Wait until processes have ended; kill those left after ten seconds and fail the test."""
    try:
        poll_until(lambda: all(map(is_gone, pids)), f"{pids} have ended", 10)
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def started(folder: Path, **options: Any) -> Iterator[tuple[subprocess.Popen[bytes], list[int]]]:
    """Start a local run of several minutes; yield it and its processes once all five have started."""
    settings = {**_settings(folder), "RECORDS": 60_000, "RATE": 200, **options.pop("settings", {})}
    command = [*options.pop("before", []), sys.executable, "-m", "services"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment(settings), start_new_session=True, **options)
    pids: list[int] = []
    try:
        volumes = Volumes(folder)
        poll_until(lambda: volumes.runs() and volumes.head("client-1") >= 50, "client-1 has receipted 50", 30)
        pids += [pid for several in children(process).values() for pid in several]
        assert 5 == len(pids)
        yield process, pids
    finally:
        for pid in (*pids, process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGHUP, ABORTED), (signal.SIGTERM, ABORTED)],
    ids=lambda value: value.name if isinstance(value, signal.Signals) else "",
)
def test_everything_ends_with_the_supervisor(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """After any signal no process of the run is left, and the clients have sealed their logs."""
    with started(tmp_path, stdout=subprocess.DEVNULL) as (run, pids):
        run.send_signal(number)
        assert code == run.wait(20)
        all_gone(pids)
    for client in ("client-1", "client-2"):
        assert all(is_sealed(path) for path in Volumes(tmp_path).files(client))


def test_everything_ends_when_the_output_is_closed(tmp_path: Path) -> None:
    """A reader that closes the pipe, such as `head`, ends the run properly: exit code 105 and sealed logs."""
    with started(tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as (run, pids):
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.close()
        assert ABORTED == run.wait(20)
        all_gone(pids)
        assert b"standard output was closed before the end\n" == run.stderr.read()
    for client in ("client-1", "client-2"):
        assert all(is_sealed(path) for path in Volumes(tmp_path).files(client))


def test_everything_ends_when_the_terminal_is_closed(tmp_path: Path) -> None:
    """A terminal that refuses output counts as closed, even without SIGHUP."""
    keyboard, side = pty.openpty()
    given = {"stdin": side, "stdout": side, "stderr": side, "settings": {"TERM": "xterm"}}
    with started(tmp_path, **given) as (run, pids):
        os.close(side)
        os.close(keyboard)
        assert ABORTED == run.wait(20)
        all_gone(pids)


def test_a_run_that_is_to_outlive_its_terminal_does(tmp_path: Path) -> None:
    """A run started with nohup is not ended by SIGHUP."""
    ignoring = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"]
    with started(tmp_path, stdout=subprocess.DEVNULL, before=ignoring) as (run, pids):
        head = Volumes(tmp_path).head("client-1")
        run.send_signal(signal.SIGHUP)
        poll_until(lambda: Volumes(tmp_path).head("client-1") >= head + 200, "the run goes on for a second", 20)
        assert run.poll() is None
        run.send_signal(signal.SIGTERM)
        assert ABORTED == run.wait(20)
        all_gone(pids)


@pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="the system has no pipe of a chosen size")
def test_a_reader_that_does_not_read_holds_up_no_measurement(tmp_path: Path) -> None:
    """A run completes although its output is not read; the whole output is available when it is read later."""
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    settings = {**_settings(tmp_path), "RECORDS": 800}
    with subprocess.Popen(
        [sys.executable, "-m", "services"], cwd=ROOT, env=environment(settings), stdout=write, stderr=write
    ) as run:
        os.close(write)
        volumes = Volumes(tmp_path)
        verdict = poll_until(lambda: volumes.runs() and _verdict_of(volumes), "the run has a verdict", 40)
        text = b""
        while piece := os.read(read, 64 * 1024):
            text += piece
        assert (0, "PASS") == (run.wait(20), verdict)
    os.close(read)
    assert b"lines are not shown" not in text
    assert text.index(b'"run opened"') < text.index(b"  PASS  ") < text.index(b"files in ")


def _verdict_of(volumes: Volumes) -> str | None:
    summary = volumes.summary(volumes.newest())
    return summary.verdict if summary is not None and summary.state == "closed" else None


@pytest.mark.parametrize(
    ("given", "point"),
    [
        ({"PYTHONIOENCODING": "latin-1"}, b"\xb7"),
        ({"PYTHONIOENCODING": "ascii"}, b"?"),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": ""}, b"?"),
    ],
    ids=["latin-1", "ascii", "C"],
)
def test_no_locale_fails_the_output(tmp_path: Path, given: dict[str, str], point: bytes) -> None:
    """A character that the locale cannot encode is printed as a question mark."""
    settings = {**_settings(tmp_path), "RECORDS": 100, **given}
    done = subprocess.run(
        [sys.executable, "-m", "services"], cwd=ROOT, env=environment(settings), capture_output=True,
        check=False, timeout=60,
    )  # fmt: skip

    assert (0, b"") == (done.returncode, done.stderr), done.stdout
    assert b"  PASS   2 clients " + point + b" " in done.stdout


def test_an_interrupted_run_of_other_settings_is_not_judged(tmp_path: Path) -> None:
    """The verdict on an interrupted run with other settings is neither printed nor used as exit code of the new run."""
    with started(tmp_path, stdout=subprocess.DEVNULL) as (run, _):
        run.send_signal(signal.SIGTERM)
        assert ABORTED == run.wait(20)
    with LocalRun(tmp_path, CLIENTS=2, RECORDS=400, RATE=400) as again:
        assert 0 == again.wait(), again.text
    abandoned, played = again.volumes.runs()
    verdicts = [again.volumes.summary(name) for name in (abandoned, played)]
    assert ["INVALID", "PASS"] == [made and made.verdict for made in verdicts]
    headlines = [line for line in again.lines if re.search(r"\|   (PASS|FAIL|INVALID) ", line)]
    assert ["PASS"] == [line.split()[2] for line in headlines]


class Terminal:
    """A pseudo-terminal with the supervisor in it; its output is kept."""

    def __init__(self, **settings: object) -> None:
        self.text = b""
        self._keyboard, side = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "services"], cwd=ROOT, env=environment({"TERM": "xterm", "NO_COLOR": 1, **settings}),
            stdin=side, stdout=side, stderr=side, start_new_session=True,
        )  # fmt: skip
        os.close(side)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        # Reading fails once the last process has closed its end.
        with contextlib.suppress(OSError):
            while piece := os.read(self._keyboard, 64 * 1024):
                self.text += piece

    def interrupt(self) -> None:
        """Send Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def code(self) -> int:
        """Wait for the end; return the exit code."""
        code = self._process.wait(40)
        self._reader.join(5)
        os.close(self._keyboard)
        return code


def _settings(volumes: Path) -> dict[str, object]:
    return {"VOLUMES": volumes, "PORT": free_port(), "PAGE_PORT": 0, "CLIENTS": 2, "RATE": 400}


def test_at_a_terminal_the_run_is_shown_in_place(tmp_path: Path) -> None:
    """The frame is redrawn in place below a short line of each service, and the summary replaces it."""
    terminal = Terminal(**_settings(tmp_path), RECORDS=1200)
    assert 0 == terminal.code()
    shown = terminal.text
    assert shown.count(b"RUNNING") >= 2
    assert b"client-1  | subscribed \xc2\xb7 session 1 \xc2\xb7 from record 1 \xc2\xb7 block size 10" in shown
    assert b'{"level"' not in shown
    last = shown.rindex(SHOW_CURSOR)
    assert shown.count(HIDE_CURSOR) <= shown.count(SHOW_CURSOR)
    assert shown.index(b"  PASS") > shown.rindex(b"RUNNING")
    assert b"\x1b" not in shown[last + len(SHOW_CURSOR) :]


def test_ctrl_c_leaves_a_terminal_as_it_was(tmp_path: Path) -> None:
    """After Ctrl-C the provisional summary replaces the frame, and the cursor is visible again."""
    terminal = Terminal(**_settings(tmp_path), RECORDS=60_000)
    poll_until(lambda: b"RUNNING" in terminal.text, "the run is shown", 20)
    terminal.interrupt()
    assert ABORTED == terminal.code()
    assert terminal.text.rindex(SHOW_CURSOR) > terminal.text.rindex(HIDE_CURSOR)
    assert terminal.text.rindex(b"DELIVERY") > terminal.text.rindex(b"RUNNING")
