"""Finds JSON inside longer texts, and the regular expression that names it. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

import msgspec

MIN_SHARE = 0.5
"""Share of the messages that a pattern has to read: the others may be greetings and signs of life."""
_MAX_BEGINS = 16
"""Brackets of a text that are tried as the begin of JSON."""
_MAX_WORK = 4_000_000
"""Brackets times characters of a text: a pattern may look at the rest of a text once for each bracket."""
_MAX_TEXTS = 64
_MAX_CONTEXT = 80
"""Characters before and after the JSON that a pattern names."""
_DECODER = json.JSONDecoder()


def is_json(text: bytes) -> bool:
    """Return whether a text is JSON with parts; a bare number or word may be anything."""
    try:
        return isinstance(msgspec.json.decode(text), dict | list)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False


def find_pattern(messages: Sequence[bytes]) -> str | None:
    """Return a regular expression whose one group is the JSON in most messages, None if none is right for all of it."""
    messages = messages[:_MAX_TEXTS]
    parts = [found for message in messages if (found := _parted(message)) is not None]
    if not parts or len(parts) < MIN_SHARE * len(messages):
        return None
    for pattern in _candidates(parts):
        compiled = re.compile(pattern.encode(), re.DOTALL)
        matches = [compiled.findall("".join(part).encode()) for part in parts]
        if all(texts and all(map(is_json, texts)) for texts in matches):
            return pattern
    return None


def _parted(message: bytes) -> tuple[str, str, str] | None:
    """Return what is before the first JSON of a message, this JSON, and what follows it; None without JSON."""
    try:
        text = message.decode()
    except UnicodeDecodeError:
        return None
    if len(text) * (text.count("{") + text.count("[")) > _MAX_WORK:
        return None
    for count, bracket in enumerate(re.finditer(r"[\[{]", text)):
        if count == _MAX_BEGINS:
            break
        try:
            value, end = _DECODER.raw_decode(text, bracket.start())
        except (ValueError, RecursionError):
            continue
        if value:
            return text[: bracket.start()], text[bracket.start() : end], text[end:]
    return None


def _candidates(parts: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    """Yield patterns, the most exact one first."""
    contexts, texts, afters = ([part[at] for part in parts] for at in range(3))
    openings = "".join(sorted({text[0] for text in texts}))
    begin, end = {"{": (r"\{", r"\}"), "[": (r"\[", r"\]")}.get(openings, (r"[{\[]", r"[}\]]"))
    if not any(contexts) and any(afters):
        # One JSON text follows another; a comma or white space may be between them.
        yield rf"({begin}.*?{end})(?=[\s,]*{begin}|\s*$)"
    is_same = len({*contexts}) == 1 and len(contexts[0]) <= _MAX_CONTEXT
    before = f"^{escaped(contexts[0])}" if is_same else escaped(_word_before(contexts))
    after = escaped(common_beginning(afters)[:_MAX_CONTEXT])
    if not any(afters):
        yield f"{before}({begin}.*{end})$"
    yield f"{before}({begin}.*{end})"
    if after:
        yield f"{before}({begin}.*?{end}){after}"
    yield rf"^[^\[{{]*({begin}.*{end})"


def _word_before(contexts: Sequence[str]) -> str:
    """Return what stands directly before the JSON in all texts, from the begin of its last word on."""
    common = common_beginning([before[-_MAX_CONTEXT:][::-1] for before in contexts])[::-1]
    word = re.search(r"\w+\W*$", common)
    return word[0] if word is not None else common


def common_beginning(texts: Sequence[str]) -> str:
    """Return the longest text with which all texts begin."""
    first, last = min(texts), max(texts)
    return next((first[:at] for at, letter in enumerate(first) if letter != last[at : at + 1]), first)


def escaped(text: str) -> str:
    """Return a regular expression of a text in one line of printable characters."""
    plain = re.sub(r"([\\.^$*+?{}\[\]|()])", r"\\\1", text)
    return "".join(letter if letter.isprintable() else _escape_of(letter) for letter in plain)


def _escape_of(letter: str) -> str:
    names = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
    return names.get(letter) or (f"\\x{ord(letter):02x}" if ord(letter) < 128 else letter)
