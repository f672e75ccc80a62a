"""An operator's wishes in words: commands as they are typed, answers as they are read. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from services.contract import wire

COMMANDS = {
    "rate N": "from the next record on, N records a second; 0 = as fast as clients take them",
    "pause": "nothing is due any more, until …",
    "resume": "… the schedule goes on where it stood",
    "drop CLIENT": "cut a client's connection; it comes back and resumes",
    "status": "how the run stands; this alone is not entered in the ledger",
}

NOT_OURS = "not available: the feed is not ours"
"""Why a run of a foreign feed cannot be controlled."""

_MOST_NAMES = 10


class NotACommand(Exception):
    """What was typed is no command; the text says what was expected."""


class ControlRefused(Exception):
    """The server does not grant the wish: ``code`` as on the wire, and one sentence."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class ServerUnreachable(Exception):
    """The server cannot be asked, or has not answered in time."""


def parse(words: Sequence[str], via: str) -> list[wire.Control]:
    """Return the wishes that a command line says, one after the other.

    Args:
        words: as typed, such as ``rate 500 resume status``.
        via: what the operator uses, for the ledger.

    Raises:
        NoWish: a word is no command, or lacks what has to follow it.
    """
    left, wishes = [word for text in words for word in text.split()], []
    while left:
        word = left.pop(0)
        if word not in ("rate", "drop", "pause", "resume", "status"):
            raise NotACommand(f"{word!r} is no command; there are: {', '.join(COMMANDS)}")
        if word in ("rate", "drop") and not left:
            raise NotACommand(f"{word} needs {'a number: rate 500' if word == 'rate' else 'a client: drop client-2'}")
        wishes.append(_wish(word, left.pop(0) if word in ("rate", "drop") else "", via))
    return wishes


def _wish(verb: str, object_: str, via: str) -> wire.Control:
    said: dict[str, object] = {"type": "control", "via": via}
    if verb == "rate":
        said["set"] = {"rate": _number(object_)}
    else:
        said |= {"do": verb, "client": object_ or None}
    try:
        return msgspec.convert(said, wire.Control)
    except msgspec.ValidationError:
        expected = "0 or a number from 0.000001 to 10,000,000" if verb == "rate" else "the name of a client"
        raise NotACommand(f"{verb} {object_!r}: expected {expected}") from None


def _number(text: str) -> float | str:
    try:
        value = float(text)
    except ValueError:
        return text
    return int(value) if value.is_integer() else value


def standing(said: wire.Controlled, total: int) -> str:
    """Return in one line how a run of ``total`` records stands."""
    rate = said.rate
    pace = "" if rate is None else "as fast as clients take them" if rate == 0 else f"{rate:,g} records/s"
    joint = {"running": " at " if rate else " ", "waiting": ", then "}.get(said.state)
    head = f"{said.head:,} of {total:,} due"
    return f"{said.run} {said.state}{joint + pace if joint else ''}: {head}; {_who(said.clients)}"


def _who(clients: Iterable[str]) -> str:
    names = list(clients)
    if not names:
        return "no client"
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return f"{len(names):,} client{'s' * (len(names) > 1)}: {', '.join(names[:_MOST_NAMES])}{more}"
