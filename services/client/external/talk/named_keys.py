"""Finds the keys that an operator's messages name, by comparing them with a message that has ``{key}``. Pure.

A key of several values is one text, in which ``|`` separates them; ``{key1}``, ``{key2}`` … are the single values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from services.client.external.templates import MessageTemplate, Value
from services.contract.sequence_key import joined, values_in

PARTS = tuple(f"key{number}" for number in range(1, 10))
NAMES = frozenset({"key", *PARTS})
"""Names of a key, or of one of its values, in templates."""
# Characters for private use, which are in no message.
_MARK = re.compile("\ue000([a-z0-9]+)\ue001")
_ANY_NUMBER = 8_070_605_040_302_010
_Found = list[dict[str, str]] | None


def values_of(key: str) -> dict[str, Value]:
    """Return the values of ``{key}``, ``{key1}``, ``{key2}`` … for a key; one that is not there is empty."""
    return {"key": key, **{name: value or "" for name, value in zip(PARTS, values_in(key), strict=False)}}


def _key_of(values: dict[str, str]) -> str | None:
    """Return the key of these values, None if one is lacking."""
    if "key" in values:
        return values["key"]
    parts = [values[name] for name in PARTS if name in values]
    if not parts or PARTS[: len(parts)] != tuple(name for name in PARTS if name in values):
        return None
    return joined(parts) if len(parts) > 1 else parts[0]


def keys_named(said: MessageTemplate, template: MessageTemplate, client: str, *, is_exact: bool = True) -> set[str]:
    """Return the keys that a message names at the places where a template has ``{key}``, or all of its values.

    Args:
        said: the message.
        template: of the message that names one key.
        client: name of the client.
        is_exact: whether all other values that both have must be equal.
    """
    try:
        wanted = json.loads(_marked(template, client))
        found = json.loads(said.message({"client": client}))
    except ValueError:
        return _keys_in_text(said.line, template.line)
    keys = map(_key_of, _values_at(wanted, found, is_exact) or [])
    return {key for key in keys if key is not None}


def without_position(template: MessageTemplate) -> MessageTemplate | None:
    """Return a template without the members that hold a number to resume from, None if it cannot do without them."""
    if template.is_binary:
        return None
    try:
        value = _stripped(json.loads(_marked(template, "{client}")))
    except ValueError:
        return None
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if str(_ANY_NUMBER) in text:
        return None
    return MessageTemplate(_MARK.sub(lambda mark: f"{{{mark[1]}}}", text))


def _marked(template: MessageTemplate, client: str) -> str | bytes:
    marks: dict[str, Value] = {name: f"\ue000{name}\ue001" for name in NAMES}
    return template.message({**marks, "client": client, "seq": _ANY_NUMBER, "next": _ANY_NUMBER})


def _stripped(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _stripped(inner) for name, inner in value.items() if inner not in _POSITIONS}
    return [_stripped(inner) for inner in value] if isinstance(value, list) else value


_POSITIONS = (_ANY_NUMBER, str(_ANY_NUMBER))


def _values_at(wanted: Any, found: Any, is_exact: bool) -> _Found:
    """Return the values at the places of a key, once for each key that ``found`` has; None where the two differ."""
    if isinstance(wanted, str) and _MARK.search(wanted):
        return _values_in(wanted, found) if isinstance(found, str) else None
    if isinstance(wanted, dict) and isinstance(found, dict):
        if any(_has_mark(value) and name not in found for name, value in wanted.items()):
            return None
        return _combined(_values_at(value, found[name], is_exact) for name, value in wanted.items() if name in found)
    if isinstance(wanted, list) and isinstance(found, list):
        if wanted and all(map(_has_mark, wanted)):
            # A list of channels: the operator's may be longer than the template's.
            each = [values for value in wanted for one in found if (values := _values_at(value, one, is_exact))]
            return [values for some in each for values in some] or None
        return _combined(_values_at(*pair, is_exact) for pair in zip(wanted, found, strict=False))
    return [{}] if wanted in (found, *_POSITIONS) or not is_exact else None


def _values_in(wanted: str, found: str) -> _Found:
    """Return the values in a text that has other text around or between them."""
    pattern, end = "", 0
    for mark in _MARK.finditer(wanted):
        # A value that is named twice is equal in both places.
        again = f"(?P<{mark[1]}>" in pattern
        pattern += re.escape(wanted[end : mark.start()]) + (f"(?P={mark[1]})" if again else f"(?P<{mark[1]}>.+?)")
        end = mark.end()
    whole = re.fullmatch(pattern + re.escape(wanted[end:]), found, re.DOTALL)
    return [whole.groupdict()] if whole else None


def _combined(parts: Iterable[_Found]) -> _Found:
    combined: list[dict[str, str]] = [{}]
    for part in parts:
        if part is None:
            return None
        combined = [values | more for values in combined for more in part]
    return combined


def _has_mark(value: Any) -> bool:
    return _MARK.search(json.dumps(value, ensure_ascii=False)) is not None


def _keys_in_text(said: str, template: str) -> set[str]:
    """Return the key in a message that is no JSON: the text after the same beginning, up to the next separator."""
    before, _, after = template.partition("{key}")
    end = re.escape(after[:1]) if after[:1] not in ("", "{") else r"\s"
    match = re.match(re.escape(before) + rf"(.+?)(?={end}|\s|\\|$)", said)
    return {match[1]} if match and before != template else set()
