"""Says what else the messages of a feed show: what no proposal can tell, a sentence each. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from services.client.feeds.json_columns import Columns
from services.client.feeds.numbering import Numbering
from services.client.feeds.text_numbers import find_text_numbers

_LIFE = re.compile(r"hb|heart_?beat|ping|keep_?-?alive|alive", re.IGNORECASE)
"""Names and texts of signs of life."""
_WELL_NUMBERED = 0.9
_MAX_SHOWN = 80
_MANY = 3


def message_notes(values: Sequence[Any]) -> Iterator[str]:
    """Yield what single messages say: pings, signs of life alone, errors."""
    words = [_words(value) for value in values]
    pings = [value for value, found in zip(values, words, strict=True) if "ping" in found]
    if pings:
        yield (
            f"the server sends pings: {_shown(pings[0])}; if it wants an answer, FEED_PING matches them and FEED_PONG"
            " is the answer"
        )
    if values and all(any(map(_LIFE.fullmatch, found)) for found in words):
        yield (
            "all messages seem to be signs of life: the feed may want a message first (FEED_HELLO, hello in a profile)"
        )
    errors = [value for value, found in zip(values, words, strict=True) if "error" in found]
    if errors:
        yield f"the server reports an error: {_shown(errors[0])}"
    welcome = len(values) < _MANY and not errors
    if values and welcome:
        yield "hardly anything came: many feeds want a message first (FEED_HELLO, hello in a profile), perhaps a login"


def number_notes(numbering: Numbering | None, columns: Columns, values: Sequence[Any]) -> Iterator[str]:
    """Yield what limits the use of the numbers: a part of the records only, or numbers that no path leads to."""
    if numbering is None:
        yield "no value rises from record to record: without numbers nothing is missed"
        yield from _numbers_in_texts(columns, len(values))
    elif numbering.numbered < _WELL_NUMBERED * len(values):
        yield f"{numbering.numbered:,} of {len(values):,} records have a number at {numbering.number}"
        names = varying_names(values)
        if names:
            yield (
                f"the names in the records vary ({', '.join(names[:3])}{' …' if len(names) > 3 else ''}), and a path"
                " leads to one of them: the proposals judge that one, and pass over the others"
            )


def binary_note(messages: Sequence[bytes]) -> str:
    """Return a sentence about messages that are no JSON and contain none."""
    if not any(_is_text(message) for message in messages):
        known = "MessagePack, which is" if all(map(_is_msgpack, messages)) else "protobuf, MessagePack and CBOR are"
        return (
            f"the messages are binary: {known} not read; without FEED_SEQ a run measures silence, rates and the spread"
            " between clients"
        )
    return "no message is JSON, and no number in the texts rises: FEED_MATCH can name the part that is a record"


def _numbers_in_texts(columns: Columns, total: int) -> Iterator[str]:
    for path, column in columns.items():
        texts = [value for value in column.values() if isinstance(value, str)]
        if len(texts) < total / 2 or not path.startswith("$.") or "$" in path[1:]:
            continue
        found = find_text_numbers(texts)
        name = re.search(r"\.([\w-]+)$", path)
        if found is not None and name is not None and found.pattern.startswith("^"):
            pattern = rf'"{name[1]}": ?"{found.pattern[1:]}'
            yield (
                f"the texts at {path} contain a number ({texts[0]}): FEED_MATCH='{pattern}' with FEED_SEQ='$' checks"
                " it, and the records are these numbers alone, without a time"
            )
            return


def varying_names(values: Sequence[Any]) -> list[str]:
    """Return the names of which each record has one, if there are several and their values have the same parts."""
    named: dict[str, set[str]] = {}
    for value in values:
        if isinstance(value, dict) and len(value) == 1:
            ((name, inner),) = value.items()
            if isinstance(inner, dict):
                named.setdefault(name, set()).update(inner)
    return list(named) if len(named) > 1 and len({frozenset(parts) for parts in named.values()}) == 1 else []


def _words(value: Any) -> set[str]:
    if isinstance(value, dict):
        texts = (text for text in value.values() if isinstance(text, str) and len(text) <= 40)
        return {*map(str.lower, value), *map(str.lower, texts)}
    return set()


def _shown(value: Any) -> str:
    return msgspec.json.encode(value)[:_MAX_SHOWN].decode("utf-8", "replace")


def _is_text(message: bytes) -> bool:
    try:
        text = message.decode()
    except UnicodeDecodeError:
        return False
    return sum(letter.isprintable() or letter.isspace() or letter == "\x01" for letter in text) >= 0.9 * len(text)


def _is_msgpack(message: bytes) -> bool:
    try:
        return isinstance(msgspec.msgpack.decode(message), dict | list)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
