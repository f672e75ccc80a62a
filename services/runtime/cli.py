"""How a command is entered on the command line, and how its help teaches: a sentence, examples, exit codes."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, Protocol, TypeAlias

from services.contract.summary import EXIT_BAD_SETTINGS

RunCommand: TypeAlias = Callable[[argparse.Namespace, Mapping[str, str]], int]
"""Does what was asked, in an environment; returns the exit code.

Raises OperatorError for what the operator has to mend: it is told, and is exit code 104.
"""


class Parser(argparse.ArgumentParser):
    """A parser to which a wrong command line is bad configuration: two lines on stderr, exit code 104."""

    def error(self, message: str) -> NoReturn:
        """End the process, saying what is wrong and where help is."""
        self.exit(EXIT_BAD_SETTINGS, f"error: {message}\ntry: {self.prog} --help\n")


class Commands(Protocol):
    """Where commands are added: what `argparse` gives for this, by a public name."""

    def add_parser(self, name: str, **options: Any) -> Parser:
        """Add a command's parser."""


def parser(program: str, does: str, exits: str) -> tuple[Parser, Commands]:
    """Return the parser of a whole command line, and where commands are added to it.

    Args:
        program: what is typed before a command.
        does: in one sentence, what it is for.
        exits: the exit codes.
    """
    whole = Parser(
        prog=program,
        description=f"{does} Without a command it runs as a service.",
        epilog=f"{program} COMMAND --help teaches a command.\n\n{_wrapped(exits)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return whole, whole.add_subparsers(metavar="COMMAND", parser_class=Parser)


def add(
    commands: Commands, program: str, name: str, does: str, run: RunCommand, examples: Mapping[str, str], exits: str
) -> Parser:
    """Add a command; return its parser, which still needs its arguments.

    Args:
        commands: where commands are added.
        program: what is typed before a command.
        name: what is typed.
        does: one sentence, without a full stop, in the list of commands and above its own help.
        run: what is done.
        examples: command lines, without the program, and what each is good for.
        exits: the exit codes.
    """
    taught = "\n".join(f"  {program} {line}\n      {use}" for line, use in examples.items())
    made = commands.add_parser(
        name,
        help=does,
        description=f"{does[0].upper()}{does[1:]}.",
        epilog=f"examples:\n{taught}\n\n{_wrapped(exits)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.set_defaults(command=run)
    return made


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 100)
