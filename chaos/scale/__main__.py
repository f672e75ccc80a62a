"""``make scale``: plays runs with more than one server, breaks them, and prints the verdicts of their summaries.

The exit code is 0 if every part came out as it should. A part for which this machine lacks something is named and not
tried; with ``CI`` set that is wrong. ``make scale ARGS='a b'`` tries these parts only.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from websockets.exceptions import WebSocketException

from chaos.scale.part import Part
from chaos.scale.parts import PARTS

_INTERRUPTED = 130
_RIGHT, _WRONG, _NOT_TRIED = "right", "wrong", "not tried"


def main(arguments: Sequence[str]) -> int:
    """Try the parts that are named in the arguments, or all; return the exit code."""
    chosen = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    chosen_parts = chosen.parts or PARTS
    try:
        results = {part.letter: _result(part) for part in chosen_parts}
    except KeyboardInterrupt:
        return _INTERRUPTED
    wrong = [letter for letter, result in results.items() if result == _WRONG]
    untried = [letter for letter, result in results.items() if result == _NOT_TRIED]
    ends = [f"wrong: {', '.join(wrong)}"] if wrong else []
    ends += [f"not tried: {', '.join(untried)}"] if untried else []
    print("; ".join(ends) or "all as expected", flush=True)
    return 1 if wrong or (untried and os.environ.get("CI")) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m chaos.scale", description=__doc__.partition("\n")[0] if __doc__ else ""
    )
    known = "; ".join(f"{part.letter}: {part.what}" for part in PARTS)
    parser.add_argument("parts", nargs="*", type=_part, metavar="PART", help=f"of {known}; default: all")
    return parser


def _part(letter: str) -> Part:
    for part in PARTS:
        if part.letter == letter:
            return part
    raise argparse.ArgumentTypeError(f"no part {letter}; there are {', '.join(part.letter for part in PARTS)}")


def _result(part: Part) -> str:
    """Try a part in a folder of its own, print what came of it, and return whether that was right."""
    print(f"({part.letter}) {part.what}", flush=True)
    if lacking := part.lacking():
        print(f"    NOT TRIED: {lacking}", flush=True)
        return _NOT_TRIED
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        try:
            outcome = part.play(Path(folder))
        except (AssertionError, OSError, WebSocketException) as error:
            notes = "\n".join([str(error), *getattr(error, "__notes__", [])])
            print(f"    WRONG: {notes}", flush=True)
            return _WRONG
    for line in outcome.lines:
        print(f"    {line}", flush=True)
    for problem in outcome.problems:
        print(f"    WRONG: {problem}", flush=True)
    print(f"    {time.monotonic() - began:.0f} s", flush=True)
    return _WRONG if outcome.problems else _RIGHT


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
