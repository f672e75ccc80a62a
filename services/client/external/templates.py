r"""Makes the messages to an external server from the operator's templates. Pure.

A template has one message a line. ``{client}``, ``{seq}``, ``{next}``, ``{key}`` and the groups that an earlier step
of the greeting has captured are replaced. Inside a JSON string of a text message a value is escaped as JSON requires.
Where ``{{`` occurs in a JSON string, or outside of all strings, ``{{`` and ``}}`` are braces there; in all other
places two braces are two braces, since JSON objects often end in ``}}``.

A line that begins with ``binary:`` is sent as a binary frame. There, and in a text message outside of JSON strings,
``\r``, ``\n``, ``\t``, ``\\`` and ``\x00`` are single bytes or characters; other characters are sent as UTF-8.

Keys and pings are chosen by the server. So escapes and names in braces count in the operator's text only: an inserted
value is never read as a template.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

BINARY = "binary:"
"""The beginning of a line that is sent as a binary frame."""
_PARTS = (
    # A quote with the backslashes before it, which tell how deep its string is nested.
    r'(?P<quote>\\*")'
    r"|(?P<open>\{\{)|(?P<close>\}\})|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}|\\(?P<group>[0-9])"
)
_ESCAPES = r"\\(?P<escape>[rnt\\])|\\x(?P<hex>[0-9a-fA-F]{2})"
# Quotes first: the backslashes before one belong to it. In a binary frame the operator's escapes are read first.
_IN_TEXT = re.compile(f"{_PARTS}|{_ESCAPES}")
_IN_BINARY = re.compile(f"{_ESCAPES}|{_PARTS}")
_ESCAPED = {"r": "\r", "n": "\n", "t": "\t", "\\": "\\"}
_BRACES = {"{{": "{", "}}": "}"}
# A JSON text inside a JSON string begins so; any other string with escaped quotes has no strings of its own.
_NESTED = re.compile(r"\s*(?:\{\s*\\|\[)")

Value = str | int | bytes | None


class Slot(NamedTuple):
    """A place for a value.

    Attributes:
        name: of the value; of an answer to a ping, the digit of its group.
        written: how the template has it, which is sent when there is no such value.
        depth: the number of JSON strings around it, one within the other: 0 outside of strings.
    """

    name: str
    written: str
    depth: int


@dataclass(frozen=True)
class MessageTemplate:
    """One line of a template, as the operator wrote it."""

    line: str

    @property
    def is_binary(self) -> bool:
        """Whether it is sent as a binary frame."""
        return self.line.startswith(BINARY)

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of the values that it takes."""
        return frozenset(part.name for part in self._parts if isinstance(part, Slot))

    @cached_property
    def _parts(self) -> tuple[Slot | str | bytes, ...]:
        return tuple(_parts(self.line.removeprefix(BINARY), is_binary=self.is_binary))

    def message(self, values: Mapping[str, Value]) -> str | bytes:
        """Return the message with these values put in: str for a text frame, bytes for a binary one.

        A name without a value stays as it is written. The value None is an unknown number: null in JSON, otherwise 0.
        """
        if self.is_binary:
            return b"".join(self._bytes(part, values) for part in self._parts)
        text = "".join(self._text(part, values) for part in self._parts)
        # A frame is UTF-8, which half a surrogate pair outside of JSON strings cannot be.
        return text.encode("utf-8", "replace").decode()

    def _text(self, part: Slot | str | bytes, values: Mapping[str, Value]) -> str:
        if not isinstance(part, Slot):
            return part if isinstance(part, str) else part.decode("utf-8", "replace")
        value = values.get(part.name, part.written)
        if value is None:
            return "null" if part.depth == 0 and self.line.startswith(("{", "[")) else "0"
        if isinstance(value, bytes):
            # A group of a ping: it was part of a message, where it was escaped already.
            return value.decode("utf-8", "replace")
        text = str(value)
        if part.name in values:
            for _ in range(part.depth):
                text = in_json_string(text)
        return text

    def _bytes(self, part: Slot | str | bytes, values: Mapping[str, Value]) -> bytes:
        value = values.get(part.name, part.written) if isinstance(part, Slot) else part
        if value is None:
            return b"0"
        return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@dataclass(frozen=True)
