r"""What is said to a foreign server: greeting, resumption, answers, all from the operator's templates. Pure.

A template has a message a line. One that begins with ``binary:`` is sent as a binary frame, and ``\r``, ``\n``,
``\t``, ``\\`` and ``\x00`` mean bytes there. ``{client}``, ``{seq}``, ``{next}`` and ``{key}`` stand for what is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_BINARY = "binary:"
_ESCAPE = re.compile(r"\\(?:(r|n|t|\\)|x([0-9a-fA-F]{2}))")
_MEANT = {"r": "\r", "n": "\n", "t": "\t", "\\": "\\"}


@dataclass(frozen=True)
class Template:
    """The messages of a template, in their order."""

    lines: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Template:
        """Read a template; empty lines are none."""
        return cls(tuple(line.strip() for line in text.splitlines() if line.strip()))

    @property
    def names_key(self) -> bool:
        """Whether it is said for every key."""
        return any("{key}" in line for line in self.lines)

    def said(self, **known: str | int) -> list[str | bytes]:
        """Return the messages with what is known put in: text for text frames, bytes for binary ones."""
        return [_message(line, known) for line in self.lines]


def resumption(template: Template, client: str, last: Iterable[tuple[str | None, int]]) -> list[str | bytes]:
    """Return what is said on coming back, for each key with its last seq where the template names one."""
    ends = list(last)
    if template.names_key:
        return [said for key, seq in ends for said in template.said(client=client, key=key or "", **_from(seq))]
    return template.said(client=client, **_from(max((seq for _, seq in ends), default=0)))


def _from(last: int) -> dict[str, int]:
    # Some feeds want to be told what one has, others what one wants.
    return {"seq": last, "next": last + 1}


@dataclass(frozen=True)
class PingPolicy:
    r"""How a feed's own pings are answered, and which frames are none of its records.

    Attributes:
        ping: what a ping looks like, None for a feed without.
        pong: the answer, in which ``\1`` is the first group of the ping.
        ignore: frames that are neither records nor pings, such as acknowledgements.
    """

    ping: re.Pattern[bytes] | None = None
    pong: str = ""
    ignore: re.Pattern[bytes] | None = None

    def answer(self, frame: bytes) -> str | bytes | None:
        """Return the answer to a ping, empty for one that wants none; None when the frame is no ping."""
        found = self.ping.search(frame) if self.ping is not None else None
        if found is None:
            return None
        groups = [part.decode("utf-8", "replace") if part is not None else "" for part in (found[0], *found.groups())]
        text = re.sub(
            r"\\([0-9])", lambda place: groups[int(place[1])] if int(place[1]) < len(groups) else "", self.pong
        )
        return _message(text, {})

    def passes_over(self, frame: bytes) -> bool:
        """Tell whether a frame is none of the feed's records."""
        return self.ignore is not None and self.ignore.search(frame) is not None


def _message(line: str, known: dict[str, str | int]) -> str | bytes:
    for name, value in known.items():
        line = line.replace(f"{{{name}}}", str(value))
    if not line.startswith(_BINARY):
        return line
    plain = _ESCAPE.sub(lambda found: _MEANT[found[1]] if found[1] else chr(int(found[2], 16)), line[len(_BINARY) :])
    # What was escaped is a byte, what was not is text.
    return b"".join(one.encode("latin-1") if ord(one) < 256 else one.encode() for one in plain)
