"""Tests of errors that several services have in common."""

from __future__ import annotations

from services.local.repeated_errors import RepeatedErrors


def test_an_error_of_several_services_is_shown_once() -> None:
    """An error is shown of the service that has it first, with its indented lines, each time; other lines of all."""
    shown: list[str] = []
    errors = RepeatedErrors()
    one, other = (errors.once(name, shown.append) for name in ("client-1", "client-2"))

    for accept in (one, other, one):
        for line in ("error: FEED: no", "  a hint", '{"event":"start"}'):
            accept(line)
    other("error: another")

    block = ["error: FEED: no", "  a hint", '{"event":"start"}']
    assert [*block, '{"event":"start"}', *block, "error: another"] == shown
