"""The commands of the collector: how each is entered on its command line, and what its exit codes mean."""

from __future__ import annotations

from collections.abc import Mapping

from services.runtime import cli
from services.runtime.cli import Commands, Parser, Run

__all__ = ["EXITS", "PROGRAM", "Commands", "Parser", "Run", "add", "parser"]

PROGRAM = "python -m services.collector"
EXITS = (
    "exit codes: 0 PASS, 99 FAIL, 98 INVALID (the measurement cannot be trusted), 104 bad configuration, 105 aborted"
)


def parser() -> tuple[Parser, Commands]:
    """Return the parser of the whole command line, and where commands are added to it."""
    return cli.parser(PROGRAM, "Reconciles what was sent with what was logged.", EXITS)


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
    return cli.add(commands, PROGRAM, name, does, run, examples, exits)
