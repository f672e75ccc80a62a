"""Command lines: argparse conventions, the help of a command, running one, and "did you mean"."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping
from typing import NoReturn, TypeAlias

from services.runtime.errors import EXIT_ABORTED, EXIT_BAD_SETTINGS, OperatorError

RunCommand: TypeAlias = Callable[[argparse.Namespace, Mapping[str, str]], int]
"""Runs a command with its arguments and the environment; returns the exit code.

Raises OperatorError for a fault that the operator can repair; `run_command` prints it and returns 104.
"""


class Parser(argparse.ArgumentParser):
    """An argument parser that treats a wrong command line as bad configuration: two lines on stderr, exit code 104."""

    def error(self, message: str) -> NoReturn:
        """Exit with the mistake and a reference to ``--help``."""
        self.exit(EXIT_BAD_SETTINGS, f"error: {message}\ntry: {self.prog} --help\n")


class Commands:
    """The commands of a program.

    Args:
        parser: the parser of the program.
        program: the words before a command, such as ``python -m services.collector``.
        exits: the exit codes that a command has unless it names its own.
    """

    def __init__(self, parser: Parser, program: str, exits: str) -> None:
        self._parsers = parser.add_subparsers(metavar="COMMAND", parser_class=Parser)
        self._program, self._exits = program, exits

    def add(
        self, name: str, does: str, run: RunCommand, examples: Mapping[str, str], exits: str | None = None
    ) -> Parser:
        """Add a command; return its parser, to which the caller adds the arguments.

        Args:
            name: the command.
            does: a clause in the imperative, without a full stop; printed in the list of commands and above its help.
            run: the function to call.
            examples: command lines without the program, each with its purpose.
            exits: the exit codes, if they differ from the program's.
        """
        lines = "\n".join(f"  {self._program} {line}\n      {purpose}" for line, purpose in examples.items())
        parser = self._parsers.add_parser(
            name,
            help=does,
            description=f"{does[0].upper()}{does[1:]}.",
            epilog=f"examples:\n{lines}\n\n{_wrapped(self._exits if exits is None else exits)}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.set_defaults(command=run)
        return parser


def parser(program: str, does: str, exits: str, version: str, serve: RunCommand) -> tuple[Parser, Commands]:
    """Return the parser of a program and the object to which its commands are added.

    Args:
        program: the words before a command, such as ``python -m services.collector``.
        does: one sentence about the purpose of the program.
        exits: the exit codes.
        version: the output of ``--version``.
        serve: runs the service; called when the command line has no command.
    """
    whole = Parser(
        prog=program,
        description=f"{does} Without a command it runs as a service.",
        epilog=f"{program} COMMAND --help explains a command.\n\n{_wrapped(exits)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.add_argument("--version", action="version", version=version)
    whole.set_defaults(command=serve)
    return whole, Commands(whole, program, exits)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 100)


def run_command(chosen: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Run the chosen command; return its exit code, or 104 or 105 after printing why it could not be completed."""
    run: RunCommand = chosen.command
    try:
        code = run(chosen, environment)
        # Here and not at exit, so that a closed pipe is handled below.
        sys.stdout.flush()
    except OperatorError as error:
        sys.stderr.write(error.report())
        return error.exit_code
    except BrokenPipeError:
        # The reader of the output, such as `head`, has exited. Python flushes standard output once more when it exits;
        # without a valid target it would print a second error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ABORTED
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return EXIT_ABORTED
    return code


def closest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known name that is spelt most like ``name``; None if none is at least ``cutoff`` (0 to 1) similar."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)), None)


def suggest(name: str, known: Iterable[str]) -> str:
    """Return ``did you mean …?`` with the most similar known name; empty if none is similar."""
    near = closest(name, known)
    return f"did you mean {near}?" if near else ""
