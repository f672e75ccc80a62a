"""Command line of the server: without a command it serves the feed until it is stopped."""

from __future__ import annotations

import argparse
import functools
import os
import sys
from collections.abc import Mapping, Sequence

from services import SOFTWARE
from services.runtime import cli, invocation, jsonlogs, lifecycle, process_setup
from services.runtime.eventloop import exact_loop
from services.server import preview, token_command
from services.server.jetstream import publish, service
from services.server.settings import ServerSettings

EXITS = "exit codes: 0 stopped, 104 bad configuration; docs/settings.md lists the settings, environment variables"


def main(arguments: Sequence[str]) -> int:
    """Run the service or a command; return the exit code."""
    process_setup.make_streams_usable()
    does = "Makes records and streams them to its clients."
    parser, commands = cli.parser(preview.PROGRAM, does, EXITS, SOFTWARE, _serve)
    preview.add(commands)
    token_command.add(commands)
    publish.add(commands)
    return cli.run_command(parser.parse_args(arguments), os.environ)


def _serve(_chosen: argparse.Namespace, environment: Mapping[str, str]) -> int:
    jsonlogs.configure("server")
    main = functools.partial(service.main, invocation=invocation.current(environment) or "")
    return lifecycle.run(lambda: ServerSettings.read(environment), main, exact_loop)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
