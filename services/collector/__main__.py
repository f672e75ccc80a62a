"""The collector: without a command the service, else one of those in ``commands/``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from services.collector import cpu_yield
from services.collector.commands import run_loader
from services.collector.settings import CollectorSettings
from services.contract.summary import EXIT_ABORTED, EXIT_BAD_SETTINGS
from services.runtime import standard_streams
from services.runtime.errors import OperatorError
from services.runtime.malloc import keep_freed
from services.runtime.version import SOFTWARE

if TYPE_CHECKING:
    import asyncio

COMMANDS = ("wait", "report", "verify", "compare", "messages", "prove", "control")
"""In the order in which the help lists them."""


def main(arguments: Sequence[str]) -> int:
    """Do what the command line says; return the exit code."""
    keep_freed()
    standard_streams.settle()
    parser, commands = run_loader.parser()
    parser.add_argument("--version", action="version", version=SOFTWARE)
    parser.set_defaults(command=_serve)
    for name in _wanted(arguments):
        import_module(f"services.collector.commands.{name}").add(commands)
    chosen = parser.parse_args(arguments)
    run: run_loader.RunCommand = chosen.command
    try:
        code = run(chosen, os.environ)
        sys.stdout.flush()
    except OperatorError as problem:
        sys.stderr.write(problem.report())
        return EXIT_BAD_SETTINGS
    except BrokenPipeError:
        # Whoever was told has gone away, as `head` does; nor must Python try to tell it the rest when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ABORTED
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return EXIT_ABORTED
    return code


def _wanted(arguments: Sequence[str]) -> Sequence[str]:
    # To load all of them takes longer than to verify a small folder: only help, and who mistypes, needs them.
    return [name for name in COMMANDS if name in arguments[:1]] or (COMMANDS if arguments else ())


def _serve(_chosen: argparse.Namespace, environment: Mapping[str, str]) -> int:
    # Here, so that a command, which opens no port, does not load what the service needs for that.
    from services.collector import app  # noqa: PLC0415
    from services.runtime import jsonlogs, lifecycle  # noqa: PLC0415

    async def serve(settings: CollectorSettings, stop: asyncio.Event) -> int:
        cpu_yield.lower_priority()
        return await app.main(settings, stop)

    jsonlogs.configure("collector")
    return lifecycle.run(lambda: CollectorSettings.read(environment), serve)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
