"""Tests of services/collector/commands/messages.py."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.collector.__main__ import main
from tests.builders.external_runs import log, message, numbered_messages
from tests.builders.runs import RUN, good_run, log_source, record, write
from tests.unit.contract.test_unreleased_form import UNRELEASED_LOG

ROOT = Path(__file__).parents[4]


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    """The folder of a good run: two clients, 60 records, blocks of 10."""
    write(good_run(), tmp_path)
    return tmp_path


def ask(volumes: Path, *arguments: str) -> int:
    """Run the command; return its exit code."""
    return main(["messages", str(volumes), *arguments])


def test_a_message_is_a_line_of_json(volumes: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """A message is a line of JSON with place, seq, times, and the record byte for byte."""
    assert 0 == ask(volumes, "--client", "client-2", "--seq", "7")
    (line,) = capfdbinary.readouterr().out.splitlines()

    assert ["client", "session", "block", "seq", "received_at", "latency_ns", "transit_ns", "record"] == list(
        json.loads(line)
    )
    assert line.startswith(b'{"client":"client-2","session":1,"block":1,"seq":7,')
    assert line.endswith(b'"record":' + record(7) + b"}")


def test_text_is_in_columns(volumes: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """With --text there is one head, and every column is aligned with it."""
    assert 0 == ask(volumes, "--text", "--limit", "2")
    head, *lines = capfd.readouterr().out.splitlines()

    assert "client        block        seq  received           latency    transit  record" == head
    assert [
        'client-1        1/1          1  07:30:00.001000     1.0 ms     0.5 ms  {"seq":1,"name":"N1"}',
        'client-1        1/1          2  07:30:00.002000     1.0 ms     0.5 ms  {"seq":2,"name":"N2"}',
    ] == lines


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ([], 120),
        (["--client", "client-1", "--client", "client-2", "--seq", "11-20"], 20),
        (["--client", "client-1", "--client", "client-1", "--seq", "11-20"], 10),
        (["--seq", "51-1,000"], 20),
        (["--seq", "51-"], 20),
        (["--seq", "-5"], 10),
        (["--session", "2", "--block", "1"], 10),
        (["--slower-than", "1.00005ms"], 20),
        (["--run", RUN, "--limit", "3"], 3),
    ],
)
def test_what_is_asked_for_is_shown(
    volumes: Path, arguments: list[str], count: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each filter selects its messages."""
    assert 0 == ask(volumes, *arguments)
    assert count == len(capfd.readouterr().out.splitlines())


def test_the_newest_run_is_meant(volumes: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Without --run the newest run is shown."""
    (volumes / "logs" / "20271122T073000Z" / "client-1").mkdir(parents=True)

    assert 0 == ask(volumes)
    assert ("", "run 20271122T073000Z: no such message\n") == capfd.readouterr()


def test_damage_is_reported_and_is_the_exit_code(volumes: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Good messages are printed, skipped lines reported on standard error, at most 20 of each file one by one."""
    file = volumes / log_source("client-1").path
    file.write_bytes(b"x\n" * 25 + file.read_bytes())

    assert 99 == ask(volumes, "--client", "client-1")
    out, err = capfd.readouterr()
    assert 60 == len(out.splitlines())
    assert f"{log_source('client-1').path}:1: skipped: the line does not begin with its crc" == err.splitlines()[0]
    assert [f"{log_source('client-1').path}: and 5 more lines"] == err.splitlines()[20:]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--client", "client-11"], f"error: --client client-11: no such client in run {RUN}; did you mean client-1?"),
        (["--client", "x"], "; there are: client-1, client-2"),
        (["--run", "20200101T000000Z"], "no run 20200101T000000Z; there are: "),
    ],
)
def test_who_is_not_there_is_refused(
    volumes: Path, arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A client or run that does not exist is an error that suggests a similar one."""
    assert 104 == ask(volumes, *arguments)
    assert message in capfd.readouterr().err


@pytest.mark.parametrize("wrong", [["--seq", "x"], ["--seq", "-"], ["--slower-than", "3"], ["--limit", "-1"]])
def test_a_wrong_argument_states_what_is_expected(
    volumes: Path, wrong: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    """The error about each argument has the expected form."""
    with pytest.raises(SystemExit) as ended:
        ask(volumes, *wrong)

    assert 104 == ended.value.code
    assert f"error: argument {wrong[0]}: expected " in capfd.readouterr().err


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    """A folder without a run is an error."""
    (tmp_path / "logs").mkdir()

    assert 104 == ask(tmp_path)


def test_a_reader_that_goes_away_ends_it_quietly(volumes: Path) -> None:
    """A closed pipe ends the output without a traceback and with the exit code 0."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        ended = subprocess.run(
            [sys.executable, "-m", "services.collector", "messages", str(volumes)],
            cwd=ROOT,
            stdout=pipe,
            stderr=subprocess.PIPE,
            check=False,
        )

    assert (0, b"") == (ended.returncode, ended.stderr)


def test_messages_of_a_feed_that_is_not_ours_are_shown(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """An external message has null or a dash for unknown values, and its key before its number."""
    write(log("client-1", [*numbered_messages([0, None]), *numbered_messages([7], key="b")]), tmp_path)
    assert 0 == ask(tmp_path)
    _, odd, keyed = map(json.loads, capfd.readouterr().out.splitlines())
    assert 0 == ask(tmp_path, "--text")
    _, *columns = capfd.readouterr().out.splitlines()

    assert (None, None, 1_000_000) == (odd["seq"], odd["transit_ns"], odd["latency_ns"])
    assert "b" == keyed["key"]
    assert ["0", "-", "b 7"] == [line[24:].partition("  07:30")[0].strip() for line in columns]


def test_a_seq_that_is_asked_for_is_not_one_without(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A message without a number is in no range of seqs, and one without a latency is not slow."""
    write(log("client-1", numbered_messages([None, 3, None, 9])), tmp_path)
    write(log("client-2", [message(4, 1, late_ns=None)]), tmp_path)
    assert 0 == ask(tmp_path, "--seq", "-5")
    assert [3, 4] == [json.loads(line)["seq"] for line in capfd.readouterr().out.splitlines()]

    assert 0 == ask(tmp_path, "--client", "client-2", "--slower-than", "0ms")
    assert "" == capfd.readouterr().out


def test_a_log_of_an_old_version_is_reported_in_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A log of an old version is reported in one line."""
    write({log_source("client-1"): UNRELEASED_LOG}, tmp_path)
    ask(tmp_path)

    assert ["record the run again"] == [line[-20:] for line in capfd.readouterr().err.splitlines()]


def test_a_number_above_2_53_is_printed_as_a_text(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A number from 2^53 on is printed as a text in JSON and as digits in columns."""
    write(log("client-1", numbered_messages([2**53 - 1, 2**53])), tmp_path)
    assert 0 == ask(tmp_path)
    assert [2**53 - 1, str(2**53)] == [json.loads(line)["seq"] for line in capfd.readouterr().out.splitlines()]

    assert 0 == ask(tmp_path, "--text")
    assert f" {2**53} " in capfd.readouterr().out.splitlines()[2]
