"""Command line of the collector: without a command it runs as a service, else one of the modules in ``commands/``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

from services import SOFTWARE
from services.runtime import cli, process_setup

if TYPE_CHECKING:
    import asyncio

    from services.collector.settings import CollectorSettings

COMMANDS = (
    "wait", "report", "verify", "compare", "messages", "prove", "part", "merge", "control", "serve",
)  # fmt: skip
"""In the order in which the help lists them."""

PROGRAM = "python -m services.collector"
EXITS = (
    "exit codes: 0 PASS, 99 FAIL, 98 INVALID (the measurement cannot be trusted), 104 bad configuration, 105 aborted"
)


def main(arguments: Sequence[str]) -> int:
    """Run what the command line asks for; return the exit code."""
    process_setup.keep_freed_memory()
    process_setup.make_streams_usable()
    parser, commands = cli.parser(
        PROGRAM, "Reconciles the records that were sent with those that were logged.", EXITS, SOFTWARE, _serve
    )
    parser.add_argument("--check", action="store_true", help="read the settings, report the mistakes, and exit")
    for name in _needed(arguments):
        import_module(f"services.collector.commands.{name}").add(commands)
    return cli.run_command(parser.parse_args(arguments), os.environ)


def _needed(arguments: Sequence[str]) -> Sequence[str]:
    """Return the commands to import.

    Importing all of them takes longer than verifying a small folder, and only the help and the report of a misspelt
    command list them all.
    """
    return [name for name in COMMANDS if name in arguments[:1]] or (COMMANDS if arguments else ())


def _serve(chosen: argparse.Namespace, environment: Mapping[str, str]) -> int:
    # Imported here and below, so that a command does not load the web server, the charts, and what settings need.
    from services.collector.settings import CollectorSettings  # noqa: PLC0415

    if chosen.check:
        CollectorSettings.read(environment)
        return 0
    from services.collector import app, cpu_yield  # noqa: PLC0415
    from services.runtime import jsonlogs, lifecycle  # noqa: PLC0415

    async def yielding_main(settings: CollectorSettings, stop: asyncio.Event) -> int:
        # Before the first thread starts: threads inherit the priority of the one that creates them.
        cpu_yield.lower_priority()
        return await app.main(settings, stop)

    jsonlogs.configure("collector")
    return lifecycle.run(lambda: CollectorSettings.read(environment), yielding_main)


def _end_at_once(code: int) -> NoReturn:
    """End the process without taking the interpreter apart, which would be a tenth of the time of a short command.

    Every file is closed by the code that wrote it, and every other process has ended.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    exit_code = main(sys.argv[1:])
    # Other commands take longer, or have threads that the interpreter ends.
    if sys.argv[1:2] == ["verify"]:
        _end_at_once(exit_code)
    sys.exit(exit_code)
