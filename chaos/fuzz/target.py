"""A decoder that is fuzzed, and what is wrong with how it took an input."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Target(NamedTuple):
    """A decoder.

    Attributes:
        name: of the target, and of its folder in the corpus.
        decode: is given an input of any bytes.
        declared: the errors that it raises by its contract.
    """

    name: str
    decode: Callable[[bytes], object]
    declared: tuple[type[Exception], ...] = ()


class Finding(NamedTuple):
    """An input that a decoder did not take as it should.

    Attributes:
        target: name of the decoder.
        what: the error that it raised, or the time or memory that it took.
        place: the line of ``services/`` that raised the error; equal for findings of one cause.
        data: the input.
    """

    target: str
    what: str
    place: str
    data: bytes
