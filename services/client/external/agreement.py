"""Tells whether two clients are set up alike, from what ``feed.json`` says, which gives none of the settings away.

A greeting or a query may hold a token, and each reader of the logs can read ``feed.json``. So the settings are hashed
with a random salt by a function that is slow on purpose: a token of usual length cannot be found by trying. A password,
which can be short, is left out, and so is the content of files.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

from services.runtime.settings import BY_NAME, FOREIGN

_ITERATIONS = 100_000
"""Some hundredths of a second of processor time for each comparison."""
_SALT_BYTES = 16
_FORM = re.compile(r"pbkdf2-sha256\.[0-9a-f]{32}\.[0-9a-f]{64}\Z")


def settings_of(environment: Mapping[str, str]) -> bytes:
    """Return the canonical text of all settings that decide which feed is received and how it is read and judged."""
    # FEED itself says only that the feed is an external one, as any other of these settings does.
    names = ["SERVER_URL", *(setting.name for setting in FOREIGN if setting.name != "FEED")]
    said = {name: environment.get(name, "").strip() or BY_NAME[name].default for name in names}
    return json.dumps({name: _without_password(text) for name, text in said.items()}, sort_keys=True).encode()


def digest(settings: bytes, salt: bytes | None = None) -> str:
    """Return a digest of settings: its function, its salt and its value; the salt is random unless one is given."""
    salt = os.urandom(_SALT_BYTES) if salt is None else salt
    return f"pbkdf2-sha256.{salt.hex()}.{hashlib.pbkdf2_hmac('sha256', settings, salt, _ITERATIONS).hex()}"


def is_of(found: str, settings: bytes) -> bool:
    """Tell whether a digest is of these settings; a malformed one is of none."""
    if not _FORM.match(found):
        return False
    return hmac.compare_digest(found, digest(settings, bytes.fromhex(found.split(".")[1])))


def _without_password(text: str) -> str:
    try:
        parts = urlsplit(text)
    except ValueError:
        return text
    user, at, host = parts.netloc.rpartition("@")
    if not at or not parts.scheme:
        return text
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}@{host}"))
