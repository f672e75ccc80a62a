"""Wrong settings are reported at the start, all of them, one line each, and the exit code is 104."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.integration.processes import ROOT, LocalRun, Process, environment
from tests.integration.stack import Stack

BAD = 104


def errors(text: str) -> list[str]:
    """Return the lines that report wrong settings."""
    return [line for line in text.splitlines() if "error: " in line]


def test_all_mistakes_are_reported_together(tmp_path: Path) -> None:
    """Malformed and misspelt settings of a server are reported together, a line each, and nothing is started."""
    wrong = {"RATE": "fast", "RECORDS": "0", "SEED": "-1", "LOCALE": "xx_XX", "RECORD": "5", "BLOK_SIZES": "10"}
    with Process("services.server", VOLUMES=tmp_path, **wrong) as server:
        assert BAD == server.wait()
    messages = errors(server.text)
    assert len(wrong) == len(messages) == len(server.lines), server.text
    for name in wrong:
        assert 1 == len([line for line in messages if line.startswith((f"error: {name}=", f"error: {name}:"))]), (
            server.text
        )
    assert any("did you mean BLOCK_SIZES?" in line for line in messages)
    assert [] == list(tmp_path.iterdir())


def test_a_client_reports_all_its_mistakes(tmp_path: Path) -> None:
    """A client reports the expected value of every wrong setting."""
    wrong = {
        "BLOCK_SIZES": "10,x", "BLOCK_SECONDS": "never", "FSYNC": "perhaps", "CONNECTIONS": "0",
        "CLIENT_ID": "Not A Name", "SERVER_URL": "http://server",
    }  # fmt: skip
    with Process("services.client", VOLUMES=tmp_path, **wrong) as client:
        assert BAD == client.wait()
    assert sorted(wrong) == sorted(line.split(": ")[1].split("=")[0] for line in errors(client.text)), client.text
    assert all("expected" in line for line in errors(client.text))


@pytest.mark.parametrize("text", ["latency.p99<", "speed<5", "latency.p101<5ms", "missing=0", "missing==0,"])
def test_a_malformed_threshold_is_refused(text: str, tmp_path: Path) -> None:
    """A threshold that cannot be parsed is refused at the start, with the position of the error."""
    with Process("services.collector", VOLUMES=tmp_path, THRESHOLDS=text, PAGE_PORT=0) as collector:
        assert BAD == collector.wait()
    assert 1 == len(errors(collector.text)), collector.text
    assert "THRESHOLDS" in collector.text
    assert "at character" in collector.text


@pytest.mark.parametrize(("service", "setting"), [("server", "PORT"), ("collector", "PAGE_PORT")])
def test_a_port_in_use_is_one_line_with_the_fix(service: str, setting: str, tmp_path: Path) -> None:
    """A port that is in use is reported in one line with the port and the setting, without a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with Process(f"services.{service}", VOLUMES=tmp_path, **{setting: port}) as process:
            assert BAD == process.wait()
    assert 1 == len(errors(process.text)), process.text
    assert "Traceback" not in process.text
    assert str(port) in process.text
    assert setting in process.text


@pytest.mark.parametrize("service", ["server", "client", "collector"])
def test_an_unwritable_folder_is_one_line_with_the_fix(service: str, tmp_path: Path) -> None:
    """A folder that a service may not write is reported in one line with uid, owner, mode and remedy."""
    tmp_path.chmod(0o555)
    code, text = as_anybody(f"services.{service}", VOLUMES=tmp_path, PAGE_PORT=0)
    tmp_path.chmod(0o755)
    assert BAD == code, text
    assert 1 == len(errors(text)), text
    assert "Traceback" not in text
    for part in (f"uid {os.geteuid()}", "mode 555", "fix: sudo install -d", str(tmp_path)):
        assert part in text


def as_anybody(module: str, **settings: object) -> tuple[int, str]:
    """Run a module without root's privilege to ignore file modes."""
    powerless: list[str] = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root without setpriv is refused by no folder")
        powerless = ["setpriv", "--bounding-set", "-all"]
    done = subprocess.run(
        [*powerless, sys.executable, "-m", module],
        cwd=ROOT,
        env=environment(settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("service", ["server", "client", "collector"])
def test_a_file_in_the_folders_place_is_one_line_with_the_fix(service: str, tmp_path: Path) -> None:
    """A file in place of the volumes folder is reported in one line with the remedy."""
    (tmp_path / "volumes").touch()
    with Process(f"services.{service}", VOLUMES=tmp_path / "volumes", PAGE_PORT=0) as process:
        assert BAD == process.wait()
    assert 1 == len(errors(process.text)), process.text
    assert "Traceback" not in process.text
    assert "a file is in the place of the folder; move it away" in process.text


def test_a_local_run_ends_with_the_code_of_bad_settings(tmp_path: Path) -> None:
    """The supervisor does not restart a service that exits with 104: it ends with the same code."""
    with Process("services", VOLUMES=tmp_path, THRESHOLDS="nonsense", PORT=18766, PAGE_PORT=18767) as run:
        assert BAD == run.wait()
    assert "THRESHOLDS" in run.text


@pytest.mark.parametrize(
    "refused", [{"PORT": None}, {"PAGE_PORT": None}, {"THRESHOLDS": "p99<5"}, {"BLOCK_SIZES": "x"}, {"LOCALE": "xx"}]
)
def test_a_refused_start_leaves_the_volumes_as_they_were(refused: dict[str, object], tmp_path: Path) -> None:
    """A local run that is refused, for a port in use or by any of its services, ends with 104 and opens no run."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        wrong = {name: held.getsockname()[1] if value is None else value for name, value in refused.items()}
        with LocalRun(tmp_path, CLIENTS=1, **wrong) as run:
            assert BAD == run.wait(), run.text
    assert next(iter(refused)) in run.text
    assert [] == run.volumes.runs()
    assert [] == list(tmp_path.glob("*/2*"))


def test_an_env_file_is_not_ignored_without_a_word(tmp_path: Path) -> None:
    """Settings in ``.env``, which only Compose reads, are named at the start of a local run."""
    (tmp_path / ".env").write_text("RATE=500\n# SEED=1\nexport RECORDS='10'\nOTHER=1\n", encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-m", "services"],
        cwd=tmp_path,
        env=environment({"RECORDS": "10", "CLIENTS": "x", "PYTHONPATH": ROOT}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert BAD == ended.returncode
    assert "note: only docker compose reads .env; without effect here: RATE\n" in ended.stderr


@pytest.mark.containers
@pytest.mark.slow
def test_a_container_with_bad_settings_does_not_spin(folder: Path, engine: None) -> None:
    """A container reports wrong settings, waits ten seconds and exits 104, so that its restart policy cannot spin."""
    with Stack(folder, RATE="fast", SEED="x") as stack:
        stack.compose("build", "--quiet", "server", "collector", timeout=300)
        began = time.monotonic()
        done = stack.compose("run", "--rm", "-T", "--no-deps", "server", check=False)
        assert BAD == done.returncode, done.stderr
        assert 10 <= time.monotonic() - began
        messages = errors(done.stdout + done.stderr)
        assert ["error: RATE='fast'", "error: SEED='x'"] == [line.partition(": expected")[0] for line in messages]
