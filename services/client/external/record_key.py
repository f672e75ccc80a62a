"""Makes the text by which the sequence of a record is known: its key, of one value or of several. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from services.client.external.record_values import text_of
from services.contract.json_path import ABSENT
from services.contract.sequence_key import joined

MAX_KEY_BYTES = 720
"""A longer JSON text of a key is replaced by its beginning and a digest: the key is part of every message in the log,
and the longest line of a block is known in advance (`block_text.BESIDE_KEY`)."""
SHORT_KEY = 119
"""Characters of a key that cannot exceed that: JSON takes at most six bytes for each, and two quotes."""
_KEPT = 80


def key_of(values: Sequence[Any]) -> str | None:
    r"""Return the key of these values, None if none of them is there; null counts as not there.

    One value is the key itself. Several are joined by ``|``, with ``|`` and ``\`` in a value escaped by ``\``, so
    that different values never give the same key.
    """
    texts = [_text(value) for value in values]
    if len(texts) == 1:
        return None if texts[0] is None else _bounded(texts[0])
    if not any(text is not None for text in texts):
        return None
    return _bounded(joined(texts))


def _text(value: Any) -> str | None:
    if value is None or value is ABSENT:
        return None
    # Half a surrogate pair, which lenient reading accepts, cannot be encoded in UTF-8.
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else text_of(value)


def _bounded(key: str) -> str:
    """Return a key whole, or if it is too long its beginning and the digest of the whole."""
    if len(key) <= SHORT_KEY or len(msgspec.json.encode(key)) <= MAX_KEY_BYTES:
        return key
    # Cut and compared alone, two sequences with the same beginning would become one.
    return f"{key[:_KEPT]}…#{hashlib.sha256(key.encode()).hexdigest()}"
