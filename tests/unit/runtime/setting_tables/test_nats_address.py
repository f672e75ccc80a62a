"""Tests of the address of a stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.setting_tables.nats_address import NatsAddress, nats_address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nats://one", NatsAddress(("nats://one",), "streamgauge", 1, "nats://one/streamgauge")),
        (
            "nats://one:4222,two:4223/mine",
            NatsAddress(("nats://one:4222", "nats://two:4223"), "mine", 1, "nats://one:4222,two:4223/mine"),
        ),
        (
            "tls://me:secret@one,two/s?from=501",
            NatsAddress(("tls://me:secret@one", "tls://me:secret@two"), "s", 501, "tls://one,two/s"),
        ),
    ],
)
def test_an_address_has_servers_and_a_stream(text: str, expected: NatsAddress) -> None:
    """Several servers share user and password, which are not shown, and a stream may have a first message."""
    assert expected == nats_address("streamgauge")(text)


@pytest.mark.parametrize(
    "text",
    [
        "one:4222", "http://one/x", "nats://", "nats://,/x", "nats://one:x/y", "nats://one:0/y", "nats://one/a.b",
        "nats://one/a b",
        "nats://one/a?from=0", "nats://one/a?from=x", "nats://one/a?first=1", "nats://one/a?from=1&x=2", "nats://one/a/b",
    ],
)  # fmt: skip
def test_other_texts_are_mistakes(text: str) -> None:
    """Any other text is refused with an example."""
    with pytest.raises(ValueError, match=r"^an address like nats://one:4222,two:4222,three:4222$"):
        nats_address("streamgauge")(text)


def test_a_stream_may_be_required() -> None:
    """Without a default the address has to name a stream; an empty text is no address."""
    assert nats_address()("") is None
    with pytest.raises(ValueError, match=r"/NAME, with \?from=N"):
        nats_address()("nats://one:4222")


@given(st.text(max_size=40), st.sampled_from(["", "nats://", "nats://one/", "tls://u:p@h/"]))
def test_no_text_breaks_it(text: str, prefix: str) -> None:
    """Any text gives an address or a ValueError."""
    try:
        address = nats_address("x")(prefix + text)
    except ValueError:
        return
    assert address is None or address.servers
