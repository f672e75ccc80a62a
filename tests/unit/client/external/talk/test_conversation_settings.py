"""Tests of the settings of the messages to an external server."""

from __future__ import annotations

import pytest

from services.client.external.settings import read_feed
from services.client.external.talk.client_heartbeat import BeatInterval
from services.client.external.talk.conversation_settings import subprotocols
from services.client.external.talk.greeting import FileStep
from services.runtime.errors import BadSettings
from tests.unit.client.external.fakes import feed_settings


def test_a_heartbeat_has_an_interval() -> None:
    """The interval of a heartbeat is 15 s unless it is set, and without a heartbeat there is none."""
    conversation = feed_settings(FEED_HEARTBEAT='{"op":"ping"}').conversation
    named = feed_settings(FEED_HEARTBEAT="2", FEED_HEARTBEAT_SECONDS="$.pingInterval ms").conversation

    assert conversation.heartbeat is not None
    assert named.heartbeat is not None
    assert [BeatInterval(15), BeatInterval(None, named.heartbeat.interval.path, 0.001)] == [
        conversation.heartbeat.interval, named.heartbeat.interval,
    ]  # fmt: skip
    assert feed_settings().conversation.heartbeat is None


def test_a_hello_file_comes_first() -> None:
    """The file of FEED_HELLO_FILE is the login of every connection."""
    assert (FileStep("login", "FEED_HELLO_FILE"),) == feed_settings(FEED_HELLO_FILE="login").conversation.login.steps


def test_captured_names_are_known() -> None:
    """The names that steps capture are those of all greetings."""
    said = feed_settings(FEED_HELLO="wait:(?P<a>.)", FEED_RESUME="wait:(?P<b>.)").conversation

    assert {"a", "b"} == said.captures


def test_all_texts_may_be_secret() -> None:
    """Messages of greetings and heartbeat are known, so that none is shown in a reason."""
    said = feed_settings(FEED_HELLO="a\nwait:x", FEED_RESUME="b", FEED_HEARTBEAT="c").conversation

    assert ["a", "b", "c"] == said.texts


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        ({"FEED_HELLO": "secret\nwait:("}, "^FEED_HELLO: line 2: expected a regular expression"),
        ({"FEED_RESUME": "secret\nwait:("}, "^FEED_RESUME: line 2: expected a regular expression"),
        ({"FEED_HEARTBEAT": "x", "FEED_HEARTBEAT_SECONDS": "often"}, "^FEED_HEARTBEAT_SECONDS: expected a number of"),
        ({"FEED_HEARTBEAT_SECONDS": "5"}, "^FEED_HEARTBEAT_SECONDS: without FEED_HEARTBEAT"),
        ({"FEED_HEARTBEAT": "{seq}"}, "^FEED_HEARTBEAT: without FEED_SEQ there is no {seq}"),
        ({"FEED_RESUME": "{seq}"}, "^FEED_RESUME: without FEED_SEQ"),
        ({"FEED_RESUME": "{next}"}, "^FEED_RESUME: without FEED_SEQ"),
        ({"FEED_RESUME": "{key}", "FEED_SEQ": "$.s"}, "^FEED_RESUME: without FEED_KEY"),
        ({"FEED_SUBPROTOCOL": "a, secret value"}, "^FEED_SUBPROTOCOL: expected names .* number 2 is none"),
        ({"FEED_SUBPROTOCOL": "a,"}, "^FEED_SUBPROTOCOL: expected names .* number 2 is none"),
        ({"FEED_SUBPROTOCOL": "secret,secret"}, "^FEED_SUBPROTOCOL: number 2 is there twice"),
        ({"FEED_ORIGIN": "example.com"}, "^FEED_ORIGIN='example.com': expected an origin like"),
        ({"FEED_COMMANDS": "maybe"}, "^FEED_COMMANDS='maybe': expected one of"),
    ],
)
def test_mistakes_are_reported_without_secrets(environment: dict[str, str], problem: str) -> None:
    """A setting that cannot be used is reported in one line, which has no message and no subprotocol in it."""
    with pytest.raises(BadSettings, match=problem) as found:
        read_feed(environment)
    assert "secret" not in str(found.value)


def test_doubled_braces_name_no_value() -> None:
    """A resuming message may have a word in braces that looks like a name, if they are doubled."""
    assert read_feed({"FEED_RESUME": '{"q":"ticks{{seq}}"}'}) is not None


@pytest.mark.parametrize("setting", ["FEED_HELLO", "FEED_RESUME"])
def test_a_command_needs_a_permission(setting: str) -> None:
    """A greeting with a command is refused, unless FEED_COMMANDS permits it."""
    given = {setting: 'command:["sign"]', "FEED": "foreign"}
    with pytest.raises(BadSettings, match="FEED_COMMANDS: the greeting runs a command; FEED_COMMANDS=yes permits that"):
        read_feed(given)

    assert read_feed({**given, "FEED_COMMANDS": "yes"}) is not None


def test_subprotocols_are_a_list() -> None:
    """Subprotocols are separated by commas, in the order of preference."""
    assert ("a.b", "c-d") == subprotocols("a.b, c-d") == feed_settings(FEED_SUBPROTOCOL="a.b,c-d").reach.subprotocols
