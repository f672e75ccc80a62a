"""Without Docker the supervisor does what Compose does: it restarts what crashes, and stops everything in order."""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest

from services.contract.blocklog import End
from tests.integration.processes import ROOT, LocalRun, environment, free_port
from tests.integration.volumes import is_sealed
from tests.poll import poll_until

ABORTED = 105
HIDE_CURSOR, SHOW_CURSOR = b"\x1b[?25l", b"\x1b[?25h"


def children(run: LocalRun) -> dict[str, list[int]]:
    """Return the processes of a run, by the last word of their command that is no option's: the module, or ``wait``."""
    if shutil.which("ps") is None:
        pytest.skip("no ps here")
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    found: dict[str, list[int]] = {}
    for pid, parent, *arguments in map(str.split, listed.splitlines()):
        if int(parent) == run.pid and arguments:
            words = arguments[: arguments.index("--run")] if "--run" in arguments else arguments
            found.setdefault(words[-1], []).append(int(pid))
    return found


def test_what_crashes_is_restarted(tmp_path: Path) -> None:
    """A client and the collector that are killed come back, nothing is lost, and KEEP=1 keeps the page up."""
    with LocalRun(tmp_path, CLIENTS=2, RECORDS=800, RATE=400, KEEP=1) as run:
        poll_until(lambda: run.volumes.head("client-2") >= 100, "client-2 has receipted 100", 20)
        before = children(run)
        for victim in (before["services.client"][0], before["services.collector"][0]):
            os.kill(victim, signal.SIGKILL)
        run.says("PASS", timeout=40)
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
    """Ctrl-C ends with 105 and leaves sealed logs and no process; started again, the same run is played to its end."""
    settings: dict[str, object] = {"CLIENTS": 2, "RECORDS": 1200, "RATE": 400}
    with LocalRun(tmp_path, **settings) as run:
        poll_until(lambda: run.volumes.head("client-1") >= 200, "client-1 has receipted 200", 20)
        pids = [pid for several in children(run).values() for pid in several]
        run.signal(signal.SIGINT)
        assert ABORTED == run.wait(), run.text
        # Two services, two clients, and whoever waits for the verdict.
        assert 5 == len(pids)
        assert [] == [pid for pid in pids if Path(f"/proc/{pid}").exists()]
        for client in ("client-1", "client-2"):
            assert all(is_sealed(path) for path in run.volumes.files(client))
            assert ["shutdown"] == [entry.reason for entry in run.volumes.log(client) if isinstance(entry, End)]
    with LocalRun(tmp_path, **settings) as again:
        assert 0 == again.wait(), again.text
        assert 1 == len(again.volumes.runs())
        for client in ("client-1", "client-2"):
            assert list(range(1, 1201)) == [message.seq for message in again.volumes.messages(client)]


class Terminal:
    """A terminal at which the supervisor is started; what it shows is kept."""

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
        # When the last process has closed its side, reading fails.
        with contextlib.suppress(OSError):
            while piece := os.read(self._keyboard, 64 * 1024):
                self.text += piece

    def interrupt(self) -> None:
        """Do what Ctrl-C does."""
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
    """The frame is drawn again and again, the others' lines stay above it, and the summary takes its place."""
    terminal = Terminal(**_settings(tmp_path), RECORDS=1200)
    assert 0 == terminal.code()
    shown = terminal.text
    assert shown.count(b"RUNNING") >= 2
    assert b"client-1  | {" in shown
    last = shown.rindex(SHOW_CURSOR)
    assert shown.count(HIDE_CURSOR) <= shown.count(SHOW_CURSOR)
    assert shown.index(b"  PASS") > shown.rindex(b"RUNNING")
    assert b"\x1b" not in shown[last + len(SHOW_CURSOR) :]


def test_ctrl_c_leaves_a_terminal_as_it_was(tmp_path: Path) -> None:
    """The frame gives way to the summary as it stands, and the cursor is back."""
    terminal = Terminal(**_settings(tmp_path), RECORDS=60_000)
    poll_until(lambda: b"RUNNING" in terminal.text, "the run is shown", 20)
    terminal.interrupt()
    assert ABORTED == terminal.code()
    assert terminal.text.rindex(SHOW_CURSOR) > terminal.text.rindex(HIDE_CURSOR)
    assert terminal.text.rindex(b"DELIVERY") > terminal.text.rindex(b"RUNNING")
