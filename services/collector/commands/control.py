"""`control`: the operator's console, run where the collector's container has the control token."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from services.runtime.cli import Commands
from services.runtime.control import console


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = commands.add(
        "control",
        "control or watch the current run: a prompt, or commands as arguments or lines of standard input",
        run,
        {
            "control": "a prompt, at a terminal; help lists what can be typed",
            "control pause": "one request; the exit code says whether the server accepted it",
            "control rate 500 resume": "several requests, one after the other",
            "control --json status": "the state of the run, as the frame that the server sends",
        },
        console.EXITS,
    )
    console.add_arguments(parser)


def run(chosen: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Run the console; return the exit code."""
    # Imported here, so that commands that only read files do not load the WebSocket library.
    from services.collector.publish.web.control import line_to  # noqa: PLC0415

    return console.run(chosen, environment, line_to)
