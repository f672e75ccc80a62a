r"""Makes the messages to an external server (hello, resume, pong) from the operator's templates. Pure.

A template has one message a line. A line that begins with ``binary:`` is sent as a binary frame, in which ``\r``,
``\n``, ``\t``, ``\\`` and ``\x00`` mean bytes; other characters are sent as UTF-8. ``{client}``, ``{seq}``, ``{next}``
and ``{key}`` are replaced.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_BINARY = "binary:"
_ESCAPE = re.compile(rb"\\(?:(r|n|t|\\)|x([0-9a-fA-F]{2}))")
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
        groups = [part.decode("utf-8", "replace") if part is not None else "" for part in (match[0], *match.groups())]
        text = re.sub(
            r"\\([0-9])", lambda digit: groups[int(digit[1])] if int(digit[1]) < len(groups) else "", self.pong
        )
        return _message(text, {})

    def ignores(self, frame: bytes) -> bool:
        """Return whether a frame is not a record."""
        return self.ignore is not None and self.ignore.search(frame) is not None


def _message(line: str, values: dict[str, str | int]) -> str | bytes:
    for name, value in values.items():
        line = line.replace(f"{{{name}}}", str(value))
    if not line.startswith(_BINARY):
        return line
    # Encoded first: an escape may mean a byte that is not UTF-8.
    data = line[len(_BINARY) :].encode()
    return _ESCAPE.sub(lambda match: _ESCAPED[match[1]] if match[1] else bytes([int(match[2], 16)]), data)
