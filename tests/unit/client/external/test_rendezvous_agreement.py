"""Tests of services/client/external/rendezvous.py."""

from __future__ import annotations

from functools import partial

import pytest

from services.client.external import rendezvous
from services.client.external.rendezvous import settings_of
from services.runtime.settings import EXTERNAL

URL = "ws://feed/path"


digest = partial(rendezvous.digest, iterations=2)
is_of = partial(rendezvous.is_of, iterations=2)


@pytest.mark.parametrize("name", [setting.name for setting in EXTERNAL if setting.name != "FEED"])
def test_every_setting_of_the_feed_counts(name: str) -> None:
    """Clients that differ in one of these settings do not share a run; an explicit default makes no difference."""
    default = next(setting.default for setting in EXTERNAL if setting.name == name)
    alone = settings_of({"SERVER_URL": URL})

    assert alone == settings_of({"SERVER_URL": URL, name: f" {default} "})
    assert alone != settings_of({"SERVER_URL": URL, name: "7"})


@pytest.mark.parametrize(
    ("other", "alike"),
    [
        ("ws://me:word1@feed/path?a=1", True),
        ("ws://me:word2@feed/path?a=1", True),
        ("ws://you:word1@feed/path?a=1", False),
        ("ws://me:word1@feed/path?a=2", False),
        ("ws://me:word1@feed/path", False),
        ("ws://me:word1@other/path?a=1", False),
    ],
)
def test_of_an_address_all_but_the_password_counts(other: str, *, alike: bool) -> None:
    """The query of the address counts, since it may select the feed; a password does not: a digest could reveal it."""
    own = settings_of({"SERVER_URL": "ws://me:word1@feed/path?a=1"})

    assert alike == (own == settings_of({"SERVER_URL": other}))
    assert b"word1" not in own


def test_other_settings_do_not_count() -> None:
    """Clients of one run may have names and block sizes of their own."""
    assert settings_of({"SERVER_URL": URL}) == settings_of({"SERVER_URL": URL, "CLIENT_ID": "a", "BLOCK_SIZES": "7"})


def test_a_digest_is_of_its_settings_alone() -> None:
    """The same settings are recognised under every salt, and others are not."""
    settings = settings_of({"SERVER_URL": URL, "FEED_HELLO": '{"token":"s3cret"}'})
    first, second = digest(settings), digest(settings)

    assert first != second
    assert is_of(first, settings)
    assert is_of(second, settings)
    assert not is_of(first, settings_of({"SERVER_URL": URL}))
    assert "s3cret" not in first


@pytest.mark.parametrize("found", ["", "x", "sha256.00.00", "pbkdf2-sha256.zz.zz", "pbkdf2-sha256..", "a.b.c.d"])
def test_a_malformed_digest_is_of_none(found: str) -> None:
    """A damaged digest, or one of other software, matches no settings."""
    assert not is_of(found, b"")
