"""Tests of services/collector/publish/terminal/text_table.py."""

from services.collector.publish.clients_table import Cell, Column, Table, Tone
from services.collector.publish.terminal.text_table import ColumnLayout, ShownColumn, worth_showing

NAMES = (ShownColumn("client", "client", 3), ShownColumn("count", "n", 2), ShownColumn("dup", "dup", 1, exception=True))


def _cell(value: str | int, tone: Tone = "") -> Cell:
    return Cell(text=f"{value}", value=value, tone=tone)


def _table(*rows: list[Cell]) -> Table:
    columns = [Column(key="client", label="", numeric=False), *(Column(key=key, label="") for key in ("count", "dup"))]
    return Table(columns=columns, rows=list(rows))


def _text(layout: ColumnLayout, row: list[Cell]) -> str:
    return "".join(text for text, _ in layout.cells(row))


def test_columns_line_up() -> None:
    """Names to the left, numbers to the right, as wide as the widest, below heads that stand alike."""
    rows = [[_cell("a"), _cell(5), _cell(0)], [_cell("longer-name"), _cell(1234), _cell(0)]]
    layout = ColumnLayout(_table(*rows), NAMES, 100)

    assert ["  a               5", "  longer-name  1234"] == [_text(layout, row) for row in rows]
    assert "  client          n" == "".join(text for text, _ in layout.heads())


def test_an_exception_is_shown_when_there_is_one() -> None:
    """A column of what should not happen takes no room while it did not happen."""
    row = [_cell("a"), _cell(5), _cell(7, "bad")]
    layout = ColumnLayout(_table(row), NAMES, 100)

    assert "  a       5    7" == _text(layout, row)
    assert ["", "value", "bad"] == [style for _, style in layout.cells(row)]


def test_what_does_not_fit_is_given_up() -> None:
    """The less telling columns go first, and none is shown by half."""
    row = [_cell("name"), _cell(123456), _cell(7, "bad")]

    assert "  name    123456" == _text(ColumnLayout(_table(row), NAMES, 18), row)
    assert "  name      7" == _text(ColumnLayout(_table(row), NAMES, 14), row)


def test_a_long_name_is_cut() -> None:
    """A name may be longer than a line."""
    row = [_cell("n" * 63), _cell(1), _cell(0)]

    assert "  " + "n" * 29 + "…  1" == _text(ColumnLayout(_table(row), NAMES, 100), row)


def test_rows_with_something_to_say_are_kept() -> None:
    """Of too many rows the toned ones stay, and all stay in their order."""
    rows = [[_cell(at, "bad" if at in (3, 5) else "")] for at in range(6)]

    assert ["0", "3", "5"] == [row[0].text for row in worth_showing(rows, 3)]
    assert rows == worth_showing(rows, 6)
