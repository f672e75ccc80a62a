"""Tests of the text of the command ``feeds``."""

from __future__ import annotations

import tomllib

import msgspec
import pytest

from services.client.external.profiles.profile import load
from services.client.feeds.look import LookedAt
from services.client.feeds.proposal import Proposal
from services.client.feeds.proposals import Analysis, ReceivedMessage
from services.client.feeds.report import of_look, preset_list, shortened
from services.contract.blocklog import ExternalMessage
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
    text = report(seen(record(1)), PROPOSED)
    variables, _, toml = text.partition("in a profile, such as feeds/mine.toml\n")

    assert "  FEED_SEQ='$.data.u'\n      numbers found at $.data.u\n" in variables
    assert "  FEED_TIME='$.E ms'\n" in variables
    assert "looks like the preset kraken" in variables
    assert "  a note" in variables
    assert {
        "sequence": {"number": "$.data.u", "key": ["$.s", "$.c"]},
        "time": {"path": "$.E", "unit": "ms"},
        "decode": {"match": r"it's \d"},
    } == tomllib.loads(toml)


@pytest.mark.parametrize("time", ["$.E ms", "$.E"])
def test_what_is_set_already_is_not_proposed(time: str) -> None:
    """A proposal that equals the setting is not shown."""
    proposals = tuple(one for one in PROPOSED.proposals if one.key.startswith(("time", "sequence.n")))
    text = report(seen(record(1)), Analysis(proposals, (), None, None), FEED_SEQ="$.data.u", FEED_TIME=time)

    assert "FEED_" not in text
    assert text.endswith("nothing else is proposed")


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
    assert text.endswith("nothing else is proposed")


def test_messages_that_are_no_records_are_shown() -> None:
    """Where all messages were ignored, they are shown as they came."""
    text = report(LookedAt([ReceivedMessage(b'{"op":"error"}\x1e', 0)], 1, [], [], []))

    assert 'messages, none of which is a record\n  \'{"op":"error"}\\x1e\'' in text


def test_remarks_of_the_client_are_shown() -> None:
    """What the client warned of is shown."""
    assert "client: not JSON" in report(seen(record(1), remarks=["not JSON"]))


def test_a_server_does_not_control_the_terminal() -> None:
    """Escape sequences in the names and values of a record are shown as text wherever they occur in the report."""
    hidden = Analysis((Proposal("sequence.number", "$['\x1b[2J']", "\x1b"),), ("\x9b note",), None, None)
    text = report(seen(record(1, key="\x1bkey"), remarks=["\x1b remark"]), hidden)

    assert text.replace("\n", "").isprintable()
    assert r"FEED_SEQ='$['\x1b[2J']'" in text


def test_a_long_text_is_cut() -> None:
    """A text that is too long ends in an ellipsis."""
    assert ("abc", "ab…") == (shortened("abc", 3), shortened("abcd", 3))
