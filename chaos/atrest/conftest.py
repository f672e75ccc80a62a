"""The fixture of the tests at rest that counts their cases into the tally."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from chaos.tally import Tally

Count = Callable[..., None]
"""``count(kind)`` or ``count(kind, cases)``."""


@pytest.fixture
def count(request: pytest.FixtureRequest, tally: Tally) -> Iterator[Count]:
    """Count cases by kind of damage; adds them to the tally, and to the module's ``CASES`` if it has one."""
    seen: Counter[str] = Counter()

    def count_case(kind: str, cases: int = 1) -> None:
        seen[kind] += cases

    failed = request.session.testsfailed
    yield count_case
    # A test ends at its first case that is not classified as expected, so at most one is undetected.
    undetected = int(request.session.testsfailed > failed)
    for kind, cases in seen.items():
        tally.add_fault(kind, request.node.name)
        tally.add_checks(cases)
    tally.add_checks(0, undetected=undetected)
    if (total := getattr(request.module, "CASES", None)) is not None:
        total.update(seen)
