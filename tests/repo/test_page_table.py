"""The table of docs/architecture.md is made from the output of the gauge."""

from __future__ import annotations

from tests.repo.repository import text
from tools.house.page_table import BEGIN, END, column_before, parse, table

PRINTED = """\
modules with code                   211
functions over 40 lines             2: collector/a.py:run 43, client/b.py:read 42
reach-throughs into evidence        35; 11: collector/verdict/a.py 8
words per 1,000:
  services: docstrings              1.8
  README, all texts                 0.0  (0 in 1,368)
"""


def test_figures_are_read_from_the_output_of_the_gauge() -> None:
    """A figure stands without the files behind it; an indented label follows the head of its group."""
    assert {
        "modules with code": "211",
        "functions over 40 lines": "2",
        "reach-throughs into evidence": "35",
        "words per 1,000: services: docstrings": "1.8",
        "words per 1,000: README, all texts": "0.0",
    } == parse(PRINTED)


def test_figures_before_are_kept() -> None:
    """The column of the old figures survives a rewrite of the table."""
    before = {"modules with code": "227", "import depth": "29"}

    assert before == column_before(table(before, {"modules with code": "211", "import depth": "28"}))


def test_page_has_the_table() -> None:
    """The page has a table with both columns filled between its markers."""
    rows = text("docs/architecture.md").partition(BEGIN)[2].partition(END)[0].splitlines()[3:]

    assert len(rows) > 20
    assert all(all(cell.strip() for cell in row.split("|")[1:-1]) for row in rows)
