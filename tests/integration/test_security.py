"""A selection of `make security` finds no wrong answer."""

from __future__ import annotations

from tests.integration.processes import Process


def test_every_answer_is_right() -> None:
    """Thousands of wrong requests, frames and files are answered rightly beside honest clients, whose run passes."""
    with Process("chaos.security", "--part") as tried:
        assert 0 == tried.wait(150), tried.text
        assert ", 0 wrong, " in tried.lines[-1]
