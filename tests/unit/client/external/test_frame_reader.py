"""Tests of reading the frames of one connection."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.client.external.frame_reader import FrameContents, FrameReader
from services.contract.block_text import longest_record
from tests.unit.client.external.fakes import feed_settings

MQTT = {"FEED_MATCH": r"ticks(\{[^}]*\})"}
SIGNALR = {"FEED_MATCH": r"([^\x1e]+)\x1e", "FEED_IGNORE": r'^\{\}\x1e$|"type":6'}
NATS = {"FEED_MATCH": r"MSG [^\r]*\r\n(.*?)\r\n", "FEED_PING": "^PING", "FEED_PONG": r"binary:PONG\r\n"}


def reader(**changed: str) -> FrameReader:
    """Return a reader of a new connection."""
    return feed_settings(**changed).frame_reader()


def read(frames: Iterable[str | bytes], **changed: str) -> list[FrameContents]:
    """Read the frames of a connection, and its end."""
    made = reader(**changed)
    return [*(made.read(frame) for frame in frames), made.end()]


def seqs(contents: Iterable[FrameContents]) -> list[int | None]:
    """Return the numbers of all records."""
    return [record.seq for one in contents for record in one.records]


def passed(contents: Sequence[FrameContents]) -> tuple[int, int, list[str | bytes]]:
    """Return how many messages were ignored, how many were pings, and the answers."""
    answers = [answer for one in contents for answer in one.answers]
    return sum(one.ignored for one in contents), sum(one.pings for one in contents), answers


def numbered(*numbers: int) -> list[str]:
    """Return a JSON text of each number."""
    return [json.dumps({"seq": number}) for number in numbers]


def test_a_plain_frame_is_one_message() -> None:
    """Without any of these settings the records of a frame are those of its text."""
    assert [1, 2, 3] == seqs(read(['{"seq":1}', '[{"seq":2},{"seq":3}]']))


def test_records_in_the_frame_of_a_ping_are_kept() -> None:
    """Of a frame that is split, each message by itself is a ping, ignored, or a record."""
    found = read(
        ['{}\n{"seq":1}\n{"id":1,"ok":true}\n{"seq":2}', "{}"],
        FEED_SPLIT=r"\n", FEED_PING=r"^\{\}$", FEED_PONG="{}", FEED_IGNORE=r'^\{"id":',
    )  # fmt: skip

    assert [1, 2] == seqs(found)
    assert (1, 2, ["{}", "{}"]) == passed(found)


@pytest.mark.parametrize(
    ("settings", "frame", "expected"),
    [
        (SIGNALR, '{"type":6}\x1e{"seq":1}\x1e{}\x1e{"seq":2}\x1e', (2, 0, [])),
        (NATS, 'PING\r\nMSG a 1 9\r\n{"seq":1}\r\nMSG a 1 9\r\n{"seq":2}\r\nPING\r\n', (0, 2, [b"PONG\r\n"] * 2)),
        (
            {"FEED_MATCH": r"([^\n]+)", "FEED_PING": r"^\{\}$", "FEED_PONG": "{}"},
            '{}\n{"seq":1}\n{"seq":2}',
            (0, 1, ["{}"]),
        ),
    ],
)
def test_matches_and_the_texts_between_are_passed_over_one_by_one(
    settings: dict[str, str], frame: str, expected: tuple[int, int, list[str | bytes]]
) -> None:
    """With FEED_MATCH a ping in the frame of a record is answered, and the record is kept."""
    found = read([frame], **settings)

    assert [1, 2] == seqs(found)
    assert expected == passed(found)


@pytest.mark.parametrize("end", ["\n", ""])
def test_a_separator_is_between_messages_or_after_each(end: str) -> None:
    """A frame may end with its separator or with its last message; empty pieces are nothing."""
    assert [1, 2, 3] == seqs(read(['{"seq":1}\n\n{"seq":2}' + end, '{"seq":3}' + end + "\0"], FEED_SPLIT=r"\n"))


def test_strings_and_marks_go_on_over_the_ends_of_frames() -> None:
    """A message that is a JSON string, or begins with a byte order mark, waits for its end too."""
    assert [1, 2] == seqs(read(['"{\\"seq', '\\":1}"\n\ufeff{"se', 'q":2}\n'], FEED_SPLIT=r"\n"))


@given(st.lists(st.integers(1, 30), min_size=1), st.booleans(), st.integers(1, 6))
def test_messages_go_on_over_the_ends_of_frames(cuts: list[int], is_text: bool, count: int) -> None:
    """However a stream of separated messages is cut into frames, every record comes out once and in order."""
    stream = "".join(f"{text}\x1e" for text in numbered(*range(1000, 1000 + count)))
    frames: list[str] = []
    begin = 0
    while begin < len(stream):
        size = cuts[len(frames) % len(cuts)]
        frames.append(stream[begin : begin + size])
        begin += size
    found = read(frames if is_text else [frame.encode() for frame in frames], FEED_SPLIT=r"\x1e")

    assert [*range(1000, 1000 + count)] == [seq for seq in seqs(found) if seq is not None]


ITEMS = st.lists(st.sampled_from(["{}", '{"id":1,"ok":[1]}', "record"]), max_size=10)


@given(ITEMS, st.lists(st.integers(1, 40), min_size=1), st.booleans())
def test_pings_between_records_are_found_in_any_frames(items: list[str], cuts: list[int], is_ended: bool) -> None:
    """However messages are cut into frames, every ping is answered, and everything else counts once."""
    texts = [json.dumps({"seq": number, "x": "{}"}) if item == "record" else item for number, item in enumerate(items)]
    stream = "\n".join(texts) + "\n" * is_ended
    frames: list[str] = []
    while stream:
        size = cuts[len(frames) % len(cuts)]
        frames.append(stream[:size])
        stream = stream[size:]
    found = read(
        frames, FEED_SPLIT=r"\n", FEED_PING=r"^\s*\{\}\s*$", FEED_PONG="{}", FEED_IGNORE='"id":'
    )  # fmt: skip

    assert [number for number, item in enumerate(items) if item == "record"] == seqs(found)
    assert (items.count('{"id":1,"ok":[1]}'), items.count("{}"), ["{}"] * items.count("{}")) == passed(found)


@given(st.integers(2, 60), st.integers(1, 8))
def test_a_match_goes_on_over_the_ends_of_frames(size: int, count: int) -> None:
    """Packets that are cut into frames anywhere, as MQTT permits, give every record once and in order."""
    packets = [b"\x00\x05ticks" + text.encode() for text in numbered(*range(100, 100 + count))]
    stream = b"".join(bytes([0x30, len(packet)]) + packet for packet in packets)
    frames = [stream[begin : begin + size] for begin in range(0, len(stream), size)]

    assert [*range(100, 100 + count)] == [seq for seq in seqs(read(frames, **MQTT)) if seq is not None]


def test_a_message_without_its_end_is_one_unreadable_record() -> None:
    """What waits when the connection ends is logged once, with a form and without a number."""
    split = read(['{"seq":1}\n{"seq":2,', '"x":"ab'], FEED_SPLIT=r"\n")
    matched = read([b'..ticks{"seq":1}..', b'..ticks{"seq":2,', b'"x":'], **MQTT)

    assert [1, None] == seqs(split)
    assert [("text", '"{\\"seq\\":2,\\"x\\":\\"ab"')] == [(one.form, one.record.decode()) for one in split[-1].records]
    assert [1, None, None] == seqs(matched)
    assert {"binary"} == {one.form for one in matched[-1].records}


def test_a_part_is_no_message_if_the_client_leaves() -> None:
    """What would have gone on is not logged when the run ends; whole frames that wait for a match are."""
    parts: list[tuple[str, str | bytes]] = [
        (r"\n", '{"seq":1}\n{"seq":2,'), ("end:,", "1,2"), ("length:1", b"\x09{}"), ("mqtt", b"\x30\x09{}"),
    ]  # fmt: skip
    for split, frame in parts:
        made = reader(FEED_SPLIT=split)
        made.read(frame)

        assert FrameContents() == made.end(by_client=True)
    made = reader(**MQTT)
    made.read(b"..")

    assert 1 == len(made.end(by_client=True).records)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=30), st.data())
def test_texts_may_be_cut_anywhere_if_each_ends_with_the_separator(numbers: list[int], data: st.DataObject) -> None:
    """With ``end:`` a message that is no JSON goes on in the next frame, wherever the frames are cut."""
    text = "".join(f"{number},1.5,{number}.{number},x\r\n" for number in numbers)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    frames = [text[first:last] for first, last in pairwise([0, *cuts, len(text)])]

    assert numbers == seqs(read(frames, FEED_SPLIT=r"end:\n", FEED_MATCH=r"^(\d+),", FEED_SEQ="$"))


def test_what_has_no_separator_is_bounded() -> None:
    """A text without the separator is given up at FEED_MAX_BYTES, and what comes after the next one is read."""
    found = read(["x" * 90] * 4 + ["x\n", '{"seq":5}\n'], FEED_SPLIT=r"end:\n", FEED_MAX_BYTES="200")

    assert [None, None, 5] == seqs(found)


def test_a_message_that_is_never_finished_costs_no_other() -> None:
    """If the next frame is whole by itself, the unfinished piece is one record and the frame its own."""
    assert [1, None, 3, 4] == seqs(read(['{"seq":1}\n{"seq":2,', '{"seq":3}\n{"seq":4}\n'], FEED_SPLIT=r"\n"))
    assert [1, None, 3, 4] == seqs(
        read([b'ticks{"seq":1}', b'ticks{"seq":2,', b'ticks{"seq":3}', b'ticks{"seq":4}'], **MQTT)
    )


def test_a_text_that_is_no_json_waits_for_nothing() -> None:
    """A piece that does not begin like a JSON text is a message of its own at once."""
    [first, *_] = found = read(["error: slow down", '{"seq":1}'], FEED_SPLIT=r"\n")

    assert ["not JSON"] == [record.remark for record in first.records]
    assert [None, 1] == seqs(found)


def test_a_frame_that_does_not_match_is_a_record() -> None:
    """A frame without a match is logged before the records of the next one, and one that is ignored is not."""
    found = read([b"hello", b"\x20\x02", b'ticks{"seq":1}', b"bye"], **MQTT, FEED_IGNORE=r"^\x20\x02")

    assert [None, 1, None] == seqs(found)
    assert ["the frame does not match"] * 2 == [one.remark for part in found for one in part.records if one.remark]
    assert (1, 0, []) == passed(found)


def test_what_waits_is_bounded() -> None:
    """A message of more than FEED_MAX_BYTES is given up as unreadable records of that length, and reading goes on."""
    piece, limit = '{"x":"' + "y" * 90, {"FEED_MAX_BYTES": "200"}
    split = read([piece, piece, piece, '\n{"seq":5}\n'], FEED_SPLIT=r"\n", **limit)
    long = read([piece, "y" * 150 + '"}\n{"seq":5}\n'], FEED_SPLIT=r"\n", **limit)
    matched = read([b"ticks{" + b" " * 150, b" " * 150 + b'"seq":1}', b'ticks{"seq":5}'], **MQTT, **limit)
    cut = read([b"\0\0\0\x63" + b"x" * 60, b"x" * 39 + b"\xff" * 150], FEED_SPLIT="length:4", **limit)

    assert [[None, None, 5], [None, None, 5], [None, None, 5], [None, None]] == [
        *map(seqs, (split, long, matched, cut))
    ]
    every = [record for found in (split, long, matched, cut) for one in found for record in one.records]
    assert all(len(record.record) <= longest_record(200) for record in every)


def test_a_compressed_ping_is_answered() -> None:
    """A frame is decoded before it is searched for pings; what cannot be decoded is one unreadable record."""
    frames = [gzip.compress(text) for text in (b'{"ping":17}', b'{"seq":1}')]
    found = read(
        [*frames, b"damage", '{"ping":18}'], FEED_ENCODING="gzip", FEED_PING=r'"ping":(\d+)', FEED_PONG=r'{"pong":\1}'
    )

    assert (0, 2, ['{"pong":17}', '{"pong":18}']) == passed(found)
    assert [1, None] == seqs(found)
    assert [b'{"seq":1}', b'"ZGFtYWdl"'] == [record.record for one in found for record in one.records]


def test_json_in_a_text_is_the_message() -> None:
    """With FEED_ENCODING=json the text inside a JSON string is read and logged, and split."""
    found = read([json.dumps('{"seq":1}\n{"seq":2}')], FEED_ENCODING="json", FEED_SPLIT=r"\n")

    assert [b'{"seq":1}', b'{"seq":2}'] == [record.record for one in found for record in one.records]


def test_an_end_is_found_in_each_message() -> None:
    """A condition of FEED_END is searched in every message; one that is no record itself is not logged."""
    [found, _] = read(['{"seq":1}\n{"type":"end"}\n{"seq":2}'], FEED_SPLIT=r"\n", FEED_END='message "end"')
    waiting = reader(**MQTT, FEED_END="message bye").read(b"bye")

    assert ('message "end"', [1, 2]) == (found.condition, [record.seq for record in found.records])
    assert ("message bye", []) == (waiting.condition, waiting.records)


FRAMES = st.lists(
    st.binary(max_size=40) | st.sampled_from([b'{"seq":1}', b"{", b"\x1e", b'ticks{"seq":', b"2}"]), max_size=8
)


@given(FRAMES, st.sampled_from([{}, SIGNALR, MQTT, NATS, {"FEED_SPLIT": r"\x1e"}, {"FEED_ENCODING": "gzip,json"}]))
def test_no_frames_raise_an_error(frames: list[bytes], settings: dict[str, str]) -> None:
    """Frames of any bytes give records that are valid on one line of a log, and nothing waits after the end."""
    made = reader(**settings)
    found = [*(made.read(frame) for frame in frames), made.end()]

    assert not any(b"\n" in record.record for one in found for record in one.records)
    assert FrameContents() == made.end()


def test_packets_of_mqtt_go_on_over_the_ends_of_frames() -> None:
    """With FEED_SPLIT=mqtt each packet is a message, however it is divided into frames, and the rest is one record."""
    body = b'\x00\x05ticks{"seq":%d,"a":{"b":{}}}'
    packets = [bytes([0x30, len(body % seq)]) + body % seq for seq in (1, 2, 3)]
    stream = b"\x20\x02\x00\x00" + b"".join(packets) + packets[0][:9]
    settings = {"FEED_SPLIT": "mqtt", "FEED_MATCH": r"^\x30.*?(\{.*)$", "FEED_IGNORE": r"^\x20"}
    found = read([stream[:3], stream[3:40], stream[40:]], **settings)
    damaged = read([b"\x30\xff\xff\xff\xff\xff", packets[1]], **settings)

    assert [1, 2, 3, None] == seqs(found)
    assert (1, 0, []) == passed(found)
    assert [None, 2] == seqs(damaged)


def test_the_decoded_frame_is_returned() -> None:
    """What a greeting waits for is searched in a frame whose encodings are undone, and which is not yet split."""
    made = reader(FEED_ENCODING="gzip", FEED_SPLIT=r"\x1e")

    assert [b"{}\x1e{}", b"{}\x1e", b""] == [
        made.read(frame).data for frame in (gzip.compress(b"{}\x1e{}"), "{}\x1e", b"damage")
    ]
    assert b"{}" == reader().read("{}").data


def test_a_ping_without_a_pong_is_not_answered() -> None:
    """Without FEED_PONG a ping is counted and has no answer."""
    assert (0, 1, []) == passed(read(["ping"], FEED_PING="^ping$"))


def test_the_last_message_of_a_feed_without_numbers_is_logged() -> None:
    """Without FEED_SEQ every message may be a record, also the one that ends the feed."""
    [found, _] = read(["bye"], FEED_SEQ="", FEED_END="message bye")

    assert ("message bye", [b'"bye"']) == (found.condition, [record.record for record in found.records])


def test_a_message_in_very_many_frames_is_given_up() -> None:
    """A message is read from up to 256 frames, and given up in more of them."""
    found = {
        count: set(seqs(read(['{"seq":1,"x":"', *["a"] * count, '"}\n'], FEED_SPLIT=r"\n"))) for count in (200, 300)
    }

    assert {200: {1}, 300: {None}} == found


@pytest.mark.parametrize(("size", "is_whole"), [(1, False), (100, True), (1000, True)])
def test_a_message_is_not_joined_from_ever_more_tiny_frames(size: int, is_whole: bool) -> None:
    """A message with a length that comes in hundreds of tiny frames is given up; one in large parts is joined."""
    payload = json.dumps({"seq": 7, "text": "x" * 9000}).encode()
    data = len(payload).to_bytes(4, "big") + payload
    frames = [data[at : at + size] for at in range(0, len(data), size)]

    found = [record for one in read(frames, FEED_SPLIT="length:4") for record in one.records]

    assert is_whole == ([7] == [record.seq for record in found])
    assert all(record.seq is None for record in found) or is_whole
