"""Tests of services/collector/__main__.py."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.collector.__main__ import main
from services.contract import ledger
from tests.builders.runs import (
    RUN,
    Files,
    Writer,
    end,
    good_ledger,
    good_run,
    good_sessions,
    ledger_source,
    log_files,
    log_source,
    write,
)

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start from the defaults, without the settings of this machine."""
    for name in ("VOLUMES", "THRESHOLDS", "PAGE_PORT", "PAGE_HOST", "KEEP_RUNS", "HOLD_SECONDS"):
        monkeypatch.delenv(name, raising=False)


def test_verify_gives_the_verdicts_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code of a good folder is 0, that of a damaged one 99, and the fault's place is printed."""
    write(good_run(), tmp_path)

    assert 0 == main(["verify", str(tmp_path)])

    files = good_run()
    del files[log_source("client-1")][1]
    write(files, tmp_path)

    assert 99 == main(["verify", str(tmp_path), "--run", RUN])
    assert f"{log_source('client-1').path}:2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "loaded"),
    [
        (["verify", "--help"], {"verify"}),
        (
            ["--help"],
            {"wait", "report", "verify", "compare", "messages", "prove", "part", "merge", "control", "serve"},
        ),
    ],
)
def test_a_command_loads_itself_alone(arguments: list[str], loaded: set[str]) -> None:
    """A command starts fast: it loads no other command and no module that only the service needs; help lists all."""
    code = (
        "import sys\n"
        "from services.collector.__main__ import COMMANDS, main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "names = [name for name in COMMANDS if f'services.collector.commands.{name}' in sys.modules]\n"
        "slow = {'asyncio', 'ssl', 'http.client', 'services.collector.settings'}\n"
        "print(*names, bool(slow & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    *names, slow_too = done.stderr.split()

    assert loaded == set(names)
    assert "verify" not in arguments or slow_too == "False"


def test_verify_prints_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json there is one summary a line and nothing else."""
    write(good_run(), tmp_path)

    assert 0 == main(["verify", "--json", str(tmp_path)])
    assert "PASS" == json.loads(capsys.readouterr().out)["verdict"]


def test_verify_respects_thresholds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """THRESHOLDS is checked by an offline command."""
    write(good_run(), tmp_path)
    monkeypatch.setenv("THRESHOLDS", "latency.p99<1ns")

    assert 99 == main(["verify", str(tmp_path)])


def test_verify_takes_thresholds_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Limits on the command line take the place of the setting, and each shows the measured value."""
    write(good_run(), tmp_path)
    monkeypatch.setenv("THRESHOLDS", "latency.p99<1ns")

    assert 0 == main(["verify", str(tmp_path), "--thresholds", "missing{client:*}==0, clients==2"])
    assert "  ✓ missing{client:*}==0  measured 0 by client-1\n  ✓ clients==2  measured 2\n" in capsys.readouterr().out

    assert 104 == main(["verify", str(tmp_path), "--thresholds", "missing=0"])
    assert ["    missing=0", "           ^"] == capsys.readouterr().err.splitlines()[1:]


def test_a_reader_that_goes_away_ends_it_quietly(tmp_path: Path) -> None:
    """A closed pipe ends the command without a traceback and with a code that is no verdict."""
    write(good_run(), tmp_path)
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        command = [sys.executable, "-m", "services.collector", "prove", str(tmp_path)]
        ended = subprocess.run(command, cwd=ROOT, stdout=pipe, stderr=subprocess.PIPE, check=False)

    assert (105, b"") == (ended.returncode, ended.stderr)


def test_an_interrupted_command_states_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An interruption prints one word and exits with 105."""
    write(good_run(), tmp_path)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("services.collector.commands.verify.check", interrupted)

    assert 105 == main(["verify", str(tmp_path)])
    assert "interrupted\n" == capsys.readouterr().err


def test_verify_salvages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Good lines are copied, the others are listed in the copy and on the terminal; the exit code is the original's."""
    files, out = good_run(), tmp_path / "out"
    files[log_source("client-1")][1] = b"garbage\n"
    write(files, tmp_path / "in")

    assert 99 == main(["verify", str(tmp_path / "in"), "--salvage", str(out)])
    assert f"{RUN}  salvaged  2 clients, 11 blocks, 110 messages\n" in capsys.readouterr().out
    (result,) = json.loads((out / "salvage.json").read_text())
    assert (RUN, [1, 10]) == (result["run"], result["left_out"][0]["missing"])

    assert 104 == main(["verify", str(tmp_path / "in"), "--salvage", str(out)])
    assert "the folder is not empty" in capsys.readouterr().err


def test_verify_never_salvages_into_the_run_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder for copies inside logs/ or ledger/ is refused before it is created."""
    write(good_run(), tmp_path)

    assert 104 == main(["verify", str(tmp_path), "--salvage", str(tmp_path / "logs" / "saved")])
    assert "it is inside logs/ or ledger/ itself" in capsys.readouterr().err
    assert not (tmp_path / "logs" / "saved").exists()


def test_verify_shows_when_the_copy_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A full disk ends the command with the remedy."""
    write(good_run(), tmp_path / "in")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("services.collector.commands.salvage.salvage", full)

    assert 104 == main(["verify", str(tmp_path / "in"), "--json", "--salvage", str(tmp_path / "out")])
    assert "out: no space left on device; fix: make space" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"late_p99_ns": 300_000_000}, "the server did not keep its schedule: p99 300.0 ms late, at most 2.0 ms"),
        (
            {"clock_error_us": 1100},
            "client-1: its clock is only known within 1.1 ms, which is more than latency's p99",
        ),
        (
            {"through": 50},
            "client-1: the books do not close, residual -10: more was logged than the ledger says was sent",
        ),
        ({"loop_lag_p99_ns": 400_000_000}, "the server's event loop was 400.0 ms late (p99)"),
        ({"throttled_ns": 20_000_000}, "the server was throttled for 20.0 ms of 59.3 ms by its CPU limit"),
    ],
)
def test_a_measurement_that_cannot_be_trusted_is_98(
    change: dict[str, int], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every reason to distrust the measurement is printed, with the exit code 98."""
    write(untrusted(**change), tmp_path)

    assert 98 == main(["verify", str(tmp_path)])
    assert f"{RUN}  INVALID  {reason}\n" in capsys.readouterr().out


def untrusted(*, clock_error_us: int = 0, through: int | None = None, **ended: int) -> Files:
    """Return the files of a run that is good except for one reason to distrust it."""
    sessions = good_sessions()
    sessions[0].changes[1] = {"clock_error_us": clock_error_us}
    lines = [ledger.codec.decode(line)[1] for line in good_ledger(sessions).lines]
    writer = Writer(ledger.codec)
    for entry in [*lines, end(60, **ended)]:
        hidden = isinstance(entry, ledger.SentEntry) and entry.client == "client-1" and entry.through > (through or 60)
        writer.put(
            ledger.SentEntry(at=entry.at, client="client-1", fence=1, through=through or 60) if hidden else entry
        )
    files: Files = {ledger_source(): writer.lines}
    for session in sessions:
        files.update(log_files(session))
    return files


def test_verify_refuses_other_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is no volumes folder is an error, and one without runs is INVALID."""
    assert 104 == main(["verify", str(tmp_path)])
    assert "error: " in capsys.readouterr().err

    (tmp_path / "logs").mkdir()

    assert 98 == main(["verify", str(tmp_path)])


@pytest.mark.parametrize("arguments", [[], ["wait"]])
def test_bad_settings_are_reported(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Malformed settings end both commands with 104 and a line each."""
    monkeypatch.setenv("THRESHOLDS", "latency<")
    monkeypatch.setenv("PAGE_PORT", "none")
    monkeypatch.setattr("services.runtime.jsonlogs.configure", lambda service: None)

    assert 104 == main(arguments)
    assert 2 == capsys.readouterr().err.count("error: ")


@pytest.mark.parametrize("arguments", [["--help"], ["wait", "--help"], ["verify", "--help"], ["--version"]])
def test_help_is_given(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Every command has a help."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert 0 == ended.value.code
    assert capsys.readouterr().out
