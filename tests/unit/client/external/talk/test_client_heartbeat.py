"""Tests of how often a client sends its heartbeat."""

from __future__ import annotations

import pytest

from services.client.external.talk.client_heartbeat import BeatInterval


@pytest.mark.parametrize(("text", "seconds"), [("18", 18), ("0.5", 0.5), ("86400", 86400)])
def test_an_interval_is_a_number_of_seconds(text: str, seconds: float) -> None:
    """A number is the interval in seconds."""
    assert BeatInterval(seconds) == BeatInterval.of(text)


@pytest.mark.parametrize("text", ["0", "0.05", "90000", "soon", "-1", "$.d", "$.d h", "d ms", "1 s", "nan"])
def test_another_interval_is_refused(text: str) -> None:
    """A text that is neither a number in bounds nor a path with a unit is refused."""
    with pytest.raises(ValueError, match=r"a number of seconds from 0.1 to 86400, or a path and s or ms"):
        BeatInterval.of(text)


@pytest.mark.parametrize(
    ("text", "message", "seconds"),
    [
        ("$.d.heartbeat_interval ms", b'{"op":10,"d":{"heartbeat_interval":41250}}', 41.25),
        ("$.pingInterval ms", b'0{"sid":"x","pingInterval":25000}', 25),
        ("$.timeout s", b'{"timeout":1.5}\x1e', 1.5),
        ("$.data.timeout s", b'{"data":"{\\"timeout\\":120}","text":"{no"}', 120),
        ("$.timeout ms", b'{"timeout":1}', 0.1),
        ("$.timeout s", b'{"timeout":0}', None),
        ("$.timeout s", b'{"timeout":true}', None),
        ("$.timeout s", b'{"timeout":"5"}', 5),
        ("$.timeout s", b'{"timeout":"soon"}', None),
        ("$.timeout s", b'{"timeout":1e9}', None),
        ("$.timeout s", b'{"op":1}', None),
        ("$.timeout s", b"{timeout", None),
        ("$.timeout s", b"[" * 100_000, None),
        ("$.timeout s", b"\xff{", None),
        ("$.timeout s", b"hello", None),
        ("5", b'{"timeout":5}', None),
    ],
)
def test_a_message_may_name_the_interval(text: str, message: bytes, seconds: float | None) -> None:
    """The interval is the number at the path, in its unit; a message without a usable number names none."""
    assert seconds == BeatInterval.of(text).found_in(message)
