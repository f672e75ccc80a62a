"""A part of ``make scale``, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class PartOutcome:
    """What came of a part.

    Attributes:
        lines: what is printed: verdicts and headlines of the summaries, and counts.
        problems: a sentence for each result that is not the expected one.
    """

    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Part:
    """A part.

    Attributes:
        letter: by which it is chosen.
        what: a noun phrase.
        is_short: it takes less than a minute, and `make test` tries it too.
        play: plays its runs in an empty folder, within a bounded time; raises AssertionError if it cannot.
        lacking: returns what this machine lacks for the part, as a clause; empty if it lacks nothing.
    """

    letter: str
    what: str
    is_short: bool
    play: Callable[[Path], PartOutcome]
    lacking: Callable[[], str] = lambda: ""