class Template:
    """The messages of a template, in their order."""

    lines: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Template:
        """Parse a template; empty lines are ignored."""
        return cls(tuple(line.strip() for line in text.split("\n") if line.strip()))

    @cached_property
    def templates(self) -> tuple[MessageTemplate, ...]:
        """The lines, parsed."""
        return tuple(map(MessageTemplate, self.lines))

    @property
    def names(self) -> frozenset[str]:
        """The names of the values that the messages take."""
        return frozenset(name for template in self.templates for name in template.names)

    def messages(self, **values: Value) -> list[str | bytes]:
        """Return the messages with these values put in: str for text frames, bytes for binary ones."""
        return [template.message(values) for template in self.templates]


def string_depths(text: str) -> dict[int, int]:
    """Return the number of JSON strings around each name in braces of a text message, by the name's position."""
    return {match.start(): depth for match, _, depth in _located(text, _IN_TEXT) if match["name"]}


def _parts(text: str, *, is_binary: bool) -> Iterator[Slot | str | bytes]:
    """Return the parts of a line: constant text or bytes, and slots."""
    found = list(_located(text, _IN_BINARY if is_binary else _IN_TEXT))
    # Braces are written double in some strings and single in others, so each string is looked at by itself.
    doubled = {string for match, string, _ in found if match["open"]}
    end = 0
    for match, string, depth in found:
        yield text[end : match.start()]
        end = match.end()
        if match["hex"] and is_binary:
            yield bytes([int(match["hex"], 16)])
        elif (match["hex"] or match["escape"]) and (is_binary or depth == 0):
            yield _ESCAPED[match["escape"]] if match["escape"] else chr(int(match["hex"], 16))
        elif match["name"] or match["group"]:
            yield Slot(match["name"] or match["group"], match[0], depth)
        else:
            yield _BRACES.get(match[0], match[0]) if string in doubled else match[0]
    yield text[end:]


def _located(text: str, pattern: re.Pattern[str]) -> Iterator[tuple[re.Match[str], int, int]]:
    """Return each part that is not constant, the number of its outermost JSON string (0: outside), and its depth."""
    strings = depth = 0
    is_nested = False
    for match in pattern.finditer(text):
        yield match, strings if depth else 0, depth
        if match["quote"] is None:
            continue
        after = _depth_after(len(match["quote"]) - 1, depth)
        if depth == 0:
            strings += 1
            is_nested = _NESTED.match(text, match.end()) is not None
        if after <= depth or depth == 0 or is_nested:
            depth = after


def _depth_after(backslashes: int, depth: int) -> int:
    """Return the depth after a quote with this number of backslashes before it: it ends a string, or begins one."""
    for level in range(depth):
        if backslashes % 2 == 0:
            return level
        # Each pair is one backslash of the inner text, and the odd one belongs to the quote.
        backslashes //= 2
    return depth + 1


def in_json_string(text: str) -> str:
    """Return a text as it is written inside a JSON string."""
    try:
        text.encode()
    except UnicodeEncodeError:
        # Half a surrogate pair is not UTF-8, and has an escape in JSON.
        return json.dumps(text)[1:-1]
    return json.dumps(text, ensure_ascii=False)[1:-1]


@dataclass(frozen=True)
class PingPolicy:
    r"""How a feed's own pings are answered, and which frames are not records.

    Attributes:
        ping: matches the feed's pings, None for a feed without pings.
        pong: the answer, in which ``\1`` is the first group of the ping.
        ignore: matches frames that are neither records nor pings, such as acknowledgements.
    """

    ping: re.Pattern[bytes] | None = None
    pong: str = ""
    ignore: re.Pattern[bytes] | None = None

    @cached_property
    def _answer(self) -> MessageTemplate:
        return MessageTemplate(self.pong)

    def answer(self, frame: bytes) -> str | bytes | None:
        """Return the answer to a ping, empty if it takes none; None when the frame is no ping."""
        match = self.ping.search(frame) if self.ping is not None else None
        if match is None:
            return None
        # An unmatched group is empty, as in the usual notation of replacements.
        groups: dict[str, Value] = dict.fromkeys("0123456789", b"")
        groups |= {str(number): part or b"" for number, part in enumerate((match[0], *match.groups()))}
        return self._answer.message(groups)

    def ignores(self, frame: bytes) -> bool:
        """Return whether a frame is not a record."""
        return self.ignore is not None and self.ignore.search(frame) is not None
