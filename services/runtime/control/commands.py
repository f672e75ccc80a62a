"""Commands of the control console: parsing the typed text, and formatting the replies. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from services.contract import wire

COMMANDS = {
    "rate N": "from the next record on, N records a second; 0 = as fast as the clients receive",
    "pause": "suspend the schedule: no record is due until …",
    "resume": "… the schedule continues where it was suspended",
    "drop CLIENT": "cut a client's connection; it reconnects and resumes",
    "status": "the state of the run; the only command that is not recorded in the ledger",
}

NOT_CONTROLLABLE = "not available: the feed is an external one"
"""Why the run of an external feed cannot be controlled."""

_MAX_NAMES = 10


class NotACommand(Exception):
    """The typed text is not a command; the message has the expected form."""


class ControlRefused(Exception):
    """The server refused the request. ``code`` is that of the wire's error frame; the text is one sentence."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class ServerUnreachable(Exception):
    """The server cannot be reached, or has not replied in time."""


def parse(words: Sequence[str], via: str) -> list[wire.Control]:
    """Return the control requests in a command line, in order.

    Args:
        words: the typed words, such as ``rate 500 resume status``; each element may contain several.
        via: the program that the operator uses, for the ledger.

    Raises:
        NotACommand: a word is not a command, or its argument is missing or invalid.
    """
    left, requests = [word for text in words for word in text.split()], []
    while left:
        verb = left.pop(0)
        if verb not in ("rate", "drop", "pause", "resume", "status"):
            raise NotACommand(f"{verb!r} is no command; there are: {', '.join(COMMANDS)}")
        if verb in ("rate", "drop") and not left:
            raise NotACommand(f"{verb} needs {'a number: rate 500' if verb == 'rate' else 'a client: drop client-2'}")
        requests.append(_request(verb, left.pop(0) if verb in ("rate", "drop") else "", via))
    return requests


def _request(verb: str, argument: str, via: str) -> wire.Control:
    fields: dict[str, object] = {"type": "control", "via": via}
    if verb == "rate":
        fields["set"] = {"rate": _number(argument)}
    else:
        fields |= {"do": verb, "client": argument or None}
    try:
        return msgspec.convert(fields, wire.Control)
    except (msgspec.ValidationError, UnicodeEncodeError):  # a terminal's input may be any bytes
        expected = "0 or a number from 0.000001 to 10,000,000" if verb == "rate" else "the name of a client"
        raise NotACommand(f"{verb} {argument!r}: expected {expected}") from None


def _number(text: str) -> float | str:
    try:
        value = float(text)
    except ValueError:
        return text
    # 500.0 is shown and recorded as 500.
    return int(value) if value.is_integer() else value


def status_text(reply: wire.Controlled, total: int) -> str:
    """Return the state of a run of ``total`` records as one line."""
    rate = reply.rate
    speed = "" if rate is None else "as fast as the clients receive" if rate == 0 else f"{rate:,g} records/s"
    joint = {"running": " at " if rate else " ", "waiting": ", then "}.get(reply.state)
    head = f"{reply.head:,} of {total:,} due"
    return f"{reply.run} {reply.state}{joint + speed if joint else ''}: {head}; {_client_names(reply.clients)}"


def _client_names(clients: Iterable[str]) -> str:
    names = list(clients)
    if not names:
        return "no client"
    more = f" and {len(names) - _MAX_NAMES:,} more" if len(names) > _MAX_NAMES else ""
    return f"{len(names):,} client{'s' * (len(names) > 1)}: {', '.join(names[:_MAX_NAMES])}{more}"
