"""Tests of services/collector/publish/table.py."""

from services.collector.publish.table import Cell, Column, Table


def test_a_column_is_read_by_its_key() -> None:
    """The cells of a column are returned from top to bottom."""
    table = Table(
        columns=[Column(key="a", label="A"), Column(key="b", label="B")],
        rows=[[Cell(text="1", value=1), Cell(text="2", value=2)], [Cell(text="3", value=3), Cell(text="4", value=4)]],
    )

    assert ["2", "4"] == [cell.text for cell in table.column("b")]
