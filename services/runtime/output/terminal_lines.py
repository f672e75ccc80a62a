"""The log of a service as people read it on a terminal: a short line of text for each event. Pure.

Where the output is not a terminal, the services' JSON lines are shown as they are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

_ENVELOPE = frozenset({"level", "event", "service", "client", "at"})
"""Fields that the prefix or the text of a line already says, and the time, which the display below the lines shows."""
_TITLES = {"run": "run", "first": "from record", "total": "records", "rate": "records/s", "block_size": "block size"}
"""Names of fields that are abbreviations or need a unit."""
_PORT = "port"
_BEFORE_LISTENING = "run opened"
_HIDDEN = frozenset({"client", "stopped"})
"""Events that need no line: the next event of the client repeats what matters of the first, and the end is visible."""


class TerminalLines:
    """The lines of one service.

    Args:
        show: called with each line to be shown.
    """

    def __init__(self, show: Callable[[str], object]) -> None:
        self._show = show
        self._block_size: object = None
        self._is_listening = False

    def accept(self, line: str) -> None:
        """Show a line of the service's output; tracebacks and errors in plain text are shown unchanged."""
        fields = _fields(line)
        if fields is None:
            self._show(line)
            return
        event, level = str(fields["event"]), str(fields.get("level", "INFO"))
        if level != "INFO":
            traceback = str(fields.pop("exc_info", ""))
            self._show(f"{level.lower()}: {_text(event, fields)}")
            for row in traceback.splitlines():
                self._show(f"  {_printable(row)}")
            return
        if event == "client":
            self._block_size = fields.get("block_size")
        if event in _HIDDEN or (event == _BEFORE_LISTENING and not self._is_listening) or _is_first_rate(fields):
            return
        if event == "listening":
            self._is_listening = True
        if self._block_size is not None:
            fields = {**fields, "block_size": self._block_size}
            self._block_size = None
        self._show(_text(event, fields))


def _fields(line: str) -> dict[str, object] | None:
    try:
        fields = json.loads(line) if line.startswith("{") else None
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) and isinstance(fields.get("event"), str) else None


def _is_first_rate(fields: Mapping[str, object]) -> bool:
    """Return whether the event is the rate at which a run starts, which the settings say."""
    return fields["event"] == "rate set" and fields.get("first") == 1


def _text(event: str, fields: Mapping[str, object]) -> str:
    hidden = _ENVELOPE
    if {"host", "port"} <= fields.keys():
        hosts = fields["host"] if isinstance(fields["host"], list) else [fields["host"]]
        event = f"{event} on {', '.join(f'{host}:{fields[_PORT]}' for host in hosts)}"
        hidden |= {"host", _PORT}
    # A zero is the ordinary case: nothing is received again.
    details = [
        f"{_TITLES.get(name, name)} {_value(value)}"
        for name, value in fields.items()
        if name not in hidden and value != 0
    ]
    return " · ".join([event, *details])


def _value(value: object) -> str:
    return _printable(value) if isinstance(value, str) else json.dumps(value)


def _printable(text: str) -> str:
    # JSON with escapes shows what would control the terminal, such as ESC in the reason of a peer.
    return text if text.isprintable() else json.dumps(text)
