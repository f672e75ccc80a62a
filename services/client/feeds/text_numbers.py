"""Finds sequence numbers in texts that no path leads into, such as CSV, FIX or ``evt-000017``. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from services.client.feeds.embedded_json import common_beginning, escaped
from services.client.feeds.numbering import find_numbering

_MAX_PLACES = 24
"""Runs of digits of one text that are tried."""
_MAX_CONTEXT = 40
_MIN_SHARE = 0.9
_DIGITS = re.compile(r"[0-9]+")


class TextNumbers(NamedTuple):
    """Numbers in texts.

    Attributes:
        pattern: regular expression whose one group is the number.
        step: by how much it rises.
        example: the number of the first text, as it is written there.
    """

    pattern: str
    step: int
    example: str


def find_text_numbers(texts: Sequence[str]) -> TextNumbers | None:
    """Return the digits that rise by the same step from text to text; None if there are none, or no words tell them."""
    found = [list(_DIGITS.finditer(text))[:_MAX_PLACES] for text in texts]
    places: dict[str, dict[int, str | int | float | bool | None]] = {}
    for index, matches in enumerate(found):
        for place, match in enumerate(matches):
            places.setdefault(str(place), {})[index] = match[0]
    numbering = find_numbering(places)
    if numbering is None or numbering.kind != "one" or numbering.key or numbering.numbered < _MIN_SHARE * len(texts):
        return None
    place = int(numbering.number)
    numbered = [(text, matches[place]) for text, matches in zip(texts, found, strict=True) if len(matches) > place]
    pattern = _pattern(numbered)
    return None if pattern is None else TextNumbers(pattern, numbering.step, numbered[0][1][0])


def _pattern(numbered: Sequence[tuple[str, re.Match[str]]]) -> str | None:
    """Return the shortest pattern that begins at a word and finds exactly these digits in every text."""
    zeros = "0*" if any(len(digits[0]) > 1 and digits[0].startswith("0") for _, digits in numbered) else ""
    contexts = [text[: digits.start()] for text, digits in numbered]
    common = common_beginning([before[-_MAX_CONTEXT:][::-1] for before in contexts])[::-1]
    # From a delimiter on, so that `34=` is not found in `134=`; a text that is the same in all messages begins them.
    whole = "^" if len({*contexts}) == 1 and len(common) == len(contexts[0]) else ""
    candidates = [
        f"{whole if at == 0 else ''}{escaped(common[at:])}"
        for at in range(len(common) - 1, -1, -1)
        if re.search(r"[^\W_]", common[at:]) and (at == 0 or not common[at].isalnum())
    ]
    for before in candidates:
        pattern = f"{before}{zeros}([0-9]+)"
        found = [re.search(pattern, text) for text, _ in numbered]
        if all(
            match is not None and match.end() == digits.end()
            for match, (_, digits) in zip(found, numbered, strict=True)
        ):
            return pattern
    return None
