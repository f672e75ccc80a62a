"""Conditions by which an external feed has ended, as ``FEED_END`` describes them. Pure.

Without any the end of a connection is never the end of the feed: a connection that was cut looks the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from services.client.external.record_values import MAX_NUMBER

_KINDS = {
    "close": "close", "code": "close", "message": "message", "match": "message",
    "messages": "messages", "count": "messages", "last": "last", "seq": "last",
}  # fmt: skip
_CONDITION = re.compile(r"([A-Za-z]+)(?:\s*[:=]\s*|\s+)(.+)")
_EXPECTED = "one condition a line, each like close 1000, message REGEX, messages 500 or last 99"
_CODES = range(1000, 5000)


@dataclass(frozen=True)
class EndConditions:
    """Conditions that each end a client's run.

    Attributes:
        text: all conditions, one a line, as the log states them.
        codes: close codes.
        messages: patterns that are searched in every message.
        count: number of records after which the feed has ended.
        last: number of the last record; a higher one ends the run as well.
    """

    text: str = ""
    codes: frozenset[int] = frozenset()
    messages: tuple[re.Pattern[bytes], ...] = ()
    count: int | None = None
    last: int | None = None

    @classmethod
    def of(cls, text: str) -> EndConditions:
        """Parse conditions, one a line.

        Raises:
            ValueError: with a description of the expected text.
        """
        shown: list[str] = []
        codes: set[int] = set()
        messages: list[re.Pattern[bytes]] = []
        numbers: dict[str, list[int]] = {"messages": [], "last": []}
        for line in filter(None, map(str.strip, text.splitlines())):
            match = _CONDITION.fullmatch(line)
            kind = _KINDS.get(match[1].lower()) if match is not None else None
            if match is None or kind is None:
                raise ValueError(f"{_EXPECTED}; not {line!r}")
            shown.append(f"{kind} {match[2]}")
            if kind == "close":
                codes |= {_whole(code.strip(), _CODES[0], _CODES[-1], "a close code") for code in match[2].split(",")}
            elif kind == "message":
                messages.append(_pattern(match[2]))
            else:
                least = 1 if kind == "messages" else 0
                numbers[kind].append(_whole(match[2], least, MAX_NUMBER, f"a number after {kind}"))
        return cls(
            "\n".join(shown),
            frozenset(codes),
            tuple(messages),
            # Of several numbers the lowest one is reached first.
            min(numbers["messages"], default=None),
            min(numbers["last"], default=None),
        )

    def by_close(self, code: int) -> str | None:
        """Return the condition that a close code meets, None when it meets none."""
        return f"close {code}" if code in self.codes else None

    def by_message(self, message: bytes) -> str | None:
        """Return the condition that a message meets by its text, None when it meets none."""
        pattern = next((pattern for pattern in self.messages if pattern.search(message)), None)
        return f"message {pattern.pattern.decode()}" if pattern is not None else None

    def by_records(self, logged: int, highest: int | None) -> str | None:
        """Return the condition that the records of a message meet, None when they meet none.

        Args:
            logged: number of records that this session has logged, including those of the message.
            highest: the highest sequence number in the message, None without one.
        """
        if self.count is not None and logged >= self.count:
            return f"messages {self.count}"
        if self.last is not None and highest is not None and highest >= self.last:
            return f"last {self.last}"
        return None


NEVER = EndConditions()


def _whole(text: str, least: int, most: int, what: str) -> int:
    if not re.fullmatch(r"[0-9]{1,20}", text) or not least <= int(text) <= most:
        raise ValueError(f"{what}, a whole number from {least} to {most}; not {text!r}")
    return int(text)


def _pattern(text: str) -> re.Pattern[bytes]:
    try:
        return re.compile(text.encode(), re.DOTALL)
    except re.error as problem:
        raise ValueError(f"a regular expression after message: {problem}") from problem
