"""Tests of the frames between server and client."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract import wire
from services.contract.errors import FrameTooBig, MalformedFrame, PeerError
from services.contract.scalars import digest, digest_text
from tests.unit.contract.strategies import by_type, flipped, instances, kinds, records, required, single_bit_flips

FROM_SERVER = kinds(wire.FromServer)
FROM_CLIENT = kinds(wire.FromClient)
EVERY_FRAME = list(dict.fromkeys(FROM_SERVER + FROM_CLIENT))

BODY = b'{"id":1,"name":"Ada"}\n{"id":2,"name":"Zo\xc3\xab"}\n'


def named(kind: Any) -> str:
    """Return the name of a test case."""
    return str(kind.__name__)


def header(body: bytes) -> wire.Records:
    """Return the header of a batch with this body."""
    count = max(1, body.count(b"\n"))
    return wire.Records(first=1, count=count, due_us=0, rate=200, sent_us=0, crc=digest_text(digest(body)))


@pytest.mark.parametrize("kind", FROM_SERVER, ids=named)
@given(data=st.data())
def test_server_frame_round_trip(kind: Any, data: st.DataObject) -> None:
    """A frame of a server is decoded to the value that was encoded."""
    frame = data.draw(instances(kind))
    if isinstance(frame, wire.Records):
        # What covers the header is made of it, and not chosen: `records_head` below.
        frame = msgspec.structs.replace(frame, head=None)

    assert (frame, b"") == wire.decode_from_server(wire.encode(frame))


@pytest.mark.parametrize("kind", FROM_CLIENT, ids=named)
@given(data=st.data())
def test_client_frame_round_trip(kind: Any, data: st.DataObject) -> None:
    """A frame of a client is decoded to the value that was encoded."""
    frame = data.draw(instances(kind))

    assert frame == wire.decode_from_client(wire.encode(frame))


@pytest.mark.parametrize("kind", [kind for kind in FROM_SERVER if kind not in FROM_CLIENT], ids=named)
@by_type
@given(data=st.data())
def test_clients_cannot_speak_as_servers(kind: Any, data: st.DataObject) -> None:
    """A frame that only a server sends is refused from a client."""
    with pytest.raises(MalformedFrame):
        wire.decode_from_client(wire.encode(data.draw(instances(kind))))


@pytest.mark.parametrize("kind", [kind for kind in FROM_CLIENT if kind not in FROM_SERVER], ids=named)
@by_type
@given(data=st.data())
def test_servers_cannot_speak_as_clients(kind: Any, data: st.DataObject) -> None:
    """A frame that only a client sends is refused from a server."""
    with pytest.raises(MalformedFrame):
        wire.decode_from_server(wire.encode(data.draw(instances(kind))))


@pytest.mark.parametrize("kind", EVERY_FRAME, ids=named)
def test_frames_are_values(kind: Any) -> None:
    """A decoded frame is not changed; a change makes a copy."""
    assert kind.__struct_config__.frozen


def test_numbers_are_the_protocols() -> None:
    """Limits of sizes and close codes have their documented values."""
    codes = {name: value for name, value in vars(wire).items() if name.startswith("CLOSE_")}
    expected = {
        "CLOSE_FAULT": 1011,
        "CLOSE_DRAINING": 1012,
        "CLOSE_LATER": 1013,
        "CLOSE_PROTOCOL": 4400,
        "CLOSE_UNAUTHORIZED": 4401,
        "CLOSE_SLOW": 4408,
        "CLOSE_SUPERSEDED": 4409,
    }

    assert expected == codes
    assert (wire.MAX_FRAME, wire.MAX_RECORD, wire.MAX_CLIENT_FRAME) == (262_144, 65_536, 65_536)


@pytest.mark.parametrize("kind", EVERY_FRAME, ids=named)
def test_type_is_the_name(kind: Any) -> None:
    """A frame has the same name on the wire as in the code, and the name is its first field."""
    assert kind.__name__.lower() == kind.__struct_config__.tag


@pytest.mark.parametrize("kind", EVERY_FRAME, ids=named)
@given(data=st.data())
def test_a_header_is_one_line(kind: Any, data: st.DataObject) -> None:
    """No value puts a newline into a header, so the first newline of a frame ends it."""
    assert b"\n" not in wire.encode(data.draw(instances(kind)))


@pytest.mark.parametrize("kind", FROM_CLIENT, ids=named)
@by_type
@given(data=st.data())
def test_ignores_unknown_fields(kind: Any, data: st.DataObject) -> None:
    """A field that this end does not know is ignored."""
    frame = data.draw(instances(kind))
    extended = msgspec.json.decode(wire.encode(frame)) | {"mood": [{"added": "later"}]}

    assert frame == wire.decode_from_client(msgspec.json.encode(extended))


@pytest.mark.parametrize("kind", [kind for kind in FROM_SERVER if required(kind)], ids=named)
@by_type
@given(data=st.data())
def test_needs_every_field(kind: Any, data: st.DataObject) -> None:
    """A frame that lacks any field without a default is refused."""
    content = msgspec.json.decode(wire.encode(data.draw(instances(kind))))

    for name in required(kind):
        shortened = {field: value for field, value in content.items() if field != name}
        with pytest.raises(MalformedFrame, match="missing required field"):
            wire.decode_from_server(msgspec.json.encode(shortened))


@by_type
@given(instances(wire.Welcome))
def test_welcome_states_the_version(welcome: wire.Welcome) -> None:
    """A welcome has the version of the protocol, and a client reads another one."""
    content = msgspec.structs.asdict(welcome)
    del content["v"]
    ours = wire.Welcome(**content)
    other = msgspec.structs.replace(ours, v=wire.VERSION + 1)

    assert wire.VERSION == ours.v == json.loads(wire.encode(ours))["v"]
    assert (other, b"") == wire.decode_from_server(wire.encode(other))


def test_subprotocol_names_the_version() -> None:
    """The subprotocol and the welcome have the same version."""
    assert f"streamgauge.v{wire.VERSION}" == wire.SUBPROTOCOL


def test_subscribe_needs_only_a_name() -> None:
    """A client needs only its name to subscribe; all other fields have defaults."""
    nothing: dict[str, Any] = {"session": 0, "instance": "", "block_size": 0, "boot": "", "after": 0, "run": ""}
    frame = wire.Subscribe(client="curl", **nothing, observe=False)

    assert frame == wire.decode_from_client(b'{"type":"subscribe","client":"curl"}')


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b'{"type":"hello"}',
        b'{"type":1}',
        b'{"type":"ping"}',
        b'{"type":"ping","t1_us":"now"}',
        b'{"type":"ping","t1_us":1.5}',
        b'{"type":"ping","t1_us":1} {}',
        b'{"type":"ping","t1_us":1' + b"0" * 400 + b"}",
        b'{"type":"ping","t1_us":1,"deep":' + b"[" * 30_000 + b"}",
        b'{"type":"subscribe","client":"../../etc"}',
        b'{"type":"subscribe","client":"client-1\\n"}',
        b'{"type":"subscribe","client":"client-1","after":-1}',
        b'{"type":"control","do":"explode"}',
        b'{"type":"control","set":{"seed":1}}',
        b'{"type":"control","set":{"rate":-1}}',
        b'{"type":"control","set":{"rate":1e999}}',
        b'{"type":"control","set":{"rate":NaN}}',
    ],
    ids=lambda data: repr(data[:48]),
)
def test_refuses_garbage(data: bytes) -> None:
    """A message that is no frame of a client raises a peer error with its first bytes."""
    with pytest.raises(MalformedFrame) as caught:
        wire.decode_from_client(data)

    assert data[:200] == caught.value.data


@given(st.binary())
def test_any_bytes_are_refused_properly(data: bytes) -> None:
    """Any bytes from either end raise at most a peer error."""
    with pytest.raises(PeerError):
        wire.decode_from_client(data)
    with pytest.raises(PeerError):
        wire.decode_from_server(data)


@given(st.one_of(*map(instances, FROM_CLIENT)), st.data())
def test_damaged_frames_are_refused_properly(frame: wire.Frame, data: st.DataObject) -> None:
    """A frame with a flipped bit is decoded or raises a peer error, and no other one."""
    sent = wire.encode(frame)
    try:
        found = wire.decode_from_client(flipped(sent, data.draw(st.integers(0, len(sent) * 8 - 1))))
    except PeerError:
        return

    assert isinstance(found, wire.Frame)


def test_frame_size_is_limited() -> None:
    """A client's frame of exactly the limit is read, one byte more is refused by its size."""
    frame = wire.encode(wire.Ping(t1_us=1))
    padding = b" " * (wire.MAX_CLIENT_FRAME - len(frame))

    assert wire.Ping(t1_us=1) == wire.decode_from_client(frame + padding)
    with pytest.raises(FrameTooBig, match="65537 bytes") as caught:
        wire.decode_from_client(frame + padding + b" ")
    assert (frame + padding)[:200] == caught.value.data


