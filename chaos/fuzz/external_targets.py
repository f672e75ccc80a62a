"""Decoders of external feeds and of their profiles."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator

from chaos.external.decodings import DECODINGS, record
from chaos.fuzz.target import Target
from services.client.external import lenient_json
from services.client.external.profiles import profile
from services.client.external.settings import FeedSettings, read_feed
from services.client.external.templates import Template
from services.client.external.transport.plain_frames import frame_end, plain_run
from services.client.feeds.framing import find_framings, find_protocol
from services.contract.unread_data import probable_encoding, unread_kind
from services.runtime.errors import BadSettings

BETWEEN = b"\x1e\x1f"
"""Stands between two frames in an input."""
_KINDS = tuple(DECODINGS)
_MOST_FRAMES, _MOST_FRAME_BYTES = 64, 2**20


@functools.cache
def _settings(kind: str) -> FeedSettings:
    found = read_feed({"SERVER_URL": "ws://127.0.0.1:1", "FEED": "foreign", **DECODINGS[kind].settings})
    assert found is not None, f"{kind} describes a feed"
    return found


def seeds_of_frames(count: int = 6) -> Iterator[bytes]:
    """Yield an input of the target ``external-frames`` for each kind of decoding."""
    for number, kind in enumerate(_KINDS):
        chance = random.Random(kind)
        records = [record(seq, 1_795_332_600_000 + seq, chance) for seq in range(1, count)]
        frames = DECODINGS[kind].frames(iter(records), chance)
        data = (frame.encode() if isinstance(frame, str) else frame for frame in frames)
        yield bytes([number]) + BETWEEN.join(data)


def _frames(data: bytes) -> None:
    """Read frames by the settings that the first byte selects, as text and as binary ones."""
    settings = _settings(_KINDS[(data[0] if data else 0) % len(_KINDS)])
    frames = data[1:].split(BETWEEN)[:_MOST_FRAMES]
    for is_binary in (False, True):
        reader = settings.frame_reader()
        contents = [reader.read_bytes(frame, binary=is_binary) for frame in frames]
        contents.append(reader.end())
        for one in contents:
            for found in one.records:
                assert b"\n" not in found.record, "a record is one line"
                unread_kind(found.record, found.form or "text")


def _profile(data: bytes) -> None:
    found = profile.parse("fuzz.toml", "fuzz.toml", data)
    texts = found.filled({name: "1" for name, variable in found.variables.items() if variable.default is None})
    read_feed({"SERVER_URL": "ws://127.0.0.1:1", "FEED": "foreign", **texts})


def _lenient(data: bytes) -> None:
    lenient_json.decode(data)
    lenient_json.is_beginning(data)
    lenient_json.rows(data, ["a"])


def _websocket_frames(data: bytes) -> None:
    # There is no frame without a byte.
    for most in (1, 1000, _MOST_FRAME_BYTES) if data else ():
        plain_run(data, 0, most)
        frame_end(data, 0, most)


def _framing(data: bytes) -> None:
    frames = [frame for frame in data.split(BETWEEN)[:_MOST_FRAMES] if frame]
    if frames:
        find_framings(frames)
        find_protocol(frames)
    probable_encoding(data)


def _template(data: bytes) -> None:
    template = Template.of(data.decode(errors="replace"))
    template.messages(**dict.fromkeys(template.names, "x"))


TARGETS: tuple[Target, ...] = (
    Target("external-frames", _frames),
    Target("profile", _profile, (BadSettings,)),
    Target("lenient-json", _lenient, (ValueError,)),
    Target("websocket-frames", _websocket_frames),
    Target("look-at-feed", _framing),
    Target("template", _template, (ValueError,)),
)
