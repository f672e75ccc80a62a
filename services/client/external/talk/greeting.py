"""The steps by which a client greets a server: messages to send, and messages to wait for. Pure.

In a text each line is a step: a message, or ``wait:REGEX`` or ``wait 5s:REGEX`` for one that has to come before the
next message is sent. ``file:PATH`` and ``command:["program", "argument"]`` take messages from there at each connection.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from services.client.external.templates import MessageTemplate, Value

DEFAULT_SECONDS = 10.0
"""How long a step waits unless it says otherwise."""
MAX_SECONDS = 3600.0
GIVEN = re.compile(r"client|seq|next|key[1-9]?")
"""Names that always have a meaning in templates, so that no group may have them."""
_MAX_SHOWN = 80
_TIMED = re.compile(r"(?P<kind>wait|command)(?:[ \t]+(?P<seconds>[0-9]+(?:\.[0-9]+)?)[ \t]*s)?:(?P<rest>.*)", re.DOTALL)
_FILE = "file:"


@dataclass(frozen=True)
class WaitStep:
    """Waits for a message in which a pattern is found.

    Attributes:
        pattern: its named groups are values of later messages.
        seconds: how long to wait at most.
    """

    pattern: re.Pattern[bytes]
    seconds: float = DEFAULT_SECONDS

    @property
    def unanswered(self) -> str:
        """The failure if no such message came in time."""
        return f"the greeting is unanswered: nothing matched {self.shown} within {self.seconds:g} s"

    @property
    def shown(self) -> str:
        """The pattern between slashes, shortened."""
        text = self.pattern.pattern.decode("utf-8", "replace")
        return f"/{text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + '…'}/"


@dataclass(frozen=True)
class FileStep:
    """Takes further steps from a file, which is read for each connection.

    Attributes:
        path: of the file.
        setting: which setting names it.
    """

    path: str
    setting: str


@dataclass(frozen=True)
class CommandStep:
    """Sends what a command prints, a message a line: a login that has to be fresh, for example.

    Attributes:
        arguments: program and arguments.
        seconds: how long it may take.
    """

    arguments: tuple[str, ...]
    seconds: float = DEFAULT_SECONDS


Step = MessageTemplate | WaitStep | FileStep | CommandStep


class Say(NamedTuple):
    """A message to send, with the values that are known beforehand."""

    template: MessageTemplate
    values: Mapping[str, Value]


Planned = Say | WaitStep | CommandStep
"""A step on one connection; all files have been read."""


@dataclass(frozen=True)
class Greeting:
    """Steps, in their order."""

    steps: tuple[Step, ...] = field(default=())

    @classmethod
    def of(cls, text: str) -> Greeting:
        """Parse a text with one step a line; empty lines are ignored.

        Raises:
            ValueError: with the number of the line and the expected form, but not the line, which may be secret.
        """
        steps: list[Step] = []
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                try:
                    steps.append(_of_line(line.strip()))
                except ValueError as problem:
                    raise ValueError(f"line {number}: {problem}") from problem
        return cls(tuple(steps))

    def __bool__(self) -> bool:
        """Return whether there are steps."""
        return bool(self.steps)

    @property
    def templates(self) -> tuple[MessageTemplate, ...]:
        """The messages to send."""
        return tuple(step for step in self.steps if isinstance(step, MessageTemplate))

    @property
    def names(self) -> frozenset[str]:
        """The names of the values that its messages take."""
        return frozenset(name for template in self.templates for name in template.names)

    @property
    def captures(self) -> frozenset[str]:
        """The names of the values that its steps take from messages they wait for."""
        waits = [step for step in self.steps if isinstance(step, WaitStep)]
        return frozenset(name for step in waits for name in step.pattern.groupindex)

    @property
    def has_commands(self) -> bool:
        """Whether a step runs a command."""
        return any(isinstance(step, CommandStep) for step in self.steps)

    def planned(self, values: Mapping[str, Value]) -> list[Planned]:
        """Return the steps with these values; a file that has not been read is left out."""
        return [_with(step, values) for step in self.steps if not isinstance(step, FileStep)]


NOTHING = Greeting()


def _with(step: MessageTemplate | WaitStep | CommandStep, values: Mapping[str, Value]) -> Planned:
    return Say(step, values) if isinstance(step, MessageTemplate) else step


def _of_line(line: str) -> Step:
    if line.startswith(_FILE) and line != _FILE:
        return FileStep(line.removeprefix(_FILE).strip(), "file")
    match = _TIMED.fullmatch(line)
    if match is None:
        return MessageTemplate(line)
    rest, seconds = match["rest"].strip(), float(match["seconds"] or DEFAULT_SECONDS)
    if not 0 < seconds <= MAX_SECONDS:
        raise ValueError(f"expected a time of at most {MAX_SECONDS:g} s")
    return _wait(rest, seconds) if match["kind"] == "wait" else _command(rest, seconds)


def _wait(text: str, seconds: float) -> WaitStep:
    if not text:
        raise ValueError("expected a regular expression after wait:")
    try:
        found = re.compile(text.encode(), re.DOTALL)
    except re.error as problem:
        raise ValueError(f"expected a regular expression: {problem}") from problem
    taken = [name for name in found.groupindex if GIVEN.fullmatch(name)]
    if taken:
        raise ValueError(f"a group cannot have the name {taken[0]}, which has a meaning in every message")
    return WaitStep(found, seconds)


def _command(text: str, seconds: float) -> CommandStep:
    try:
        arguments = json.loads(text)
    except ValueError:
        arguments = None
    if not isinstance(arguments, list) or not arguments or not all(isinstance(one, str) and one for one in arguments):
        raise ValueError('expected command:["program", "argument", ...]')
    return CommandStep(tuple(arguments), seconds)
