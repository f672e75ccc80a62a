"""Tests of the messages that resume a feed."""

from __future__ import annotations

import re

from services.client.external.talk.greeting import Greeting, Say, WaitStep
from services.client.external.talk.resumption import position, resumption

Last = list[tuple[str | None, int]]


def said(resume: str, last: Last, hello: str = "") -> list[str | bytes]:
    """Return the messages that resume a feed; a step that waits is shown by its pattern."""
    steps = resumption(Greeting.of(resume), Greeting.of(hello), "client-1", last)
    return [
        step.template.message(step.values) if isinstance(step, Say) else step.shown
        for step in steps
        if isinstance(step, Say | WaitStep)
    ]


def test_resumption_names_the_last_seq() -> None:
    """Without keys the feed is resumed from the highest seq received."""
    assert ['{"after":9}'] == said('{"after":{seq}}', [("a", 4), ("b", 9)])


def test_resumption_may_name_the_number_that_is_wanted() -> None:
    """A template with {next} gets the number after the last one received."""
    assert ['{"from":10}'] == said('{"from":{next}}', [(None, 9)])


def test_resumption_without_numbers_names_none() -> None:
    """Without any seq it is resumed from 0."""
    assert ["from 0"] == said("from {seq}", [])


def test_lines_with_a_key_are_sent_for_every_key_and_others_once() -> None:
    """The login is sent once, and the lines that name a key are sent for each key, with the last seq of that key."""
    assert ["login 9", "/ok/", "a:4", "get a", "b:9", "get b", "done"] == said(
        "login {seq}\nwait:ok\n{key}:{seq}\nget {key}\ndone", [("a", 4), ("b", 9)]
    )


def test_a_key_that_was_never_heard_is_subscribed_again() -> None:
    """A message of the greeting that names a key without any received record is sent again as it was."""
    hello = '{"op":"login"}\n{"op":"subscribe","channel":"a"}\n{"op":"subscribe","channel":"b"}'
    resume = '{"op":"login"}\n{"op":"subscribe","channel":"{key}","after":{seq}}'

    assert [
        '{"op":"login"}', '{"op":"subscribe","channel":"a","after":4}', '{"op":"subscribe","channel":"b"}'
    ] == said(resume, [("a", 4)], hello)  # fmt: skip
    assert [
        '{"op":"login"}',
        '{"op":"subscribe","channel":"a","after":4}',
        '{"op":"subscribe","channel":"b","after":5}',
    ] == said(resume, [("a", 4), ("b", 5)], hello)


def test_a_template_without_a_number_serves_every_key() -> None:
    """A resuming message that takes no number is sent for keys that were named as well as for those that were heard."""
    assert ['{"sub":["a"]}', '{"sub":["b"]}', '{"sub":["c"]}'] == said(
        '{"sub":["{key}"]}', [("a", 4)], '{"sub":["a","c","b"]}'
    )


def test_a_greeting_of_another_form_names_keys_too() -> None:
    """If no message of the greeting agrees with the resuming one, a message with the same members names the keys."""
    assert ['{"op":"resume","ch":"a","from":4}', '{"op":"sub","ch":"b"}'] == said(
        '{"op":"resume","ch":"{key}","from":{seq}}', [("a", 4)], '{"op":"sub","ch":"a"}\n{"op":"sub","ch":"b"}'
    )


def test_only_messages_like_the_resuming_one_name_keys() -> None:
    """If some messages of the greeting agree with the resuming one, others of the same form name no key."""
    hello = '{"op":"login","ch":"me"}\n{"op":"sub","ch":"b"}'

    assert ['{"op":"sub","ch":"a"}', '{"op":"sub","ch":"b"}'] == said('{"op":"sub","ch":"{key}"}', [("a", 4)], hello)


def test_a_key_that_was_never_heard_is_subscribed_once() -> None:
    """If messages with a key come before and after a step that waits, the first ones subscribe an unheard key."""
    assert ['{"ch":"a"}', '{"ch":"b"}', "/ok/", '{"ch":"a","n":1}'] == said(
        '{"ch":"{key}"}\nwait:ok\n{"ch":"{key}","n":1}', [("a", 4)], '{"ch":"b"}'
    )


def test_a_position_may_be_unknown() -> None:
    """The last number and the next one are known, or neither is."""
    assert [{"seq": 4, "next": 5}, {"seq": None, "next": None}] == [position(4), position(None)]


def test_steps_that_wait_stay_in_place() -> None:
    """A step that waits comes between the same messages as in the setting."""
    assert [WaitStep(re.compile(b"ok", re.DOTALL))] == resumption(Greeting.of("wait:ok"), Greeting(), "c", [])


def test_a_line_with_other_keys_is_not_sent_again() -> None:
    """If a message of the greeting names heard and unheard keys, only the unheard ones are subscribed from now on."""
    hello = '{"op":"sub","args":["trade.a","trade.b","trade.c"]}'

    assert [
        '{"op":"sub","args":["trade.a"],"after":4}',
        '{"op":"sub","args":["trade.b"]}',
        '{"op":"sub","args":["trade.c"]}',
    ] == said('{"op":"sub","args":["trade.{key}"],"after":{seq}}', [("a", 4)], hello)
    assert ['["sub","a",4]', '["sub","b"]'] == said('["sub","{key}",{seq}]', [("a", 4)], '["sub","b"]')


def test_a_key_may_have_several_values() -> None:
    """The values of a key of several are named by their number."""
    hello = '{"args":[{"ch":"books","id":"A"},{"ch":"trades","id":"B|C"}]}'

    assert ['{"args":[{"ch":"books","id":"A","s":4}]}', '{"args":[{"ch":"trades","id":"B|C"}]}'] == said(
        '{"args":[{"ch":"{key1}","id":"{key2}","s":{seq}}]}', [("books|A", 4)], hello
    )
    assert ['{"ch":"trades","id":"B|C","s":4}'] == said(
        '{"ch":"{key1}","id":"{key2}","s":{seq}}', [(r"trades|B\|C", 4)]
    )
