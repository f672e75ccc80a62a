"""Tests of services/runtime/cli.py."""

import argparse
from collections.abc import Mapping

import pytest

from services.runtime import cli


def _nothing(chosen: argparse.Namespace, environment: Mapping[str, str]) -> int:
    return 7


def _parser() -> cli.Parser:
    whole, commands = cli.parser("prog", "Tends trees.", "exit codes: 0 green")
    cli.add(
        commands,
        "prog",
        "prune",
        "cut off what is dry",
        _nothing,
        {"prune tree": "cuts the tree"},
        "exit codes: 0 green",
    )
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
    assert "  prog prune tree\n      cuts the tree" in text
    assert "exit codes: 0 green" in text


@pytest.mark.parametrize("arguments", [["prunes"], ["prune", "--deep"]])
def test_a_wrong_command_line_is_bad_configuration(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What is wrong and where help is, and the exit code of a bad setting."""
    with pytest.raises(SystemExit) as ended:
        _parser().parse_args(arguments)

    assert 104 == ended.value.code
    assert capsys.readouterr().err.startswith("error: ")