@given(st.lists(records, min_size=1, max_size=5))
def test_records_round_trip(lines: list[bytes]) -> None:
    """A batch arrives with its header and exactly the bytes of its records."""
    body = b"".join(line + b"\n" for line in lines)

    found, came = wire.decode_from_server(wire.records_head(header(body)) + body)

    assert isinstance(found, wire.Records)
    assert (header(body), body) == (msgspec.structs.replace(found, head=None), came)
    assert wire.records_of(found, body)


def test_a_batch_is_plain_lines() -> None:
    """A batch is readable with any JSON reader: a header line, then one line per record."""
    lines = (wire.records_head(header(BODY)) + BODY).decode().splitlines()

    found = [json.loads(line) for line in lines]
    expected = ["records", "Ada", "Zoë"]

    assert expected == [found[0]["type"], found[1]["name"], found[2]["name"]]


def test_every_damage_to_a_header_shows() -> None:
    """A header with a flipped bit is refused, unless the change removes its digest and nothing else."""
    head, body = wire.records_head(header(BODY))[:-1], BODY
    sound = header(BODY)
    for changed in single_bit_flips(head):
        try:
            found, _ = wire.decode_from_server(changed + b"\n" + body)
        except MalformedFrame:
            continue
        assert sound == found


def test_a_header_without_its_digest_is_read() -> None:
    """A header without a digest is accepted."""
    frame = wire.encode(header(BODY)) + b"\n" + BODY

    assert (header(BODY), BODY) == wire.decode_from_server(frame)


