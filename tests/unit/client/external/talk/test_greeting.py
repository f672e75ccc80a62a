"""Tests of the steps of a greeting."""

from __future__ import annotations

import re

import pytest

from services.client.external.talk.greeting import CommandStep, FileStep, Greeting, Say, WaitStep
from services.client.external.templates import MessageTemplate


def test_a_line_is_a_message_or_a_wait() -> None:
    """A line that begins with wait: is a step that waits, perhaps for a time of its own; others are messages."""
    found = Greeting.of('{"op":"hi"}\n\nwait:"ack"\n wait 2.5s: (?P<sid>x+) \nwaiting: no\n')

    assert (
        MessageTemplate('{"op":"hi"}'),
        WaitStep(re.compile(b'"ack"', re.DOTALL), 10),
        WaitStep(re.compile(b"(?P<sid>x+)", re.DOTALL), 2.5),
        MessageTemplate("waiting: no"),
    ) == found.steps
    assert {"sid"} == found.captures
    assert not Greeting.of(" \n")


def test_a_line_may_name_a_file_or_a_command() -> None:
    """Lines that begin with file: or command: take further messages from there; a command may have a time limit."""
    assert (
        FileStep("/run/login", "file"),
        CommandStep(("sign", "--now"), 10),
        CommandStep(("sign",), 2.5),
        MessageTemplate("file:"),
        MessageTemplate("commands: none"),
    ) == Greeting.of('file: /run/login\ncommand:["sign", "--now"]\ncommand 2.5s:["sign"]\nfile:\ncommands: none').steps


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("command:sign", 'line 1: expected command:."program", "argument", ....'),
        ("command:[]", 'line 1: expected command:."program", "argument", ....'),
        ("hi\nwait:(", "line 2: expected a regular expression: .*unterminated"),
        ("wait:", "line 1: expected a regular expression after wait:"),
        ("wait 0s:x", "line 1: expected a time of at most 3600 s"),
        ('command 4000s:["x"]', "line 1: expected a time of at most 3600 s"),
        ('command:["x",1]', 'line 1: expected command:."program", "argument", ....'),
        ("wait:(?P<seq>x)", "line 1: a group cannot have the name seq"),
    ],
)
def test_a_step_that_is_none_is_reported(text: str, problem: str) -> None:
    """The error names line and fault."""
    with pytest.raises(ValueError, match=problem):
        Greeting.of(text)


def test_a_mistake_does_not_show_the_messages() -> None:
    """The error has no text of a message, in which a secret may be."""
    with pytest.raises(ValueError, match="line 2") as found:
        Greeting.of('{"token":"abc"}\nwait:(')

    assert "abc" not in str(found.value)


def test_steps_are_planned_with_their_values() -> None:
    """Messages get the values that are known; other steps stay, and files are expected to be read before."""
    greeting = Greeting.of('a\nwait:b\ncommand:["c"]\nfile:d')

    assert greeting.has_commands
    assert [
        Say(MessageTemplate("a"), {"client": "client-1"}),
        WaitStep(re.compile(b"b", re.DOTALL)),
        CommandStep(("c",)),
    ] == greeting.planned({"client": "client-1"})


def test_a_long_pattern_is_shortened() -> None:
    """What is said about an unanswered greeting has at most 80 characters of the pattern."""
    step = WaitStep(re.compile(b"x" * 100), 10)

    assert f"the greeting is unanswered: nothing matched /{'x' * 79}…/ within 10 s" == step.unanswered


def test_only_line_feeds_divide_steps() -> None:
    """A line ends with LF or CR LF; other separators, such as U+2028 in a JSON string, are part of a message."""
    assert ('{"a":"x\u2028y\x1e"}', "b") == tuple(
        template.line for template in Greeting.of('{"a":"x\u2028y\x1e"}\r\nb').templates
    )
