"""Turns the values of a feed profile into the texts that the ``FEED_`` variables have. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from services.client.external.profiles.toml_lines import KeyPath
from services.client.external.templates import BINARY, in_json_string, string_depths
from services.runtime.setting_tables.parsers import VARIABLE

_USED = re.compile(rf"\{{\{{({VARIABLE})\}}\}}|\{{({VARIABLE})(?:#([12])(?:\+([0-9]+))?)?\}}")
_NAME_IN_BRACES = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")
# A line of a greeting that is no message, by its beginning.
_STEP = re.compile(r"(?:(?P<wait>wait)\b[^:]*|command\b[^:]*|file):")
_GREETINGS = ("FEED_HELLO", "FEED_RESUME")
# Messages with braces of their own: their template removes the second pair itself.
_TEMPLATES = ("FEED_HELLO", "FEED_RESUME", "FEED_HEARTBEAT", "FEED_PONG")
_PATTERNS = ("FEED_MATCH", "FEED_IGNORE", "FEED_PING", "FEED_END")
_SEPARATORS = {
    "FEED_SUBPROTOCOL": ",",
    "FEED_ENCODING": ",",
    "FEED_KEY": ",",
    "FEED_RESUME": "\n",
    "FEED_HEARTBEAT": "\n",
}
"""Settings that may be a list in a profile, and what separates the items in their text."""
# White space around the text of a variable does not count, so these are written as escapes.
_ESCAPED = ("FEED_SPLIT",)


class Unsuitable(Exception):
    """A value that a key cannot have. Its text is the expected form, and ``path`` the place of the value."""

    def __init__(self, path: KeyPath, expected: str) -> None:
        super().__init__(expected)
        self.path = path


def text_of(name: str, values: Mapping[str, Any]) -> str:
    """Return the text of a setting.

    Args:
        name: of its variable.
        values: the values that a profile has for it, by key.

    Raises:
        Unsuitable: a value has a type that the key cannot have.
    """
    make = _MADE.get(name)
    if make is not None:
        return make(values)
    ((key, value),) = values.items()
    path: KeyPath = tuple(key.split("."))
    separator = _SEPARATORS.get(name)
    if separator is not None and isinstance(value, list):
        return separator.join(_line(scalar_text((*path, at), item)) for at, item in enumerate(value))
    if isinstance(value, list):
        raise Unsuitable(path, "one value and no list")
    text = scalar_text(path, value)
    return _with_escapes(text) if name in _ESCAPED else text


def scalar_text(path: KeyPath, value: Any) -> str:
    """Return a text, number or truth value as the text of a setting.

    Raises:
        Unsuitable: the value is of another type.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    # An integer may be too large for a float, and so for `isfinite`.
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return str(value)
    raise Unsuitable(path, "a text or a number")


def variables_in(text: str) -> list[str]:
    """Return the names in single braces in a text."""
    return [match[2] for match in _USED.finditer(text) if match[2] is not None]


def captured_in(text: str) -> list[str]:
    """Return the names of the groups in regular expressions."""
    return re.findall(r"\(\?P<(\w+)>", text)


def fill(name: str, text: str, values: Mapping[str, str]) -> str:
    """Return the text of a setting with the values of its variables.

    Inside a JSON string of a message or command a value is escaped as JSON requires, in a regular expression so that it
    is found as it is, elsewhere in a message so that it is sent as it is. ``{{name}}`` is the text ``{name}``. In a
    binary message ``{name#2}`` is the length of the value in two bytes, and ``{name#1+5}`` five more in one byte.

    Raises:
        ValueError: a value is too long for its length.
    """
    return "\n".join(_filled(name, line, values) for line in text.split("\n"))


def _filled(name: str, line: str, values: Mapping[str, str]) -> str:
    step = _STEP.match(line) if name in _GREETINGS else None
    is_pattern = name in _PATTERNS or (step is not None and step["wait"] is not None)
    is_message = name in _TEMPLATES and step is None
    # A command is a JSON list. In a binary message a value is sent as it is: whether it is JSON is not known.
    is_json = name in _TEMPLATES and not line.lstrip().startswith(BINARY)
    depths = string_depths(line) if is_json and not is_pattern else {}

    def replaced(match: re.Match[str]) -> str:
        if match[1] is not None:
            return match[0] if is_message else f"{{{match[1]}}}"
        value = values.get(match[2])
        is_length = match[3] is not None
        if value is None or (is_length and not (is_message and not is_json)):
            return match[0]
        if is_length:
            return _length(match[2], value, int(match[3]), int(match[4] or 0))
        if is_pattern:
            return re.escape(value)
        depth = depths.get(match.start(), 0)
        if is_message and depth == 0:
            value = _as_it_is(value, is_binary=not is_json)
        if is_message and _NAME_IN_BRACES.search(value):
            # A template would replace the name, such as a field of a GraphQL query.
            value = value.replace("{", "{{").replace("}", "}}")
        for _ in range(depth):
            value = in_json_string(value)
        return value

    return _USED.sub(replaced, line)


