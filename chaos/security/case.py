"""A case of ``make security``, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Case(NamedTuple):
    """Something that is tried.

    Attributes:
        threat: number in the table of threats, such as T8.
        name: what is tried.
        expected: the answers that are right.
        attempt: tries it, given the port of the server, and returns the answer.
    """

    threat: str
    name: str
    expected: tuple[str, ...]
    attempt: Callable[[int], str]


class CaseResult(NamedTuple):
    """What came of a case.

    Attributes:
        threat: number in the table of threats.
        name: what was tried.
        expected: the right answer.
        answer: the answer that was given.
    """

    threat: str
    name: str
    expected: str
    answer: str

    @property
    def is_right(self) -> bool:
        """Whether the answer is a right one."""
        return self.answer in self.expected.split(" or ")


def run(case: Case, port: int) -> CaseResult:
    """Try a case against the server at a port."""
    try:
        answer = case.attempt(port)
    except OSError as problem:
        answer = f"{type(problem).__name__}: {problem}"
    return CaseResult(case.threat, case.name, " or ".join(case.expected), answer)
