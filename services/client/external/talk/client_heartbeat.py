"""The messages that a client sends at regular times, because the server hangs up on clients that are silent. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from services.client.external.templates import Template
from services.contract.json_path import JsonPath

DEFAULT_SECONDS = 15.0
"""Servers that ask for heartbeats usually wait for 20 s to 60 s."""
MIN_SECONDS, MAX_SECONDS = 0.1, 86_400.0
_UNITS = {"s": 1.0, "ms": 0.001}
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_EXPECTED = f"a number of seconds from {MIN_SECONDS:g} to {MAX_SECONDS:g}, or a path and s or ms: $.interval ms"
_decoder = json.JSONDecoder()


@dataclass(frozen=True)
class BeatInterval:
    """How often a heartbeat is sent.

    Attributes:
        seconds: the time between two, or None where the server says it.
        path: where a message has it, None with ``seconds``.
        factor: seconds of one unit there.
    """

    seconds: float | None = DEFAULT_SECONDS
    path: JsonPath | None = None
    factor: float = 1.0

    @classmethod
    def of(cls, text: str) -> BeatInterval:
        """Parse a number of seconds, or a path and its unit.

        Raises:
            ValueError: with the expected form.
        """
        if _NUMBER.fullmatch(text):
            if not MIN_SECONDS <= float(text) <= MAX_SECONDS:
                raise ValueError(_EXPECTED)
            return cls(float(text))
        place, _, unit = text.rpartition(" ")
        if unit not in _UNITS or not place.startswith("$"):
            raise ValueError(_EXPECTED)
        return cls(None, JsonPath(place.strip()), _UNITS[unit])

    def found_in(self, message: bytes) -> float | None:
        """Return the seconds that a message names, None when it names none."""
        if self.path is None:
            return None
        # Other characters may stand around the JSON text, such as the packet type of Engine.IO.
        begin = re.search(rb"[{\[]", message)
        if begin is None:
            return None
        try:
            value: Any = self.path.find(_decoder.raw_decode(message[begin.start() :].decode())[0])
        except (ValueError, RecursionError):
            return None
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value * self.factor <= MAX_SECONDS:
            return None
        return max(float(value * self.factor), MIN_SECONDS)


@dataclass(frozen=True)
class ClientHeartbeat:
    """The messages of a heartbeat, and how often they are sent."""

    template: Template
    interval: BeatInterval = BeatInterval()