_MOST_LENGTHS = {1: 127, 2: 65535}
"""By the number of bytes. A single one has seven bits: in MQTT and other formats the eighth announces a second byte."""


def _length(name: str, value: str, size: int, more: int) -> str:
    """Return the length of a value as the escapes of a binary message."""
    most = _MOST_LENGTHS[size]
    length = len(value.encode()) + more
    if length > most:
        raise ValueError(f"a value of at most {most - more:,} bytes for {name}")
    return "".join(f"\\x{byte:02x}" for byte in length.to_bytes(size, "big"))


def _as_it_is(value: str, *, is_binary: bool) -> str:
    """Return a value as a template has to have it outside of JSON strings, where a backslash begins an escape."""
    special = r"[\\\n\r]" if is_binary else r'[\\\n\r"]'
    if not is_binary and _is_json(value):
        # It has its own strings. White space between its tokens means nothing, and a line is a message.
        return " ".join(value.splitlines())
    return re.sub(special, lambda match: f"\\x{ord(match[0]):02x}", value)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _with_escapes(text: str) -> str:
    return "".join(letter if " " < letter != "\x7f" else f"\\x{ord(letter):02x}" for letter in text)


def _line(text: str) -> str:
    """Return a message as one line: white space between the tokens of JSON means nothing."""
    return " ".join(part.strip() for part in text.splitlines()) if "\n" in text.strip() else text.strip()


def _time(values: Mapping[str, Any]) -> str:
    if "time.path" not in values:
        raise Unsuitable(("time", "unit"), "time.path beside it")
    parts = [scalar_text(tuple(key.split(".")), values[key]) for key in ("time.path", "time.unit") if key in values]
    return " ".join(parts)


def _end(values: Mapping[str, Any]) -> str:
    words = {"end.close": "close", "end.match": "message", "end.messages": "messages", "end.last": "last"}
    lines = []
    for key, word in words.items():
        value, path = values.get(key, []), tuple(key.split("."))
        items = value if isinstance(value, list) else [value]
        lines += [f"{word} {_line(scalar_text((*path, at), item))}" for at, item in enumerate(items)]
    return "\n".join(lines)


def _hello(values: Mapping[str, Any]) -> str:
    ((key, value),) = values.items()
    if isinstance(value, str):
        return value
    steps = value if isinstance(value, list) else [value]
    return "\n".join(_step((key, at), step) for at, step in enumerate(steps))


def _step(path: KeyPath, step: Any) -> str:
    if not isinstance(step, dict):
        return _line(scalar_text(path, step))
    if step.keys() == {"send"}:
        return _line(scalar_text((*path, "send"), step["send"]))
    if step.keys() == {"file"}:
        return f"file:{_line(scalar_text((*path, 'file'), step['file']))}"
    kind = next((kind for kind in ("wait", "command") if step.keys() - {"seconds"} == {kind}), None)
    if kind is None:
        raise Unsuitable(path, "a step with send, file, wait or command; the last two perhaps with seconds")
    limit = f" {scalar_text((*path, 'seconds'), step['seconds'])}s" if "seconds" in step else ""
    if kind == "wait":
        return f"wait{limit}:{_line(scalar_text((*path, 'wait'), step['wait']))}"
    if not isinstance(step["command"], list):
        raise Unsuitable((*path, "command"), 'a list like ["program", "argument"]')
    return f"command{limit}:{json.dumps([scalar_text((*path, 'command'), part) for part in step['command']])}"


_MADE: dict[str, Callable[[Mapping[str, Any]], str]] = {"FEED_TIME": _time, "FEED_END": _end, "FEED_HELLO": _hello}
"""Settings whose text is made of several keys, or of tables."""
