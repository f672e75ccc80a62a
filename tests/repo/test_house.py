"""The gauge of `make house` counts what its table says it counts."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.repo.repository import ROOT
from tools.house import prose, structure
from tools.house.__main__ import AREAS, files, language, shapes, sizes


def modules(tmp_path: Path, **sources: str) -> list[structure.Module]:
    """Return modules of a package in ``tmp_path``; ``a__b`` names the file ``a/b.py``."""
    for name, source in sources.items():
        path = tmp_path / "services" / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return structure.load(tmp_path, "services")


def test_words_are_counted_across_line_ends() -> None:
    """A phrase counts once even if it is broken over two lines; code in backquotes does not count."""
    measured = prose.measure(["Nobody knows so\n    many of them. `who` is code."])

    assert (2, 8) == (measured.private.total(), measured.words)
    assert 250 == measured.per_thousand


def test_docstrings_and_messages_are_distinguished() -> None:
    """A string that documents a module or constant is a docstring, a string of several words elsewhere a message."""
    tree = ast.parse('"""Module."""\nX = 1\n"""Constant."""\nprint("a message", "word")\n')

    assert ["Module.", "Constant."] == [*prose.docstrings(tree)]
    assert ["a message"] == [*prose.messages(tree)]


def test_adjacent_comment_lines_are_one_text() -> None:
    """Comment lines that follow each other are one text."""
    assert ["so many", "other"] == [*prose.comments("x = 1  # so\n# many\ny = 2\n# other\n")]


def test_length_excludes_the_docstring() -> None:
    """A function's length is its lines without its docstring."""
    (function,) = ast.parse('def f():\n    """First.\n\n    Second.\n    """\n    return 1\n').body

    assert isinstance(function, ast.FunctionDef)
    assert 2 == structure.length(function)


def test_depth_is_the_longest_chain(tmp_path: Path) -> None:
    """Import depth counts the modules on the longest chain; a module with one importer is counted as such."""
    found = modules(tmp_path, a="from services import b, c", b="from services.c import x", c="x = 1")
    graph = structure.imports(found)

    assert 3 == structure.depth(graph)
    assert 1 == structure.single_importer(graph)


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("account.log.opens", 1),
        ("account.ledger.sent.total", 1),
        ("books.times.spread", 1),
        ("summary.log", 0),
        ("case.result.ledger.ends", 0),
        ("result.received", 0),
    ],
)
def test_reach_throughs_are_found(tmp_path: Path, source: str, count: int) -> None:
    """An expression that leads from a result or from the run's evidence into a log or ledger is a reach-through."""
    found = modules(tmp_path, collector__verdict__checks=source, collector__evidence__log=source)

    assert count == structure.reach_throughs(found).total()


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("isinstance(result, ExternalClientResult)", 1),
        ("x = 1 if evidence.is_one_sided else 2", 1),
        ("if not books.is_one_sided and due: pass", 1),
        ("if heard is not None: pass", 1),
        ("isinstance(result, ClientResult)", 0),
    ],
)
def test_branches_on_the_feed_are_found(tmp_path: Path, source: str, count: int) -> None:
    """Each test of the kind of feed counts, except in the code for external feeds itself."""
    found = modules(tmp_path, collector__results=source, client__external__session=source)

    assert count == structure.kind_branches(found).total()


def test_the_table_can_be_printed(tmp_path: Path) -> None:
    """Every row has a figure; the language of an area is measured where the checkout has the area."""
    found = modules(
        tmp_path, server__app='"""A module."""\n\ndef main() -> None:\n    """Start."""\n    print("on we go")\n'
    )
    rows = dict([*sizes(found), *shapes(found), *language(tmp_path, found)])

    assert "1" == rows["modules with code"]
    assert "  services, all texts" in rows
    assert all(rows[label] for label in rows if not label.endswith(":"))


def test_every_area_is_found() -> None:
    """Every area of the table has files in this checkout under today's name."""
    assert [] == [area for area, places in AREAS.items() if not any(files(ROOT, place) for place in places)]