def test_every_damage_to_a_body_shows() -> None:
    """A body with a flipped bit, or truncated anywhere, is not intact."""
    assert not [changed for changed in single_bit_flips(BODY) if wire.records_of(header(BODY), changed) is not None]
    assert not [length for length in range(len(BODY)) if wire.records_of(header(BODY), BODY[:length]) is not None]


def test_a_body_has_as_many_lines_as_the_header_says() -> None:
    """A body with a right crc and another number of lines than announced is refused."""
    assert wire.records_of(msgspec.structs.replace(header(BODY), count=3), BODY) is None
    assert wire.records_of(msgspec.structs.replace(header(BODY), count=1), BODY) is None
    assert wire.records_of(header(BODY[:-1]), BODY[:-1]) is None


@given(st.integers(0, 2**53), st.integers(0, 10**9), st.integers(1, 10_000_000))
def test_due_times_are_rounded_down(start_us: int, offset: int, rate: int) -> None:
    """A record is due at its place in the schedule, rounded down to the microsecond."""
    expected = start_us + int(Fraction(offset * 1_000_000, rate))

    assert expected == wire.due_us(start_us, offset, rate)


@given(st.integers(0, 100_000), st.floats(0.01, 1_000_000))
def test_due_times_of_broken_rates(offset: int, rate: float) -> None:
    """A rate that is no whole number gives the same schedule, to the microsecond."""
    exact = Fraction(offset * 1_000_000) / Fraction(rate)

    assert -1 <= wire.due_us(0, offset, rate) - exact <= 1


@given(st.integers(0, 2**53), st.integers(0, 10**6))
def test_flat_out_all_is_due_at_once(start_us: int, offset: int) -> None:
    """Without a rate every record of a batch is due with the first."""
    assert start_us == wire.due_us(start_us, offset, 0)


def test_texts_have_a_length() -> None:
    """A text of a frame is bounded, also one that only people read."""
    longest = wire.Bye(reason="x" * 1024)

    assert longest == wire.decode_from_client(wire.encode(longest))
    with pytest.raises(MalformedFrame):
        wire.decode_from_client(wire.encode(wire.Bye(reason="x" * 1025)))
