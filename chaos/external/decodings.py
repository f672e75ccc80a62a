"""Kinds of decoding: how numbered records are put into frames, and the settings that read them.

Each kind is a function from records to frames. All choices come from a seeded generator, so that every run has other
values, other frame sizes and other cuts.
"""

from __future__ import annotations

import gzip
import json
import random
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

Record = dict[str, Any]
Frame = str | bytes
Framing = Callable[[Iterator[Record], random.Random], Iterator[Frame]]
_SEQ, _TIME = "$.seq", "$.ts ms"


class Decoding(NamedTuple):
    """One kind of decoding.

    Attributes:
        frames: makes frames of records.
        settings: how a client reads them.
    """

    frames: Framing
    settings: Mapping[str, str]


def record(seq: int, now_ms: int, chance: random.Random) -> Record:
    """Return a record with values that are awkward in texts."""
    words = [
        "plain",
        'a "quoted" one',
        "back\\slash",
        "Zürich €",
        "\U0001f600",
        "a\nb\tc",
        "{[braces]}",
        "",
        "}\u2028{",
    ]
    value = chance.choice([None, True, -1.5e-7, 10**15, [], {}, {"seq": 7}, [1, [2]]])
    return {"seq": seq, "ts": now_ms, "text": chance.choice(words), "value": value}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _each(make: Callable[[Record], Frame]) -> Framing:
    return lambda records, _chance: map(make, records)


def _joined(joint: str, *, is_terminator: bool) -> Framing:
    def frames(records: Iterator[Record], chance: random.Random) -> Iterator[Frame]:
        for group in _groups(records, chance):
            yield joint.join(map(_json, group)) + (joint if is_terminator else "")

    return frames


def _groups(records: Iterator[Record], chance: random.Random) -> Iterator[list[Record]]:
    group: list[Record] = []
    size = 1
    for one in records:
        group.append(one)
        if len(group) == size:
            yield group
            group, size = [], chance.randint(1, 4)
    if group:
        yield group


def _lists(make: Callable[[list[Record]], Frame]) -> Framing:
    return lambda records, chance: map(make, _groups(records, chance))


def _cut(make: Callable[[Record], bytes]) -> Framing:
    """Frames end anywhere, since the messages are one stream of bytes; the last frame ends with a message."""

    def frames(records: Iterator[Record], chance: random.Random) -> Iterator[Frame]:
        waiting = b""
        for one in records:
            whole = make(one)
            # The rest of a message comes with the next one, so that a run that ends in between lacks one record only.
            cut = chance.randrange(len(whole)) if chance.random() < 0.5 and one["seq"] % 10 else len(whole)
            yield waiting + whole[:cut]
            waiting = whole[cut:]
        if waiting:
            yield waiting

    return frames


def _zlib_stream(records: Iterator[Record], _chance: random.Random) -> Iterator[Frame]:
    packer = zlib.compressobj()
    for one in records:
        yield packer.compress(_json(one).encode()) + packer.flush(zlib.Z_SYNC_FLUSH)


def _raw_deflate(one: Record) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(_json(one).encode()) + packer.flush()


def _mqtt(one: Record) -> bytes:
    body = b"\x00\x05ticks" + _json(one).encode()
    size = bytes([len(body)]) if len(body) < 128 else bytes([len(body) & 0x7F | 0x80, len(body) >> 7])
    return b"\x30" + size + body


def _length(one: Record) -> bytes:
    text = _json(one).encode()
    return len(text).to_bytes(4) + text


def _noisy(records: Iterator[Record], chance: random.Random) -> Iterator[Frame]:
    for one in records:
        if chance.random() < 0.2:
            yield chance.choice(['{"op":"ping"}', '{"op":"ack","seq":1}', "heartbeat"])
        yield _json(one)


def _keys(records: Iterator[Record], _chance: random.Random) -> Iterator[Frame]:
    for one in records:
        market, seq = ("a", "b", 'c"d')[one["seq"] % 3], one["seq"] // 3 + 1
        yield _json({"market": market, "depth": 5, **one, "seq": seq})


def _ranges(records: Iterator[Record], chance: random.Random) -> Iterator[Frame]:
    last = 1000
    for one in records:
        first, last = last + 1, last + chance.randint(1, 9)
        yield _json({**one, "first": first, "seq": last})


def _links(records: Iterator[Record], chance: random.Random) -> Iterator[Frame]:
    last = -1
    for one in records:
        number = max(last, 100) + chance.randint(1, 9)
        yield _json({**one, "previous": last, "seq": number})
        last = number


