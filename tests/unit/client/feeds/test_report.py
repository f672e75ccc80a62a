"""Tests of the text of the command ``feeds``."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pytest

from services.client.external.profiles.profile import load
from services.client.feeds.look import LookedAt
from services.client.feeds.proposal import Proposal
from services.client.feeds.proposals import Analysis, ReceivedMessage
from services.client.feeds.report import PYTHON, of_look, preset_list, shortened
from services.contract.blocklog import ConnectionLine, ExternalMessage, Form
from tests.unit.client.external.fakes import feed_settings

NOTHING = Analysis((), (), None, None)
PROPOSED = Analysis(
    (
        Proposal("sequence.number", "$.data.u", "numbers found at $.data.u"),
        Proposal("sequence.key", "$.s,$.c", "each has a sequence"),
        Proposal("time.path", "$.E", "times"),
        Proposal("time.unit", "ms", "by size"),
        Proposal("decode.match", r"it's \d", "a pattern"),
    ),
    ("a note",),
    "kraken",
    None,
)


def record(seq: int | None, **changed: object) -> ExternalMessage:
    """Return a record of a look."""
    found = ExternalMessage(
        seq=seq, received_at="2026-11-29T10:00:00.500000Z", latency_ns=None, transit_ns=None,
        record=msgspec.Raw(b'{"seq":1,"price":"' + b"x" * 200 + b'"}'),
    )  # fmt: skip
    return msgspec.structs.replace(found, **changed)


def report(seen: LookedAt, analysis: Analysis = NOTHING, **settings: str) -> str:
    """Return the whole report."""
    return "\n".join(of_look(seen, feed_settings(**settings), analysis, 10.0, 60))


def seen(*records: ExternalMessage, remarks: list[str] | None = None) -> LookedAt:
    """Return a look at a feed with these records."""
    return LookedAt([], len(records), list(records), [], remarks or [])


def test_presets_have_a_line_each() -> None:
    """A preset has its name, what it is, and its variables, wrapped to the width of the terminal."""
    lines = preset_list([load("kraken")], 60).splitlines()

    assert lines[0].startswith("kraken                Kraken, WebSocket v2")
    assert lines[1].startswith(" " * 24)
    assert lines[-1].strip() == "symbol: the market (default BTC/USD)"
    assert all(len(line) <= 60 for line in lines)


def test_the_first_ten_records_are_shown() -> None:
    """Number, key, time and record of the first ten are shown, shortened to the width of the terminal."""
    records = [record(7 + at, key="BTC" if at else None, latency_ns=400_000_000) for at in range(12)]
    lines = report(seen(*records)).splitlines()

    assert lines[0] == "12 messages, 1.2 a second; records in them: 12"
    assert lines[2].split() == ["number", "key", "time", "record"]
    assert lines[4].split()[:3] == ["8", "BTC", "10:00:00.100"]
    assert lines[13] == ""
    assert {60} == {len(line) for line in lines[3:13]}
    assert all(line.endswith("…") for line in lines[3:13])


def test_what_is_not_found_is_said() -> None:
    """A path whose value is not in all records is named with its share."""
    text = report(seen(record(None), record(5)), FEED_KEY="$.k", FEED_TIME="$.t")

    assert "  number: $.seq is in 1 of 2 records" in text
    assert "  key: $.k is in 0 of 2 records" in text
    assert "  time: $.t is in 0 of 2 records" in text


def test_proposals_are_variables_and_a_profile() -> None:
    """Proposals are shown as variables with reasons, and as the lines of a profile that says the same."""
    text = report(seen(record(1)), PROPOSED, FEED_HELLO="wait:^a\n{seq} {b}", SERVER_URL="ws://a/b", FEED_SEQ="")
    variables, _, rest = text.partition("the whole profile, for feeds/mine.toml\n")
    toml, _, commands = rest.partition("\nnext\n")

    assert "  FEED_SEQ='$.data.u'\n      numbers found at $.data.u\n" in variables
    assert "  FEED_TIME='$.E ms'\n" in variables
    assert r"  FEED_MATCH='it'\''s \d'" in variables
    assert "looks like the preset kraken" in variables
    assert "  a note" in variables
    assert {
        "hello": ["wait:^a", "{seq} {{b}}"],
        "connect": {"url": "ws://a/b"},
        "sequence": {"number": "$.data.u", "key": ["$.s", "$.c"]},
        "time": {"path": "$.E", "unit": "ms"},
        "decode": {"match": r"it's \d"},
    } == tomllib.loads(toml)
    assert [
        f"{PYTHON} -m services.client feeds check feeds/mine.toml",
        "make judge FEED=feeds/mine.toml SECONDS=60 CLIENTS=3",
    ] == [line.strip() for line in commands.splitlines()]  # fmt: skip


def test_a_secret_has_to_be_given_again() -> None:
    """A token of the greeting is a variable of the profile, and the next commands give it."""
    text = report(seen(record(1)), PROPOSED, FEED="", FEED_HELLO='{"token":"t0ken"}')

    assert "t0ken" not in text
    assert "  FEED_VARIABLES='token=…' make judge FEED=feeds/mine.toml SECONDS=60 CLIENTS=3" in text.splitlines()


def test_a_profile_is_completed(tmp_path: Path) -> None:
    """What a profile has already stays in the whole profile, and no table comes twice."""
    path = tmp_path / "mine.toml"
    path.write_text(
        'about = "a"\n[variables.x]\nabout = "b"\ndefault = ""\n[sequence]\nscope = "connection"\n', encoding="utf-8"
    )
    text = report(seen(record(1)), PROPOSED, FEED=str(path))

    toml = tomllib.loads(text.partition("the whole profile, for ")[2].partition("\n\n")[2].partition("\nnext\n")[0])
    assert {"number": "$.data.u", "key": ["$.s", "$.c"], "scope": "connection"} == toml["sequence"]
    assert {"x": {"about": "b", "default": ""}} == toml["variables"]


def test_a_preset_is_judged_with_what_is_proposed() -> None:
    """For a preset one command has the proposals as variables."""
    text = report(seen(record(1)), Analysis(PROPOSED.proposals[:1], (), None, None), FEED="bitmex")

    assert text.endswith("judge it\n  make judge FEED=bitmex SECONDS=60 CLIENTS=3 FEED_SEQ='$.data.u'")


def test_a_secret_of_a_preset_is_not_repeated() -> None:
    """The command has the address and the variables that a preset needs, without the value of a token."""
    text = report(
        seen(record(1)), PROPOSED, SERVER_URL="ws://a", FEED="centrifugo", FEED_VARIABLES="channel='a b' token=t0ken"
    )

    assert """FEED=centrifugo SECONDS=60 CLIENTS=3 URL='ws://a' FEED_VARIABLES='channel="a b" token=…'""" in text
    assert "t0ken" not in text


def test_an_address_with_a_token_is_not_shown() -> None:
    """The profile has the address without password and query, and says so."""
    text = report(seen(record(1)), PROPOSED, SERVER_URL="wss://u:pw@a/b?token=t0ken")

    assert "url = 'wss://a/b'" in text
    assert "its address lacks password and query" in " ".join(text.split())
    assert "t0ken" not in text


def test_a_closed_connection_is_explained() -> None:
    """Where the server closes the connection, the settings for a greeting and for signs of life are named."""
    closed = ConnectionLine(
        run="r", client="c", session=1, connection=1, event="closed", at="2026-11-29T10:00:00.500000Z",
        connected=False, code=1001, reason="no ping",
    )  # fmt: skip
    text = report(seen(record(1))._replace(connections=[closed]))

    assert "closed 1001: no ping" in text
    assert "the server closed the connection once" in text
    assert "FEED_HEARTBEAT" not in report(seen(record(1))._replace(connections=[closed]), FEED_HEARTBEAT="ping")


@pytest.mark.parametrize(
    ("raw", "form", "shown"),
    [(b'"a|{\\"b\\":1}\\n"', "text", r'a|{"b":1}\n'), (b'"gqE="', "binary", "82 a1"), (b"[1]", None, "[1]")],
)
def test_records_are_shown_as_they_came(raw: bytes, form: Form | None, shown: str) -> None:
    """A record that is no JSON is shown without the quotes of its JSON string, bytes as hexadecimal digits."""
    found = msgspec.structs.replace(record(None), record=msgspec.Raw(raw), form=form)

    assert report(seen(found)).splitlines()[3].endswith(f"  {shown}")


@pytest.mark.parametrize("time", ["$.E ms", "$.E"])
def test_what_is_set_already_is_not_proposed(time: str) -> None:
    """A proposal that equals the setting is not shown."""
    proposals = tuple(one for one in PROPOSED.proposals if one.key.startswith(("time", "sequence.n")))
    text = report(seen(record(1)), Analysis(proposals, (), None, None), FEED_SEQ="$.data.u", FEED_TIME=time)

    assert "FEED_" not in text
    assert "nothing else is proposed" in text


def test_another_time_is_proposed_with_its_unit() -> None:
    """Where another path of the time is proposed, its unit is too, although the setting has the same."""
    times = tuple(one for one in PROPOSED.proposals if one.key.startswith("time"))

    assert "FEED_TIME='$.E ms'" in report(seen(record(1)), Analysis(times, (), None, None), FEED_TIME="$.o ms")


def test_settings_that_explain_the_numbers_are_confirmed() -> None:
    """Where the numbers follow each other by the given settings, no other way to read them is proposed."""
    records = [record(seq, key="ab"[seq % 2], prev_seq=seq - 2, latency_ns=1) for seq in range(5, 25)]
    text = report(seen(*records), PROPOSED)

    assert "the numbers of 20 of 20 records each name the one before" in text
    assert "FEED_SEQ" not in text
    assert "nothing else is proposed" in text


def test_messages_that_are_no_records_are_shown() -> None:
    """Where all messages were ignored, they are shown as they came."""
    text = report(LookedAt([ReceivedMessage(b'{"op":"error"}\x1e', 0)], 1, [], [], []))

    assert 'messages, none of which is a record\n  {"op":"error"}\\x1e' in text


def test_remarks_of_the_client_are_shown() -> None:
    """What the client warned of is shown."""
    assert "client: not JSON" in report(seen(record(1), remarks=["not JSON"]))


def test_a_server_does_not_control_the_terminal() -> None:
    """Escape sequences in the names and values of a record are shown as text wherever they occur in the report."""
    hidden = Analysis((Proposal("sequence.number", "$['\x1b[2J']", "\x1b"),), ("\x9b note",), None, None)
    text = report(seen(record(1, key="\x1bkey"), remarks=["\x1b remark"]), hidden)

    assert text.replace("\n", "").isprintable()
    assert r"FEED_SEQ='$['\''\x1b[2J'\'']'" in text


def test_a_long_text_is_cut() -> None:
    """A text that is too long ends in an ellipsis."""
    assert ("abc", "ab…") == (shortened("abc", 3), shortened("abcd", 3))
