"""Tests of services/collector/commands/control.py."""

from pathlib import Path

import pytest

from services.collector.__main__ import PROGRAM
from services.collector.commands import control
from services.runtime import cli


def test_a_server_that_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command speaks to the server that the collector is set to, and tells when nobody is there."""
    parser, commands = cli.parser(PROGRAM, "Tests.", "exit codes: 0", "1.0", control.run)
    control.add(commands)
    chosen = parser.parse_args(["control", "pause"])

    assert 105 == chosen.command(chosen, {"SERVER_URL": "ws://127.0.0.1:1", "VOLUMES": str(tmp_path)})
    assert "error: ws://127.0.0.1:1: nobody listens there\n" == capsys.readouterr().err


def test_its_help_says_what_its_codes_mean(capsys: pytest.CaptureFixture[str]) -> None:
    """Its exit codes are no verdicts, and the help says which they are."""
    parser, commands = cli.parser(PROGRAM, "Tests.", "exit codes: 0", "1.0", control.run)
    control.add(commands)
    with pytest.raises(SystemExit):
        parser.parse_args(["control", "--help"])
    text = capsys.readouterr().out

    assert "  python -m services.collector control rate 500 resume\n" in text
    assert "exit codes: 0 all that was wished is granted" in text
