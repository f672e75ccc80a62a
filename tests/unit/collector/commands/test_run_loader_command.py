"""Tests of services/collector/commands/run_loader.py."""

import argparse
from collections.abc import Mapping

import pytest

from services.collector.commands import run_loader


def _nothing(chosen: argparse.Namespace, environment: Mapping[str, str]) -> int:
    return 7


def _parser() -> run_loader.Parser:
    whole, commands = run_loader.parser()
    run_loader.add(commands, "prune", "cut off what is dry", _nothing, {"prune tree": "cuts the tree"})
    return whole


def test_a_command_is_chosen_by_its_name() -> None:
    """What was added is what is run."""
    chosen = _parser().parse_args(["prune"])

    assert 7 == chosen.command(chosen, {})


def test_the_help_of_a_command_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    """What it does, an example that can be typed, and the exit codes."""
    with pytest.raises(SystemExit):
        _parser().parse_args(["prune", "--help"])
    text = capsys.readouterr().out

    assert "Cut off what is dry." in text
    assert "  python -m services.collector prune tree\n      cuts the tree" in text
    assert "exit codes: 0 PASS, 99 FAIL" in text
