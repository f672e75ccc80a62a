"""Tests of the steps of a greeting."""

from __future__ import annotations

import re
from typing import Any

import pytest

from services.client.external.greeting import CommandStep, FileStep, Greeting, Say, WaitStep
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


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("hi\nwait:(", "line 2: expected a regular expression: .*unterminated"),
        ("wait:", "line 1: expected a regular expression after wait:"),
        ("wait 0s:x", "line 1: expected a time of at most 3600 s"),
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


def test_steps_are_tables_of_a_profile() -> None:
    """A profile's steps send, wait, read a file, or run a command."""
    tables: list[dict[str, Any]] = [
        {"send": "wait:\nx"}, {"wait": "ack", "seconds": 3}, {"file": "login.txt"},
        {"command": ["sign", "--now"], "seconds": 5}, {"wait": "ok"},
    ]  # fmt: skip

    assert (
        MessageTemplate("wait:\nx"),
        WaitStep(re.compile(b"ack", re.DOTALL), 3),
        FileStep("login.txt", "hello.file"),
        CommandStep(("sign", "--now"), 5),
        WaitStep(re.compile(b"ok", re.DOTALL), 10),
    ) == Greeting.of_tables(tables).steps
    assert [True, False] == [Greeting.of_tables(tables).has_commands, Greeting.of("hi").has_commands]


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({}, "step 1: expected one of send, wait, file, command"),
        ({"send": "a", "wait": "b"}, "step 1: expected one of"),
        ({"say": "a"}, "step 1: unknown key 'say'"),
        ({"send": 1}, "step 1: expected send = a text"),
        ({"wait": "("}, "step 1: expected a regular expression"),
        ({"send": "a", "seconds": 1}, "step 1: seconds belong to wait or command"),
        ({"wait": "a", "seconds": True}, "step 1: expected a number of seconds"),
        ({"wait": "a", "seconds": 0}, "step 1: expected a number of seconds"),
        ({"command": "sign --now"}, "step 1: expected command = "),
        ({"command": []}, "step 1: expected command = "),
    ],
)
def test_a_table_that_is_no_step_is_reported(table: dict[str, Any], problem: str) -> None:
    """The error names step and fault."""
    with pytest.raises(ValueError, match=problem):
        Greeting.of_tables([table])


def test_steps_are_planned_with_their_values() -> None:
    """Messages get the values that are known; other steps stay, and files are expected to be read before."""
    greeting = Greeting.of_tables([{"send": "a"}, {"wait": "b"}, {"command": ["c"]}, {"file": "d"}])

    assert [
        Say(MessageTemplate("a"), {"client": "client-1"}),
        WaitStep(re.compile(b"b", re.DOTALL)),
        CommandStep(("c",)),
    ] == greeting.planned({"client": "client-1"})


def test_a_long_pattern_is_shortened() -> None:
    """What is said about an unanswered greeting has at most 80 characters of the pattern."""
    step = WaitStep(re.compile(b"x" * 100), 10)

    assert f"the greeting is unanswered: nothing matched /{'x' * 79}…/ within 10 s" == step.unanswered
