"""The steps by which a client greets a server: messages to send, and messages to wait for. Pure.

In a text each line is a step: a message, or ``wait:REGEX`` or ``wait 5s:REGEX`` for one that has to come before the
next message is sent. In a profile a step may also be a file or a command, whose lines are read for each connection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from services.client.external.templates import MessageTemplate, Value

DEFAULT_SECONDS = 10.0
"""How long a step waits unless it says otherwise."""
MAX_SECONDS = 3600.0
GIVEN = frozenset({"client", "seq", "next", "key"})
"""Names that always have a meaning in templates, so that no group may have them."""
_MAX_SHOWN = 80
_WAIT = re.compile(r"wait(?:[ \t]+(?P<seconds>[0-9]+(?:\.[0-9]+)?)[ \t]*s)?:(?P<pattern>.*)", re.DOTALL)
_KINDS = ("send", "wait", "file", "command")


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
        """What is said when no such message came in time."""
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
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                try:
                    steps.append(_of_line(line.strip()))
                except ValueError as problem:
                    raise ValueError(f"line {number}: {problem}") from problem
        return cls(tuple(steps))

    @classmethod
    def of_tables(cls, tables: Sequence[Mapping[str, Any]], setting: str = "hello") -> Greeting:
        """Parse the tables of a profile, each with ``send``, ``wait``, ``file`` or ``command``, perhaps ``seconds``.

        Args:
            tables: in their order.
            setting: the key of the profile that has them.

        Raises:
            ValueError: with the number of the step and the expected form.
        """
        steps: list[Step] = []
        for number, table in enumerate(tables, 1):
            try:
                steps.append(_of_table(table, setting))
            except ValueError as problem:
                raise ValueError(f"step {number}: {problem}") from problem
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


def pattern(text: str) -> re.Pattern[bytes]:
    """Return a regular expression that is searched in messages.

    Raises:
        ValueError: it is none.
    """
    try:
        return re.compile(text.encode(), re.DOTALL)
    except re.error as problem:
        raise ValueError(f"a regular expression: {problem}") from problem


def wait_step(text: str, seconds: float = DEFAULT_SECONDS) -> WaitStep:
    """Return the step that waits for a pattern.

    Raises:
        ValueError: with the expected form.
    """
    if not text.strip():
        raise ValueError("expected a regular expression after wait:")
    if not 0 < seconds <= MAX_SECONDS:
        raise ValueError(f"expected a time of at most {MAX_SECONDS:g} s")
    try:
        found = pattern(text)
    except ValueError as problem:
        raise ValueError(f"expected {problem}") from problem
    taken = sorted(GIVEN & found.groupindex.keys())
    if taken:
        raise ValueError(f"a group cannot have the name {taken[0]}, which has a meaning in every message")
    return WaitStep(found, seconds)


def _of_line(line: str) -> Step:
    match = _WAIT.fullmatch(line)
    if match is None:
        return MessageTemplate(line)
    return wait_step(match["pattern"].strip(), float(match["seconds"] or DEFAULT_SECONDS))


def _of_table(table: Mapping[str, Any], setting: str) -> Step:
    kinds = [kind for kind in _KINDS if kind in table]
    unknown = sorted(table.keys() - {*_KINDS, "seconds"})
    if unknown:
        raise ValueError(f"unknown key {unknown[0]!r}; a step has {', '.join(_KINDS)} or seconds")
    if len(kinds) != 1:
        raise ValueError(f"expected one of {', '.join(_KINDS)}")
    kind, value, seconds = kinds[0], table[kinds[0]], table.get("seconds", DEFAULT_SECONDS)
    if "seconds" in table and kind not in ("wait", "command"):
        raise ValueError("seconds belong to wait or command")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= MAX_SECONDS:
        raise ValueError(f"expected a number of seconds, at most {MAX_SECONDS:g}")
    if kind == "command":
        if not _is_list_of_texts(value):
            raise ValueError('expected command = ["program", "argument", ...]')
        return CommandStep(tuple(value), float(seconds))
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"expected {kind} = a text")
    if kind == "wait":
        return wait_step(value, float(seconds))
    return FileStep(value, f"{setting}.file") if kind == "file" else MessageTemplate(value.strip())


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(part, str) and part for part in value)
