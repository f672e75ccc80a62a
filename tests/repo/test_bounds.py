"""The tables of bounds in docs/security.md are those in the code."""

from __future__ import annotations

import re

import pytest

from chaos.security import threats
from services.contract import bounds
from services.contract.bounds import Bound
from tests.repo.repository import ROOT, modules, text

DOCUMENT = text("docs/security.md")


@pytest.mark.parametrize(
    ("mark", "rows"),
    [("server", bounds.SERVER_BOUNDS), ("client", bounds.CLIENT_BOUNDS), ("collector", bounds.COLLECTOR_BOUNDS)],
    ids=["server", "client", "collector"],
)
def test_the_tables_are_generated(mark: str, rows: tuple[Bound[int], ...]) -> None:
    """The table between two marks is the one that `bounds.table` returns."""
    begin, end = (f"<!-- {mark}: {edge} -->\n" for edge in ("begin", "end"))

    assert bounds.table(rows) == DOCUMENT.partition(begin)[2].partition(f"\n{end}")[0]


def test_every_bound_is_in_a_table() -> None:
    """Every bound of the module is a row, and each has a unit, a reason and a consequence."""
    rows = [value for value in vars(bounds).values() if isinstance(value, Bound)]

    shown = bounds.SERVER_BOUNDS + bounds.CLIENT_BOUNDS + bounds.COLLECTOR_BOUNDS
    assert {row.what for row in rows} == {row.what for row in shown}
    assert all(row.unit and row.reason and row.beyond for row in rows)


def test_the_table_of_threats_is_generated() -> None:
    """The threats, their controls and tests are those of `make security`, and every test exists."""
    shown = DOCUMENT.partition("<!-- threats: begin -->\n")[2].partition("\n<!-- threats: end -->")[0]

    assert threats.table() == shown
    paths = [path for threat in threats.THREATS for path in re.findall("`([^`]+/[^`]+)`", threat.tests)]
    assert all((ROOT / path).exists() for path in paths)


@pytest.mark.parametrize("bound", [value for value in vars(bounds).values() if isinstance(value, Bound)], ids=str)
def test_every_bound_is_read(bound: Bound[int]) -> None:
    """A service reads each bound from the table, by its name."""
    name = next(name for name, value in vars(bounds).items() if value is bound)
    sources = [path for path in modules("services") if path.name != "bounds.py"]

    assert any(re.search(rf"\b{name}\b", path.read_text(encoding="utf-8")) for path in sources)
