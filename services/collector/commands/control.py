"""Controls the run from the container that has the token: its rate, pause and resume, a client's connection."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from services.collector.commands import run_loader
from services.runtime.control import console


def add(commands: run_loader.Commands) -> None:
    """Add the command."""
    parser = run_loader.add(
        commands,
        "control",
        "control the run that is on, or watch it: a console, or commands as arguments or lines of standard input",
        run,
        {
            "control": "a prompt, at a terminal; help lists what can be typed",
            "control pause": "one wish; the exit code tells whether it is granted",
            "control rate 500 resume": "several, one after the other",
            "control --json status": "how the run stands, as the server says it",
        },
        console.EXITS,
    )
    console.add_arguments(parser)


def run(chosen: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Do what was asked; return the exit code."""
    # Here, so that commands that read the books alone do not load what speaks on the wire.
    from services.collector.publish.web.control_proxy import control_client  # noqa: PLC0415

    return console.run(chosen, environment, control_client)
