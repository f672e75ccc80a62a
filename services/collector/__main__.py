"""The collector: without a command the service, else one of ``wait`` and ``verify``."""

from __future__ import annotations

import argparse
import functools
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from services.collector import modest
from services.collector.commands import verify
from services.collector.settings import CollectorSettings
from services.contract.summary import EXIT_BAD_SETTINGS
from services.runtime import jsonlogs
from services.runtime.errors import BadSettings
from services.runtime.version import SOFTWARE

if TYPE_CHECKING:
    import asyncio

EXITS = (
    "exit codes: 0 PASS, 99 FAIL, 98 INVALID (the measurement cannot be trusted), 104 bad configuration, 105 aborted"
)


def main(arguments: Sequence[str]) -> int:
    """Do what the command line says; return the exit code."""
    # A terminal without UTF-8 shows a question mark rather than a traceback.
    for stream in (sys.stdout, sys.stderr):
        getattr(stream, "reconfigure", lambda **_: None)(errors="replace")
    chosen = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = chosen.command
    return command(chosen)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m services.collector",
        description="Reconciles what was sent with what was logged. Without a command it runs as a service.",
        epilog=EXITS,
    )
    parser.add_argument("--version", action="version", version=SOFTWARE)
    parser.set_defaults(command=_serve)
    commands = parser.add_subparsers(metavar="COMMAND")
    waiting = commands.add_parser("wait", help="wait for the newest run's verdict, print its summary", epilog=EXITS)
    waiting.add_argument("--run", help="wait for this run's")
    waiting.set_defaults(command=_wait)
    checking = commands.add_parser("verify", help="check a volumes folder, running or not", epilog=EXITS)
    checking.add_argument("folder", metavar="DIR", type=Path, help="the folder that holds logs/ and ledger/")
    checking.add_argument("--json", action="store_true", help="print each run's summary as one line of JSON")
    checking.add_argument("--run", help="check this run alone")
    checking.set_defaults(command=_verify)
    return parser


def _read_settings() -> CollectorSettings:
    return CollectorSettings.read(os.environ)


def _serve(_chosen: argparse.Namespace) -> int:
    # Here, so that `verify`, which neither waits nor opens a port, does not load what others need for that.
    from services.collector import app  # noqa: PLC0415
    from services.runtime import lifecycle  # noqa: PLC0415

    async def modestly(read: CollectorSettings, stop: asyncio.Event) -> int:
        # Before the first thread is begun: each inherits it.
        modest.give_way()
        return await app.main(read, stop)

    jsonlogs.configure("collector")
    return lifecycle.run(_read_settings, modestly)


def _wait(chosen: argparse.Namespace) -> int:
    from services.collector.commands import wait  # noqa: PLC0415
    from services.runtime import lifecycle  # noqa: PLC0415

    async def until_closed(read: CollectorSettings, stop: asyncio.Event) -> int:
        return await wait.wait(
            read.volumes,
            stop,
            say=functools.partial(print, flush=True),
            tell=functools.partial(print, file=sys.stderr, flush=True),
            now=time.monotonic,
            colour=read.colour and sys.stdout.isatty(),
            run=chosen.run,
        )

    return lifecycle.run(_read_settings, until_closed)


def _verify(chosen: argparse.Namespace) -> int:
    verdicts: list[str | None] = []
    try:
        limits = _read_settings().limits
        for made, books in verify.check(chosen.folder, limits, chosen.run):
            sys.stdout.write(verify.json_line(made) if chosen.json else verify.text(made, books))
            verdicts.append(made.verdict)
    except (BadSettings, verify.NoVolumes) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return EXIT_BAD_SETTINGS
    if not verdicts:
        print(f"{chosen.folder}: no run", file=sys.stderr)
    return verify.exit_code(verdicts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
