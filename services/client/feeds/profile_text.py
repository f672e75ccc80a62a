"""Writes a whole profile as TOML: what an operator set already, completed by proposals. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from services.client.external.profiles.profile import NAMES_BY_KEY, RESERVED
from services.client.external.profiles.profile_texts import captured_in
from services.client.feeds.proposal import Proposal

_NUMBERS = ("sequence.step", "end.seconds", "end.silence", "connect.max_bytes", "connect.per_second")
_LISTS = ("sequence.key", "decode.encoding", "connect.subprotocols")
_LINES = ("hello", "resume.send", "heartbeat.send")
_ENDS = {"close": "close", "code": "close", "message": "match", "match": "match", "messages": "messages",
         "count": "messages", "last": "last", "seq": "last"}  # fmt: skip
_ORDER = ("variables", "connect", "resume", "heartbeat", "decode", "sequence", "time", "end")
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_SECRET = re.compile(r'"(\w*(?:token|secret|pass|api_?key|auth|signature)\w*)"(\s*:\s*)"([^"\\{}]+)"', re.IGNORECASE)
"""A value in a message that should not be printed, by its name."""
_IN_BRACES = re.compile(r"\{([a-z_][a-z0-9_]*)\}")


def profile_text(document: Mapping[str, Any]) -> str:
    """Return a profile as TOML text; keys outside of tables come first, as TOML requires."""
    lines = [f"{_key(name)} = {_value(value)}" for name, value in document.items() if not isinstance(value, Mapping)]
    for name, table in document.items():
        if isinstance(table, Mapping):
            lines += _table(_key(name), table)
    return "\n".join(lines).strip("\n")


def completed(document: Mapping[str, Any], proposals: Iterable[Proposal]) -> dict[str, Any]:
    """Return the contents of a profile with proposals put in."""
    whole = {name: dict(value) if isinstance(value, Mapping) else value for name, value in document.items()}
    for one in proposals:
        _put(whole, one.key, one.text)
    # In the order of the guide: what is decoded first is read first.
    return dict(sorted(whole.items(), key=lambda item: _ORDER.index(item[0]) if item[0] in _ORDER else -1))


def from_variables(given: Mapping[str, str], address: str) -> dict[str, Any]:
    """Return the contents of a profile that says what variables say; secrets in messages are variables of it.

    Args:
        given: the texts of settings by the name of their variable.
        address: of the feed.
    """
    document: dict[str, Any] = {}
    secrets: dict[str, None] = {}
    known = {*RESERVED, *(name for text in given.values() for name in captured_in(text))}
    for key, name in NAMES_BY_KEY.items():
        text = given.get(name, "").strip()
        if name == "SERVER_URL":
            _put(document, key, _kept_in_braces(address, known))
        elif name == "FEED_TIME":
            path, _, unit = text.partition(" ")
            _put(document, key, path if key == "time.path" else unit.strip())
        elif name == "FEED_END":
            values = [line for word, line in _end_lines(text) if f"end.{word}" == key]
            _put(document, key, "\n".join(_kept_in_braces(value, known) for value in values))
        else:
            kept = _kept_in_braces(text, known)
            _put(document, key, _without_secrets(kept, secrets) if key in _LINES else kept)
    if secrets:
        document["variables"] = {name: {"about": f"{name}, which is not printed"} for name in secrets}
    return document


def _without_secrets(text: str, names: dict[str, None]) -> str:
    def replaced(match: re.Match[str]) -> str:
        name = re.sub(r"[^a-z0-9_]", "", match[1].lower()).lstrip("0123456789_") or "secret"
        names[name] = None
        return f'"{match[1]}"{match[2]}"{{{name}}}"'

    return _SECRET.sub(replaced, text)


def _end_lines(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        word, _, value = re.sub(r"^\s*(\w+)\s*[:= ]\s*", r"\1 ", line).partition(" ")
        yield _ENDS.get(word, word), value.strip()


def _kept_in_braces(text: str, known: set[str]) -> str:
    """Return a text whose names in braces are no variables of a profile."""
    return _IN_BRACES.sub(lambda match: match[0] if match[1] in known else f"{{{{{match[1]}}}}}", text)


def _put(document: dict[str, Any], key: str, text: str) -> None:
    if not text:
        return
    value: Any = text
    if key in _NUMBERS and re.fullmatch(r"[0-9]+", text):
        value = int(text)
    elif key in _LISTS and "," in text:
        value = [part.strip() for part in text.split(",")]
    elif (key in _LINES or key.startswith("end.")) and "\n" in text:
        value = [line.strip() for line in text.splitlines() if line.strip()]
    table, _, name = key.rpartition(".")
    inner = document.setdefault(table, {}) if table else document
    inner[name] = value


def _table(name: str, table: Mapping[str, Any]) -> Iterator[str]:
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    if plain:
        yield from ["", f"[{name}]", *(f"{_key(key)} = {_value(value)}" for key, value in plain.items())]
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _table(f"{name}.{_key(key)}", value)


def _key(name: str) -> str:
    return name if _NAME.fullmatch(name) else toml_text(name)


def _value(value: Any) -> str:
    if isinstance(value, str):
        return toml_text(value)
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_key(key)} = {_value(inner)}' for key, inner in value.items())} }}"
    if isinstance(value, list):
        inner = [_value(item) for item in value]
        short = f"[{', '.join(inner)}]"
        return short if len(short) <= 72 else "\n".join(["[", *(f"    {item}," for item in inner), "]"])
    return str(value).lower() if isinstance(value, bool) else str(value)


def toml_text(text: str) -> str:
    """Return a TOML string; a literal one where possible, since paths and patterns have backslashes."""
    if "'" not in text and text.isprintable():
        return f"'{text}'"
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(letter: str) -> str:
    if letter in '"\\':
        return f"\\{letter}"
    code = ord(letter)
    if letter.isprintable():
        return letter
    # Half of a surrogate pair is no character of TOML.
    return "?" if 0xD800 <= code <= 0xDFFF else f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
