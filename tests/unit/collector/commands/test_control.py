"""Tests of services/collector/commands/control.py."""

from pathlib import Path

import pytest

from services.collector.__main__ import PROGRAM
from services.collector.commands import control
from services.runtime import cli


def test_an_unreachable_server_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command connects to the server of the collector's settings and reports that it cannot be reached."""
    parser, commands = cli.parser(PROGRAM, "Tests.", "exit codes: 0", "1.0", control.run)
    control.add(commands)
    chosen = parser.parse_args(["control", "pause"])

    assert 105 == chosen.command(chosen, {"SERVER_URL": "ws://127.0.0.1:1", "VOLUMES": str(tmp_path)})
    assert "error: ws://127.0.0.1:1: nothing listens there\n" == capsys.readouterr().err


def test_the_help_has_its_own_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """The help has the exit codes of the console instead of those of a verdict."""
    parser, commands = cli.parser(PROGRAM, "Tests.", "exit codes: 0", "1.0", control.run)
    control.add(commands)
    with pytest.raises(SystemExit):
        parser.parse_args(["control", "--help"])
    text = capsys.readouterr().out

    assert "  python -m services.collector control rate 500 resume\n" in text
    assert "exit codes: 0 all requests were accepted" in text