_READ = {"FEED_SEQ": _SEQ, "FEED_TIME": _TIME}
_TICK = {"FEED_SEQ": "$.d.seq", "FEED_TIME": "$.d.ts ms"}
DECODINGS = {
    "plain": Decoding(_each(_json), _READ),
    "binary": Decoding(_each(lambda one: _json(one).encode()), _READ),
    "ascii escapes": Decoding(_each(json.dumps), _READ),
    "split": Decoding(_joined("\n", is_terminator=False), {**_READ, "FEED_SPLIT": r"\n"}),
    "split, terminated": Decoding(_joined("\x1e", is_terminator=True), {**_READ, "FEED_SPLIT": r"\x1e"}),
    "split, cut": Decoding(_cut(lambda one: f"{_json(one)}\n".encode()), {**_READ, "FEED_SPLIT": r"\n"}),
    "gzip": Decoding(_each(lambda one: gzip.compress(_json(one).encode())), {**_READ, "FEED_ENCODING": "gzip"}),
    "deflate": Decoding(_each(lambda one: zlib.compress(_json(one).encode())), {**_READ, "FEED_ENCODING": "deflate"}),
    "raw deflate": Decoding(_each(_raw_deflate), {**_READ, "FEED_ENCODING": "deflate"}),
    "zlib-stream": Decoding(_zlib_stream, {**_READ, "FEED_ENCODING": "zlib-stream"}),
    "JSON in JSON": Decoding(_each(lambda one: _json(_json(one))), {**_READ, "FEED_ENCODING": "json"}),
    "gzip, split": Decoding(
        _lists(lambda group: gzip.compress("\n".join(map(_json, group)).encode())),
        {**_READ, "FEED_ENCODING": "gzip", "FEED_SPLIT": r"\n"},
    ),
    "text in a member": Decoding(_each(lambda one: _json({"event": "tick", "d": _json(one)})), _TICK),
    "list of records": Decoding(_lists(_json), _READ),
    "list as a record": Decoding(
        _each(lambda one: _json([17, "te", one, one["seq"], one["ts"]])),
        {"FEED_LIST": "record", "FEED_SEQ": "$[-2]", "FEED_TIME": "$[-1] ms"},
    ),
    "records in a message": Decoding(
        _lists(lambda group: _json({"channel": "x", "at": group[-1]["ts"], "data": group})),
        {"FEED_RECORDS": "$.data", "FEED_SEQ": _SEQ, "FEED_KEY": "$$.channel", "FEED_TIME": "$$.at ms"},
    ),
    "engine.io prefix": Decoding(
        _each(lambda one: f'42["tick",{_json(one)}]'),
        {**_READ, "FEED_MATCH": r'^42\["tick",(.*)\]$', "FEED_IGNORE": "^(0|40)"},
    ),
    "mqtt": Decoding(
        _cut(_mqtt),
        {**_READ, "FEED_SPLIT": "mqtt", "FEED_MATCH": r"^\x30[\x80-\xff]{0,3}[\x00-\x7f]\x00\x05ticks(.*)$"},
    ),
    "length-prefixed": Decoding(_cut(_length), {**_READ, "FEED_SPLIT": "length:4"}),
    "match in a frame": Decoding(
        _lists(lambda group: "".join(f"MSG a 1 9\r\n{_json(one)}\r\n" for one in group)),
        {**_READ, "FEED_MATCH": r"MSG [^\r]*\r\n(.*?)\r\n"},
    ),
    "pings and acknowledgements": Decoding(
        _noisy, {**_READ, "FEED_PING": "ping", "FEED_PONG": '{"op":"pong"}', "FEED_IGNORE": '^heartbeat$|"op":"ack"'}
    ),
    "numbers as texts": Decoding(_each(lambda one: _json({**one, "seq": f"{one['seq']:09}"})), _READ),
    "numbers near 2^64": Decoding(_each(lambda one: _json({**one, "seq": 2**64 - 1000 + one["seq"]})), _READ),
    "two-part keys": Decoding(_keys, {**_READ, "FEED_KEY": "$.market,$.depth"}),
    "ranges": Decoding(_ranges, {**_READ, "FEED_FIRST": "$.first"}),
    "links": Decoding(_links, {**_READ, "FEED_PREVIOUS": "$.previous"}),
}
"""Every kind, by its name."""
