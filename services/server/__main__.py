"""Command line of the server: without a command it serves the feed until it is stopped; ``preview`` prints records."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence

from services.contract.summary import EXIT_BAD_SETTINGS
from services.runtime import cli, jsonlogs, lifecycle, standard_streams
from services.runtime.errors import OperatorError
from services.runtime.eventloop import exact_loop
from services.runtime.version import SOFTWARE
from services.server import app, preview
from services.server.settings import ServerSettings

EXITS = "exit codes: 0 stopped, 104 bad configuration; settings come from the environment, as README.md lists them"


def main(arguments: Sequence[str]) -> int:
    """Run the service or a command; return the exit code."""
    standard_streams.settle()
    parser, commands = cli.parser(preview.PROGRAM, "Makes records and streams them to its clients.", EXITS)
    parser.add_argument("--version", action="version", version=SOFTWARE)
    parser.set_defaults(command=_serve)
    preview.add(commands)
    chosen = parser.parse_args(arguments)
    run: cli.RunCommand = chosen.command
    try:
        return run(chosen, os.environ)
    except OperatorError as problem:
        sys.stderr.write(problem.report())
        return EXIT_BAD_SETTINGS


def _serve(_chosen: argparse.Namespace, environment: Mapping[str, str]) -> int:
    jsonlogs.configure("server")
    return lifecycle.run(lambda: ServerSettings.read(environment), app.main, exact_loop)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
