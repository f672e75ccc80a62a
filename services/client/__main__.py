"""Command line of the client: without a command it receives the feed and logs it until stopped."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence

from services.client.app import main as receive
from services.client.dial import shorten_resolver_timeout
from services.client.settings import ClientSettings
from services.contract.summary import EXIT_BAD_SETTINGS
from services.runtime import cli, jsonlogs, lifecycle, standard_streams
from services.runtime.control import console
from services.runtime.control.client import ControlClient
from services.runtime.errors import OperatorError
from services.runtime.version import SOFTWARE

PROGRAM = "python -m services.client"
EXITS = "exit codes: 0 stopped, 104 bad configuration"
EXAMPLES = {
    "console": "a prompt, at a terminal; help lists the commands",
    "console pause": "one request; the exit code tells whether it was accepted",
    "console rate 500 resume status": "several requests, one after the other",
    "console --json status": "the state of the run, as the server sends it",
    "console --url ws://10.0.0.7:8765 --token-file volumes/ledger/control.token": "from another machine",
}


def main(arguments: Sequence[str]) -> int:
    """Run the command that the arguments name; return the exit code."""
    standard_streams.settle()
    parser, commands = cli.parser(PROGRAM, "Receives the feed and logs it in blocks.", EXITS)
    parser.add_argument("--version", action="version", version=SOFTWARE)
    parser.set_defaults(command=_serve)
    does = "control the run that is on, or watch it: a prompt, or commands as arguments or lines of standard input"
    console.add_arguments(cli.add(commands, PROGRAM, "console", does, _console, EXAMPLES, console.EXITS))
    chosen = parser.parse_args(arguments)
    run: cli.RunCommand = chosen.command
    try:
        return run(chosen, os.environ)
    except OperatorError as problem:
        for line in str(problem).splitlines():
            print(f"error: {line}", file=sys.stderr)
        return EXIT_BAD_SETTINGS


def _serve(_: argparse.Namespace, environment: Mapping[str, str]) -> int:
    jsonlogs.configure("client")
    shorten_resolver_timeout()
    return lifecycle.run(lambda: ClientSettings.read(environment), receive)


def _console(chosen: argparse.Namespace, environment: Mapping[str, str]) -> int:
    return console.run(chosen, environment, ControlClient)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
