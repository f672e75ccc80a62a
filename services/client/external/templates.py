r"""Makes the messages to an external server (hello, resume, pong) from the operator's templates. Pure.

A template has one message a line. A line that begins with ``binary:`` is sent as a binary frame, in which ``\r``,
``\n``, ``\t``, ``\\`` and ``\x00`` mean bytes; other characters are sent as UTF-8. ``{client}``, ``{seq}``, ``{next}``
and ``{key}`` are replaced.

Keys and pings are chosen by the server. So escapes and names in braces count in the operator's text only: an inserted
value is sent as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_BINARY = "binary:"
# A value is found by the name in the braces, or for an answer to a ping by the number of its group.
_VALUE = r"\{(?P<name>client|seq|next|key)\}|\\(?P<group>[0-9])"
_IN_TEXT = re.compile(_VALUE)
_IN_BINARY = re.compile((_VALUE + r"|\\(?P<escape>[rnt\\])|\\x(?P<hex>[0-9a-fA-F]{2})").encode())
_ESCAPED = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"\\": b"\\"}


@dataclass(frozen=True)
class Template:
    """The messages of a template, in their order."""

    lines: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Template:
        """Parse a template; empty lines are ignored."""
        return cls(tuple(line.strip() for line in text.splitlines() if line.strip()))

    @property
    def names_key(self) -> bool:
        """Whether the template is sent once for every key."""
        return any("{key}" in line for line in self.lines)

    def messages(self, **values: str | int) -> list[str | bytes]:
        """Return the messages with these values put in: str for text frames, bytes for binary ones."""
        return [_message(line, values) for line in self.lines]


def resumption(template: Template, client: str, last: Iterable[tuple[str | None, int]]) -> list[str | bytes]:
    """Return the messages that resume a feed after a reconnect, for each key if the template names one.

    Args:
        template: with ``{seq}``, ``{next}`` and ``{key}``.
        client: name of the client.
        last: key and last number of each sequence.
    """
    ends = list(last)
    if template.names_key:
        return [
            message
            for key, seq in ends
            for message in template.messages(client=client, key=key or "", **_position(seq))
        ]
    return template.messages(client=client, **_position(max((seq for _, seq in ends), default=0)))


def _position(last: int) -> dict[str, int]:
    # Some feeds expect the last number received, others the next number wanted.
    return {"seq": last, "next": last + 1}


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

    def answer(self, frame: bytes) -> str | bytes | None:
        """Return the answer to a ping, empty if it takes none; None when the frame is no ping."""
        match = self.ping.search(frame) if self.ping is not None else None
        if match is None:
            return None
        # An unmatched group is empty, as in the usual notation of replacements.
        groups = dict.fromkeys("0123456789", b"")
        groups |= {str(number): part or b"" for number, part in enumerate((match[0], *match.groups()))}
        return _message(self.pong, groups)

    def ignores(self, frame: bytes) -> bool:
        """Return whether a frame is not a record."""
        return self.ignore is not None and self.ignore.search(frame) is not None


def _message(line: str, values: Mapping[str, str | int | bytes]) -> str | bytes:
    """Return the message of a line; a name or number without a value stays as it is."""
    if not line.startswith(_BINARY):
        return _IN_TEXT.sub(lambda found: _text(values.get(found["name"] or found["group"], found[0])), line)
    # Encoded first: an escape may mean a byte that is not UTF-8.
    return _IN_BINARY.sub(lambda found: _bytes(found, values), line[len(_BINARY) :].encode())


def _text(value: str | int | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _bytes(found: re.Match[bytes], values: Mapping[str, str | int | bytes]) -> bytes:
    if found["hex"]:
        return bytes([int(found["hex"], 16)])
    if found["escape"]:
        return _ESCAPED[found["escape"]]
    value = values.get((found["name"] or found["group"]).decode(), found[0])
    return value if isinstance(value, bytes) else str(value).encode()
