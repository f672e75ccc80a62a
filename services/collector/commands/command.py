"""How a command is entered on the command line, and how its help teaches: a sentence, examples, exit codes."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, Protocol, TypeAlias

from services.contract.summary import EXIT_BAD_SETTINGS

PROGRAM = "python -m services.collector"
EXITS = (
    "exit codes: 0 PASS, 99 FAIL, 98 INVALID (the measurement cannot be trusted), 104 bad configuration, 105 aborted"
)

Run: TypeAlias = Callable[[argparse.Namespace, Mapping[str, str]], int]
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


def parser() -> tuple[Parser, Commands]:
    """Return the parser of the whole command line, and where commands are added to it."""
    whole = Parser(
        prog=PROGRAM,
        description="Reconciles what was sent with what was logged. Without a command it runs as a service.",
        epilog=f"{PROGRAM} COMMAND --help teaches a command.\n\n{_wrapped(EXITS)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return whole, whole.add_subparsers(metavar="COMMAND", parser_class=Parser)


def add(commands: Commands, name: str, does: str, run: Run, examples: Mapping[str, str], exits: str = EXITS) -> Parser:
    """Add a command; return its parser, which still needs its arguments.

    Args:
        commands: where commands are added.
        name: what is typed.
        does: one sentence, without a full stop, in the list of commands and above its own help.
        run: what is done.
        examples: command lines, without the program, and what each is good for.
        exits: the exit codes, if they mean something else here.
    """
    taught = "\n".join(f"  {PROGRAM} {line}\n      {use}" for line, use in examples.items())
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
