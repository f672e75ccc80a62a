"""Every field of every frame of a client with every kind of value, by the types of docs/formats/wire.md (T8, T10)."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from typing import Any

from chaos.security.case import Case
from chaos.security.raw_peer import RawPeer, frame

VALUES = {
    "null": "null", "true": "true", "zero": "0", "one": "1", "minus one": "-1", "2^53 - 1": "9007199254740991",
    "2^53": "9007199254740992", "10^26": "1e26", "1.5": "1.5", "5e-324": "5e-324", "10^8": "1e8", "NaN": "NaN",
    "empty text": '""', "a word": '"word"', "UPPER": '"UPPER"', "a path": '"../../etc"',
    "a control character": '"a\\u001b"',
    "a line": '"a\\nb"', "64 characters": json.dumps("a" * 64), "65 characters": json.dumps("a" * 65),
    "60,000 characters": json.dumps("a" * 60_000), "a digest": '"x00000000"', "a digest in capitals": '"xABCDEF00"',
    "no list": "{}", "empty list": "[]", "a span": "[[1,1]]", "a turned span": "[[2,1]]", "a short span": "[[1]]",
    "a span of texts": '[["1","1"]]', "a rate": '{"rate":200}', "a rate below zero": '{"rate":-1}',
    "a rate of nothing": '{"rate":5e-324}', "a rate beyond all": '{"rate":1e300}', "another object": '{"x":1}',
}  # fmt: skip
_WHOLE = {"one", "2^53 - 1"}
_TEXTS = {name for name, value in VALUES.items() if value.startswith('"') and len(value) <= 1024}
ACCEPTED = {
    "count": {"zero", *_WHOLE},
    "positive": _WHOLE,
    "integer": {"zero", "minus one", *_WHOLE},
    "name": {"a word", "a digest"},
    "mark": {"empty text", "a word", "UPPER", "64 characters", "a digest", "a digest in capitals"},
    "run": {"empty text"},
    "boolean": {"true"},
    "digest": {"a digest"},
    "spans": {"empty list", "a span", "a turned span"},
    "text": _TEXTS,
    "verb": set[str](),
    "rates": {"a rate", "no list"},
}
"""The values that each type accepts, by its row in docs/formats/wire.md."""

FRAMES: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "subscribe": (
        {"client": "case", "observe": True},
        {
            "client": "name", "session": "count", "instance": "mark", "block_size": "count", "boot": "mark",
            "after": "count", "run": "run", "observe": "boolean", "fence": "count",
        },
    ),
    "receipt": (
        {"session": 1, "block": 1, "first": 1, "last": 1, "count": 1, "digest": "x00000000", "took_ns": 1},
        {
            "session": "positive", "block": "positive", "first": "positive", "last": "positive", "count": "count",
            "missing": "spans", "digest": "digest", "took_ns": "integer",
        },
    ),
    "ping": ({"t1_us": 1}, {"t1_us": "integer"}),
    "pong": ({"t1_us": 1, "t2_us": 1, "t3_us": 1}, {"t1_us": "integer", "t2_us": "integer", "t3_us": "integer"}),
    "control": ({"do": "status"}, {"set": "rates", "do": "verb", "client": "name", "via": "name"}),
    "bye": ({"last": 1}, {"last": "count", "reason": "text", "retry_ms": "count"}),
}  # fmt: skip
"""A frame of each kind that is accepted, and the types of its fields."""

_NULLABLE = {("control", field) for field in ("set", "do", "client", "via")} | {
    ("bye", field) for field in ("last", "reason", "retry_ms")
}
# A case that changed the rate would change the run that the others are tried in.
_HARMFUL = {("control", "set", "a rate"), ("subscribe", "observe", "zero")}


def cases() -> Iterator[Case]:
    """Yield a case for each field and value, and for each required field that is left out."""
    for kind, (usual, types) in FRAMES.items():
        for field, kind_of_value in types.items():
            accepted = set(ACCEPTED[kind_of_value]) | ({"null"} if (kind, field) in _NULLABLE else set())
            for name, value in VALUES.items():
                if (kind, field, name) not in _HARMFUL:
                    expected = "understood" if name in accepted else "malformed"
                    text = _text(kind, {key: json.dumps(usual[key]) for key in usual} | {field: value})
                    yield Case("T8", f"{kind}.{field} is {name}", (expected,), functools.partial(_answer, text))


def _text(kind: str, fields: dict[str, str]) -> str:
    return "{" + ",".join([f'"type":"{kind}"', *(f'"{name}":{value}' for name, value in fields.items())]) + "}"


def _answer(text: str, port: int) -> str:
    """Return whether a frame was malformed, or understood and answered in any documented way."""
    with RawPeer(port) as peer:
        peer.send(frame(text))
        outcome = peer.outcome()
    if outcome == "error:malformed 4400":
        return "malformed"
    return "understood" if outcome.startswith(("open", "error:")) else outcome
