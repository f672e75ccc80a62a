"""A setting that the messages of a feed suggest. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Proposal(NamedTuple):
    """A setting that the data suggest.

    Attributes:
        key: its key in a profile.
        text: its value.
        why: one sentence.
    """

    key: str
    text: str
    why: str
