"""Changes lines of a finished file as an author who knows the format would: checksums and counts are made to fit."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence

from services.contract import jsonl
from services.contract.jsonl import FIRST, seal

_COUNT = re.compile(rb'"byte_count":\d+')
_SHA = re.compile(rb'"sha256":"[0-9a-f]*"')

Change = Callable[[int, bytes], bytes]
"""Takes the number of a line, counted from 1, and its content without ``crc`` and ``prev``; gives its new content."""


def resealed(lines: Sequence[bytes], change: Change) -> list[bytes]:
    """Return the changed lines of a whole file, with every ``crc``, ``prev``, ``byte_count`` and ``sha256`` correct."""
    made: list[bytes] = []
    prev = FIRST
    for number, line in enumerate(lines, 1):
        before = b"".join(made)
        content = change(number, b"{" + jsonl.content(line))
        if b'"kind":"end"' in content[:40]:
            content = _COUNT.sub(b'"byte_count":%d' % len(before), content)
            content = _SHA.sub(b'"sha256":"%b"' % hashlib.sha256(before).hexdigest().encode(), content)
        sealed, prev = seal(content, prev)
        made.append(sealed)
    return made
