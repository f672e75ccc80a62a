"""Command line of the client: without a command it receives the feed and logs it until stopped, else ``console``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence

from services import SOFTWARE
from services.client.app import main as receive
from services.client.dial import shorten_resolver_timeout
from services.client.feeds import command as feeds_command
from services.client.settings import ClientSettings
from services.runtime import cli, jsonlogs, lifecycle, process_setup
from services.runtime.control import console
from services.runtime.control.client import ControlClient

PROGRAM = "python -m services.client"
EXITS = "exit codes: 0 stopped, 104 bad configuration"
EXAMPLES = {
    "console": "a prompt, at a terminal; help lists what can be typed",
    "console pause": "one request; the exit code says whether the server accepted it",
    "console rate 500 resume status": "several requests, one after the other",
    "console --json status": "the state of the run, as the frame that the server sends",
    "console --url ws://10.0.0.7:8765 --token-file volumes/ledger/control.token": "from another machine",
}


def main(arguments: Sequence[str]) -> int:
    """Run what the command line asks for; return the exit code."""
    process_setup.make_streams_usable()
    parser, commands = cli.parser(PROGRAM, "Receives the feed and logs it in blocks.", EXITS, SOFTWARE, _serve)
    does = "control or watch the current run: a prompt, or commands as arguments or lines of standard input"
    console.add_arguments(commands.add("console", does, _console, EXAMPLES, console.EXITS))
    feeds_command.add_arguments(
        commands.add("feeds", feeds_command.DOES, feeds_command.run, feeds_command.EXAMPLES, feeds_command.EXITS)
    )
    return cli.run_command(parser.parse_args(arguments), os.environ)


def _serve(_: argparse.Namespace, environment: Mapping[str, str]) -> int:
    jsonlogs.configure("client")
    shorten_resolver_timeout()
    return lifecycle.run(lambda: ClientSettings.read(environment), receive)


def _console(chosen: argparse.Namespace, environment: Mapping[str, str]) -> int:
    return console.run(chosen, environment, ControlClient)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
