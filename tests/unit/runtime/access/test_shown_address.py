"""Tests of services/runtime/access/shown_address.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.access.shown_address import without_credentials

WORD = st.text("abcdefghijklmnopqrstuvwxyz0123456789_.~-", min_size=8, max_size=20)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ws://server:8765", "ws://server:8765"),
        ("ws://me:pass@server:8765/a?token=x#y", "ws://server:8765/a"),
        ("wss://me:p@ss@server/", "wss://server/"),
        ("ws://me@server: nothing listens there", "ws://server: nothing listens there"),
        ("no address, me@server", "no address, me@server"),
    ],
)
def test_an_address_is_shown_without_credentials(text: str, shown: str) -> None:
    """User, password, query and fragment of an address are removed; the rest of the text stays."""
    assert shown == without_credentials(text)


@given(WORD, WORD, WORD)
def test_no_credential_is_left(user: str, password: str, query: str) -> None:
    """No user, password or query is shown."""
    shown = without_credentials(f"cannot reach wss://{user}:{password}@host:1/feed?key={query}: refused")

    assert "cannot reach wss://host:1/feed" in shown
    assert password not in shown.replace("cannot reach wss://host:1/feed", "")
    assert f"key={query}" not in shown
