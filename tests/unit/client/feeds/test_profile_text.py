"""Tests of writing profiles."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.client.external.profiles.profile import PRESETS, describe, parse, preset_names
from services.client.feeds.profile_text import completed, from_variables, profile_text
from services.client.feeds.proposal import Proposal

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
DOCUMENTS = st.dictionaries(
    st.text("abcd ü'\"\\", min_size=1),
    st.recursive(
        TEXTS | st.integers(-(2**63), 2**63 - 1) | st.booleans(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    ),
    max_size=4,
)


@given(DOCUMENTS)
def test_a_profile_is_read_as_it_was(document: dict[str, Any]) -> None:
    """The text of a profile is TOML with the same contents, without empty tables."""
    assert _without_empty(document) == _without_empty(tomllib.loads(profile_text(document)))


def _without_empty(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _without_empty(one) for name, one in value.items()}
    return {name: one for name, one in inner.items() if one != {}}


def test_every_preset_is_written_as_it_is() -> None:
    """Every preset, written again, is the same profile."""
    for name in preset_names():
        data = (PRESETS / f"{name}.toml").read_bytes()
        again = profile_text(tomllib.loads(data.decode()))

        assert parse("a", "a", data)[:4] == parse("a", "a", again.encode())[:4]


def test_variables_become_keys() -> None:
    """A profile made from variables says the same as they do."""
    given = {
        "SERVER_URL": "ws://a", "FEED": "foreign", "FEED_SEQ": "$.a", "FEED_TIME": "$.t ms", "FEED_KEY": "$$.b,$.c",
        "FEED_HELLO": 'wait 5s:"(?P<session>.*)"\n{"s":"{session}","c":"{client}","q":"{other}"}', "FEED_STEP": "10",
        "FEED_END": "close 1000,1001\nmessage a:b\nmessages=5", "FEED_SPLIT": r"\x1e", "FEED_SECONDS": "9",
        "FEED_SUBPROTOCOL": "a,b",
    }  # fmt: skip
    document = from_variables(given, "ws://a")
    profile = parse("a", "a", profile_text(document).encode())

    filled = profile.filled({})
    assert 'wait 5s:"(?P<session>.*)"\n{"s":"{session}","c":"{client}","q":"{{other}}"}' == filled.pop("FEED_HELLO")
    assert "close 1000,1001\nmessage a:b\nmessages 5" == filled.pop("FEED_END")
    assert {name: text for name, text in given.items() if name in filled} == filled
    assert {*given} - {"FEED", "FEED_HELLO", "FEED_END"} == {*filled}


def test_secrets_become_variables() -> None:
    """A secret in a message is not in the profile: it is a variable that has to be given."""
    hello = '{"op":"login","apiKey":"s3cret","user":"me"}\n{"access-token":1,"auth_token": "t0ken"}'
    text = profile_text(from_variables({"FEED_HELLO": hello}, "ws://a"))
    profile = parse("a", "a", text.encode())

    assert "s3cret" not in text
    assert "t0ken" not in text
    assert ["apikey", "auth_token"] == list(profile.variables)
    assert hello == profile.filled({"apikey": "s3cret", "auth_token": "t0ken"})["FEED_HELLO"]


def test_proposals_are_put_in() -> None:
    """A proposal replaces a key or adds one, and the contents that were given stay as they were."""
    before: dict[str, Any] = {"sequence": {"number": "$.a", "scope": "key"}}
    after = completed(before, [Proposal("sequence.number", "$.b", ""), Proposal("decode.encoding", "gzip,json", "")])

    assert {"sequence": {"number": "$.b", "scope": "key"}, "decode": {"encoding": ["gzip", "json"]}} == after
    assert {"sequence": {"number": "$.a", "scope": "key"}} == before
    assert describe({"FEED": "", "SERVER_URL": "ws://a"}).places == {}
