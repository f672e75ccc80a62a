"""What the tests at rest share: their cases, counted into the tally."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from chaos.tally import Tally

Count = Callable[..., None]
"""``count(kind)`` or ``count(kind, cases)``."""


@pytest.fixture
def count(request: pytest.FixtureRequest, tally: Tally) -> Iterator[Count]:
    """Count cases by kind of damage; they go into the tally, and into the module's ``CASES`` where it has them."""
    seen: Counter[str] = Counter()

    def count_case(kind: str, cases: int = 1) -> None:
        seen[kind] += cases

    failed = request.session.testsfailed
    yield count_case
    # The first case that does not get its class ends its test.
    undetected = int(request.session.testsfailed > failed)
    for kind, cases in seen.items():
        tally.fault(kind, request.node.name)
        tally.held(cases)
    tally.held(0, undetected=undetected)
    if (total := getattr(request.module, "CASES", None)) is not None:
        total.update(seen)
