"""Modules and functions stay small: whoever reads one sees all of it."""

from __future__ import annotations

import pytest

from tests.repo.repository import functions, modules, relative

MODULE_BUDGET, MODULE_LIMIT = 250, 400
FUNCTION_BUDGET, FUNCTION_LIMIT = 40, 60


def module_lines() -> dict[str, int]:
    """Return the lines of every module of the services, docstrings included."""
    return {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in modules("services")}


def function_lines() -> dict[str, int]:
    """Return the lines of every function of the services, their docstrings aside."""
    return {
        f"{relative(path)}:{function.name}": function.lines
        for path in modules("services")
        for function in functions(path)
    }


@pytest.mark.parametrize(
    ("what", "lines", "budget", "limit"),
    [
        ("module", module_lines(), MODULE_BUDGET, MODULE_LIMIT),
        ("function", function_lines(), FUNCTION_BUDGET, FUNCTION_LIMIT),
    ],
    ids=["modules", "functions"],
)
def test_nothing_is_too_long(what: str, lines: dict[str, int], budget: int, limit: int) -> None:
    """No module has more than 400 lines and no function more than 60; those above 250 and 40 are listed then."""
    longest = sorted(((count, name) for name, count in lines.items() if count > budget), reverse=True)
    listed = "".join(f"\n  {count:4} {name}" for count, name in longest)

    assert lines
    assert not [name for count, name in longest if count > limit], (
        f"a {what} has at most {limit} lines; those above the budget of {budget}:{listed}"
    )
