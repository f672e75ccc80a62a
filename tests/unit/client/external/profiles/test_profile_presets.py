"""Tests of the presets: each can be read, and reads the documented message of its feed as documented."""

from __future__ import annotations

import re
import time
from typing import NamedTuple

import pytest

from services.client.external.decoder import DecodedRecord
from services.client.external.profiles.profile import PRESETS, load, preset_names
from services.client.external.settings import FeedSettings, read_feed
from services.client.external.talk.greeting import WaitStep
from services.contract.scalars import utc_text
from tests.repo.markdown import fences, sections
from tests.repo.repository import text

PAGES = [f"docs/guides/presets-{group}.md" for group in ("market-data", "gateways", "protocols")]
OVERVIEW = "docs/guides/presets.md"
VALUES = {
    "graphql-ws": {"FEED_VARIABLES": "query=x", "FEED_SEQ": "$.payload.data.ticks.seq"},
    "phoenix": {"FEED_VARIABLES": "topic=room:lobby", "FEED_SEQ": "$[4].seq"},
    "actioncable": {"FEED_VARIABLES": "channel=TicksChannel", "FEED_SEQ": "$.message.seq"},
    "centrifugo": {"FEED_VARIABLES": "channel=news"},
    "signalr": {"FEED_SEQ": "$.arguments[0].seq"},
    "socketio": {"FEED_VARIABLES": "event=tick", "FEED_SEQ": "$.seq"},
    "engineio2": {"FEED_VARIABLES": "event=tick", "FEED_SEQ": "$.seq"},
    "mqtt": {"FEED_SEQ": "$.seq"},
    "stomp": {"FEED_VARIABLES": "destination=/topic/ticks", "FEED_SEQ": "$.seq"},
    "nats": {"FEED_VARIABLES": "subject=ticks.>", "FEED_SEQ": "$.seq"},
    "discord": {"FEED_VARIABLES": "token=secret"},
    "mattermost": {"FEED_VARIABLES": "token=secret"},
    "home-assistant": {"FEED_VARIABLES": "token=secret"},
}
"""What an operator gives beside the name of the preset and the address."""

every_preset = pytest.mark.parametrize("name", preset_names())


def settings(name: str) -> FeedSettings:
    """Return the settings of a preset with the documented values."""
    found = read_feed({"SERVER_URL": "ws://feed", "FEED": name, **VALUES.get(name, {})})
    assert found is not None
    return found


def records(found: FeedSettings, frame: bytes) -> list[DecodedRecord]:
    """Return the records of a frame; a frame with other bytes than ASCII is binary."""
    return found.frame_reader().read(frame if max(frame) > 127 else frame.decode()).records


class Documented(NamedTuple):
    """The message in a preset's section of the page, and the values that are read from it, by name."""

    frame: bytes
    values: dict[str, str]


def documented(name: str) -> Documented:
    """Return the documented message of a preset."""
    section = next(parts[name] for page in PAGES if name in (parts := sections(text(page))))
    (fence,) = fences(section, "json", "text")
    escaped = fence.text.rstrip("\n")
    frame = escaped if fence.language == "json" else escaped.encode().decode("unicode_escape")
    found = re.search(r"^Read as (.*)\.$", section, re.MULTILINE)
    assert found is not None
    return Documented(frame.encode("latin-1"), dict(value.split(" ", 1) for value in found[1].split(", ")))


@every_preset
def test_a_preset_says_what_it_is(name: str) -> None:
    """A preset names its source in a comment, and describes itself and its variables in one line each."""
    found = load(name)

    assert (PRESETS / f"{name}.toml").read_text(encoding="utf-8").startswith("# https://")
    assert 20 < len(found.about) < 120
    assert all(variable.about for variable in found.variables.values())


@every_preset
def test_a_preset_is_complete(name: str) -> None:
    """A preset with the documented values makes settings."""
    assert settings(name).reach.url


@every_preset
def test_a_preset_reads_the_documented_message(name: str) -> None:
    """A preset reads number, key and time of the documented message as its page says."""
    expected, found = documented(name), settings(name)
    record = records(found, expected.frame)[0]
    sent = None if record.sent_ns is None else utc_text(record.sent_ns // 1000)

    assert expected.values.get("number") == (None if record.seq is None else str(record.seq))
    assert expected.values.get("key") == record.key
    assert (expected.values.get("time") or "Z")[:-1] == (sent or "")[:23]


@every_preset
def test_no_message_takes_a_preset_long(name: str) -> None:
    """The patterns of a preset need linear time for messages that they nearly match again and again."""
    found = settings(name)
    waits = [step.pattern for step in found.conversation.hello.steps if isinstance(step, WaitStep)]
    patterns = filter(None, [found.reading.match, found.pings.ping, found.pings.ignore, *waits])
    messages = [
        beginning + part * 20_000
        for beginning in (b"", b"MESSAGE\n", b'42["tick",', b'["1",null,"x","phx_reply",')
        for part in (b"\r\n", b"MSG ", b'"phx_reply",', b'["', b'42["')
    ]
    began = time.process_time()
    for pattern in patterns:
        for message in messages:
            for _ in pattern.finditer(message):
                pass

    assert time.process_time() - began < 3


def test_the_pages_have_every_preset() -> None:
    """The pages of the groups describe exactly the presets, and the overview leads to each."""
    described = {page: re.findall(r"^## (\S+)$", text(page), re.MULTILINE) for page in PAGES}
    linked = re.findall(r"\[([\w-]+)\]\((presets-[\w-]+\.md)#([\w-]+)\)", text(OVERVIEW))

    assert preset_names() == sorted(name for names in described.values() for name in names)
    assert {(name, page.rpartition("/")[2], name) for page, names in described.items() for name in names} == {*linked}


def test_a_namespace_of_socketio() -> None:
    """Events of a namespace are read by its preset, also those that ask for an acknowledgement; others are not."""
    variables = "event=tick namespace=/market,"
    found = read_feed({"SERVER_URL": "ws://feed", "FEED": "socketio", "FEED_SEQ": "$.seq", "FEED_VARIABLES": variables})
    assert found is not None

    assert [8] == [one.seq for one in records(found, b'42/market,["tick",{"seq":8}]')]
    assert [9] == [one.seq for one in records(found, b'42/market,17["tick",{"seq":9}]')]
    assert [] == [one.seq for one in records(found, b'42["tick",{"seq":8}]') if one.seq is not None]
