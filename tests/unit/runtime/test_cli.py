"""Tests of command lines: parsing, help, exit codes and suggestions."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Mapping

import pytest

from services.runtime import cli
from services.runtime.errors import BadSettings


def _exit_with_7(_chosen: argparse.Namespace, _environment: Mapping[str, str]) -> int:
    return 7


def _serve(_chosen: argparse.Namespace, _environment: Mapping[str, str]) -> int:
    return 0


def _parser() -> cli.Parser:
    whole, commands = cli.parser("prog", "Tends trees.", "exit codes: 0 green", "prog/1.0", _serve)
    commands.add("prune", "cut off dry branches", _exit_with_7, {"prune tree": "cuts the tree"})
    commands.add("fell", "cut down a tree", _exit_with_7, {}, "exit codes: 0 gone")
    return whole


@pytest.mark.parametrize(("arguments", "expected"), [(["prune"], 7), ([], 0)])
def test_a_command_is_chosen_by_its_name(arguments: list[str], expected: int) -> None:
    """The first argument names the command to run; without arguments the service runs."""
    assert expected == cli.run_command(_parser().parse_args(arguments), {})


def test_the_help_of_a_command_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    """The help of a command has its purpose, an example to copy, and the exit codes."""
    with pytest.raises(SystemExit):
        _parser().parse_args(["prune", "--help"])
    text = capsys.readouterr().out

    assert "Cut off dry branches." in text
    assert "  prog prune tree\n      cuts the tree" in text
    assert "exit codes: 0 green" in text


def test_a_command_may_have_its_own_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """The exit codes of a command replace those of the program in its help."""
    with pytest.raises(SystemExit):
        _parser().parse_args(["fell", "--help"])

    assert "exit codes: 0 gone" in capsys.readouterr().out


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """The option --version prints the version and exits with 0."""
    with pytest.raises(SystemExit) as ended:
        _parser().parse_args(["--version"])

    assert (0, "prog/1.0\n") == (ended.value.code, capsys.readouterr().out)


@pytest.mark.parametrize("arguments", [["prunes"], ["prune", "--deep"]])
def test_a_wrong_command_line_is_bad_configuration(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong command line prints the mistake and a reference to the help, and exits with 104."""
    with pytest.raises(SystemExit) as ended:
        _parser().parse_args(arguments)

    assert 104 == ended.value.code
    assert capsys.readouterr().err.startswith("error: ")


def _raising(error: BaseException) -> Callable[..., int]:
    def command(*_: object) -> int:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "expected", "printed"),
    [
        (BadSettings(["RATE\n  it is here", "SEED"]), 104, "error: RATE\n  it is here\nerror: SEED\n"),
        (KeyboardInterrupt(), 105, "interrupted\n"),
    ],
)
def test_an_error_is_printed(
    error: BaseException, expected: int, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error that the operator can repair is printed and exits with 104, an interruption exits with 105."""
    assert expected == cli.run_command(argparse.Namespace(command=_raising(error)), {})
    assert printed == capsys.readouterr().err


def test_a_bug_is_not_hidden() -> None:
    """An error that is not an OperatorError is raised with its traceback."""
    with pytest.raises(ZeroDivisionError):
        cli.run_command(argparse.Namespace(command=_raising(ZeroDivisionError())), {})


def test_a_closed_pipe_ends_a_command_silently() -> None:
    """A command whose reader exits ends with 105, without a traceback."""
    program = (
        "import argparse, sys; from services.runtime import cli\n"
        "def write(*_): sys.stdout.write('x' * 1_000_000); return 0\n"
        "sys.exit(cli.run_command(argparse.Namespace(command=write), {}))"
    )
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = subprocess.run([sys.executable, "-c", program], stdout=writer, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(writer)

    assert (105, b"") == (ended.returncode, ended.stderr)


@pytest.mark.parametrize(
    ("name", "near", "hint"),
    [
        ("latncy", "latency", "did you mean latency?"),
        ("zzz", None, ""),
        ("latency", "latency", "did you mean latency?"),
    ],
)
def test_a_misspelt_name_is_suggested(name: str, near: str | None, hint: str) -> None:
    """The most similar known name is suggested, and none if no name is similar."""
    known = iter(["missing", "latency", "late"])

    assert near == cli.closest(name, ["missing", "latency", "late"])
    assert hint == cli.suggest(name, known)


def test_a_suggestion_can_require_more_similarity() -> None:
    """A higher cutoff rejects a name that is only roughly similar."""
    assert "RATE" == cli.closest("RATES", ["RATE"], cutoff=0.88)
    assert cli.closest("RAT_E_S", ["RATE"], cutoff=0.88) is None
