"""Tests of the settings that a feed's messages suggest."""

from __future__ import annotations

import gzip
import json
import random
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.client.feeds.proposals import Analysis, ReceivedMessage, analyse
from services.contract.scalars import utc_text

NOW_NS = 1_790_000_000 * 10**9


def proposed(*messages: Any) -> Analysis:
    """Return the analysis of messages that came every 10 ms."""
    return analyse([
        ReceivedMessage(message if isinstance(message, bytes) else json.dumps(message).encode(), NOW_NS + at * 10**7)
        for at, message in enumerate(messages)
    ])  # fmt: skip


def settings(analysis: Analysis) -> dict[str, str]:
    """Return the proposed settings by key."""
    assert len(analysis.proposals) == len({one.key for one in analysis.proposals})
    assert all(one.why for one in analysis.proposals)
    return {one.key: one.text for one in analysis.proposals}


def ms(at: int) -> int:
    """Return the time of a message, 3 ms before it came."""
    return NOW_NS // 10**6 + at * 10 - 3


def test_a_simple_feed() -> None:
    """Number and time of a simple feed are found, the time with its unit."""
    found = proposed(*({"seq": at + 5, "ts": ms(at), "price": at * 7 % 5} for at in range(30)))

    assert {"sequence.number": "$.seq", "time.path": "$.ts", "time.unit": "ms"} == settings(found)
    assert "times, 3.0 ms before the arrival" == found.proposals[1].why


def test_ranges_in_an_envelope() -> None:
    """Ranges of numbers deep in a message are found, with the time of the event and without a path of prices."""
    chance, last, messages = random.Random(7), 3_000, []
    for at in range(60):
        first, last = last + 1, last + chance.randint(1, 40)
        data = {"E": ms(at), "s": "BTCUSDT", "U": first, "u": last, "b": [["100.5", "3"]], "a": []}
        messages.append({"stream": "btcusdt@depth", "data": data})

    assert {
        "sequence.number": "$.data.u", "sequence.first": "$.data.U", "time.path": "$.data.E", "time.unit": "ms",
    } == settings(proposed(*messages))  # fmt: skip


def test_records_in_a_list() -> None:
    """Where the items of a list have the numbers, the list is proposed as that of the records."""
    messages = [
        {"channel": "trade", "data": [{"id": 2 * at, "p": 1.5}, {"id": 2 * at + 1, "p": 2}]} for at in range(20)
    ]

    assert {"decode.records": "$.data", "sequence.number": "$.id"} == settings(proposed(*messages))


def test_items_of_a_list_are_not_ignored() -> None:
    """FEED_IGNORE is of messages, so none is proposed for the items of a list that have no number."""
    messages = [{"data": [{"id": 2 * at}, {"id": 2 * at + 1}, {"kind": "note"}]} for at in range(20)]

    assert {"decode.records": "$.data", "sequence.number": "$.id"} == settings(proposed(*messages))


def test_a_message_that_is_a_list_of_records() -> None:
    """A message that is a list of records needs no setting for the list."""
    assert {"sequence.number": "$.id"} == settings(
        proposed(*([{"id": 2 * at}, {"id": 2 * at + 1}] for at in range(20)))
    )


def test_a_message_that_is_a_list_of_values() -> None:
    """A message that is a list with values at fixed places is one record, and places may count from the end."""
    messages = [
        [17, "te", [1, at * 3 % 7], at + 1, ms(at)] if at % 3 else [17, "hb", at + 1, ms(at)] for at in range(40)
    ]

    assert {
        "decode.list": "record", "sequence.number": "$[-2]", "time.path": "$[-1]", "time.unit": "ms",
    } == settings(proposed(*messages))  # fmt: skip


