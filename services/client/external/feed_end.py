"""How an external feed says that it is over, as ``FEED_END`` describes it. Pure.

Without it the end of a connection is never the end of the feed: a feed that was cut off looks the same.
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
    """The conditions of which any one ends a client's run; without any, none does.

    Attributes:
        text: all of them, one a line, as the log tells them.
        codes: close codes.
        messages: each is searched in every message.
        count: so many records were logged.
        last: a record with this number, or a higher one, was logged.
    """

    text: str = ""
    codes: frozenset[int] = frozenset()
    messages: tuple[re.Pattern[bytes], ...] = ()
    count: int | None = None
    last: int | None = None

    @classmethod
    def of(cls, text: str) -> EndConditions:
        """Read conditions.

        Raises:
            ValueError: saying what is expected.
        """
        told: list[str] = []
        codes: set[int] = set()
        messages: list[re.Pattern[bytes]] = []
        numbers: dict[str, list[int]] = {"messages": [], "last": []}
        for line in filter(None, map(str.strip, text.splitlines())):
            found = _CONDITION.fullmatch(line)
            kind = _KINDS.get(found[1].lower()) if found is not None else None
            if found is None or kind is None:
                raise ValueError(f"{_EXPECTED}; not {line!r}")
            told.append(f"{kind} {found[2]}")
            if kind == "close":
                codes |= {_whole(code.strip(), _CODES[0], _CODES[-1], "a close code") for code in found[2].split(",")}
            elif kind == "message":
                messages.append(_pattern(found[2]))
            else:
                least = 1 if kind == "messages" else 0
                numbers[kind].append(_whole(found[2], least, MAX_NUMBER, f"a number after {kind}"))
        return cls(
            "\n".join(told),
            frozenset(codes),
            tuple(messages),
            min(numbers["messages"], default=None),
            min(numbers["last"], default=None),
        )

    def by_close(self, code: int) -> str | None:
        """Return the condition that a close code meets, None when it meets none."""
        return f"close {code}" if code in self.codes else None

    def by_message(self, message: bytes) -> str | None:
        """Return the condition that a message meets by its text."""
        met = next((one for one in self.messages if one.search(message)), None)
        return f"message {met.pattern.decode()}" if met is not None else None

    def by_records(self, logged: int, highest: int | None) -> str | None:
        """Return the condition that is met by the records of a message.

        Args:
            logged: how many records the client has logged in this session, those included.
            highest: the highest number among those, None when none has one.
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