def test_several_sequences() -> None:
    """Two sequences in turn are told apart by a key."""
    messages = [{"arg": {"id": "ab"[at % 2]}, "n": at // 2 + (500 if at % 2 else 0)} for at in range(40)]

    assert {"sequence.number": "$.n", "sequence.key": "$.arg.id"} == settings(proposed(*messages))


def test_messages_that_are_no_records() -> None:
    """Acknowledgements and heartbeats without a number are proposed to be ignored, by a text that only they have."""
    messages: list[dict[str, Any]] = [{"type": "subscribed"}, *({"type": "tick", "seq": at} for at in range(20))]
    messages.insert(7, {"type": "heartbeat"})
    found = settings(proposed(*messages))

    assert {'"type": ?"subscribed"', '"type": ?"heartbeat"'} == set(found["decode.ignore"].split("|"))


def test_pings_are_noted() -> None:
    """A ping of the server is shown, with the settings that answer it."""
    found = proposed({"type": "ping"}, *({"type": "tick", "seq": at} for at in range(20)))

    assert any('{"type":"ping"}' in note and "FEED_PONG" in note for note in found.notes)


def test_frames_around_json_are_removed() -> None:
    """Compressed or separated messages are analysed after the frame is removed."""
    texts = [json.dumps({"seq": at}).encode() for at in range(20)]

    assert {"decode.encoding": "gzip", "sequence.number": "$.seq"} == settings(proposed(*map(gzip.compress, texts)))
    assert {"decode.split": r"\x1e", "sequence.number": "$.seq"} == settings(
        proposed(*(one + b"\x1e" + two + b"\x1e" for one, two in zip(texts[::2], texts[1::2], strict=True)))
    )


def test_json_in_a_text() -> None:
    """A JSON text inside a text is looked into, as paths do."""
    assert (
        "$.data.seq" == settings(proposed(*({"data": json.dumps({"seq": at})} for at in range(20))))["sequence.number"]
    )


@pytest.mark.parametrize(
    ("made", "unit"),
    [
        (ms, "ms"),
        (lambda at: ms(at) / 1000, "s"),
        (lambda at: ms(at) // 1000, "s"),
        (lambda at: ms(at) * 1000, "us"),
        (lambda at: str(ms(at) * 1_000_000), "ns"),
        (lambda at: utc_text(ms(at) * 1000), None),
    ],
)
def test_times_in_every_notation(made: Any, unit: str | None) -> None:
    """Times are found as dates and as epoch numbers of every unit."""
    found = settings(proposed(*({"t": made(at), "old": 1_300_000_000, "x": at % 3} for at in range(20))))

    assert ("$.t", unit) == (found["time.path"], found.get("time.unit"))


def test_whole_seconds_are_said() -> None:
    """A time in whole seconds makes a latency that is as coarse, which is said."""
    found = proposed(*({"t": ms(at) // 1000} for at in range(20)))

    assert found.proposals[0].why.endswith("in whole seconds, so is the latency")


def test_a_fast_feed_with_many_fields_is_analysed_soon() -> None:
    """Thousands of wide messages with a key of two parts take seconds and not minutes."""
    chance, counts = random.Random(3), dict[tuple[str, str], int]()
    messages = []
    for _ in range(3000):
        key = chance.choice("abcdef"), chance.choice("xy")
        counts[key] = counts.get(key, chance.randrange(10**6)) + 1
        fields = {f"f{number}": chance.randrange(100) for number in range(20)}
        messages.append({"s": key[0], "c": key[1], "n": counts[key], **fields})
    began = time.process_time()
    found = settings(proposed(*messages))

    assert {"sequence.number": "$.n", "sequence.key": "$.s,$.c"} == found
    assert time.process_time() - began < 10


def test_without_numbers_that_is_said() -> None:
    """A feed without a value that rises has no number, which is noted; a feed that sent nothing has no note."""
    found = proposed(*({"a": "x", "b": at % 2} for at in range(20)))

    assert (None, ()) == (found.numbering, found.proposals)
    assert "no value rises" in found.notes[0]
    assert () == analyse([]).notes
    assert "no message is JSON" in proposed(b"hello", b"you").notes[0]


@given(st.lists(st.binary(max_size=30) | st.sampled_from([b"{}", b"[]", b'{"a":1}', b'[{"a":2}]', b"7"]), max_size=12))
def test_any_messages_are_survived(messages: list[bytes]) -> None:
    """Any bytes from a server are analysed without an error, and each setting is proposed once."""
    settings(proposed(*messages))


def test_texts_without_json() -> None:
    """From texts without JSON the number alone is proposed, with its step."""
    messages = [f"T,{at * 2},{at * 7 % 5}".encode() for at in range(10, 40)]

    assert {"decode.match": "^T,([0-9]+)", "sequence.number": "$", "sequence.step": "2"} == settings(
        proposed(*messages)
    )


def test_names_that_vary() -> None:
    """Where the name of a record's only part varies, one of them is proposed, with its time, and no other record."""
    messages = [{"abc"[at % 3]: {"n": at // 3, "t": ms(at)}} for at in range(60)]
    found = settings(proposed(*messages))
    name = found["sequence.number"][2]

    assert {
        "sequence.number": f"$.{name}.n", "time.path": f"$.{name}.t", "time.unit": "ms",
        "decode.ignore": rf'^(?!\{{\s*"{name}")',
    } == found  # fmt: skip


def test_heartbeats_that_repeat_a_number() -> None:
    """Heartbeats with the last number are proposed to be ignored, and are no sequence of their own."""
    messages = []
    for at in range(60):
        messages.append({"type": "event", "n": at})
        messages += [{"type": "hb", "n": at}] * (at % 8 == 7)

    assert {"sequence.number": "$.n", "decode.ignore": '"type": ?"hb"'} == settings(proposed(*messages))


def test_times_without_a_zone() -> None:
    """Dates without a zone that are right in UTC are proposed with that."""
    messages = [{"n": at, "t": utc_text(ms(at) * 1000)[:23].replace("T", " ")} for at in range(20)]
    found = settings(proposed(*messages))

    assert ("$.t", "utc") == (found["time.path"], found["time.unit"])


def test_a_list_at_a_fixed_place() -> None:
    """A list of records inside of a message that is a list is found."""
    messages = [[["trades", [{"i": 2 * at, "p": 1}, {"i": 2 * at + 1, "p": 2}]]] for at in range(20)]

    assert {"decode.records": "$[0][1]", "sequence.number": "$.i"} == settings(proposed(*messages))
