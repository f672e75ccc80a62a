"""Tests of services/collector/publish/files/csv_export.py."""

import csv
import io
from pathlib import Path

import msgspec
import pytest

from services.collector.publish.files.csv_export import clients_csv, columns
from services.contract.summary import Causes, Quantiles
from tests.builders.runs import RUN, good_run, judged

MADE = judged(good_run())


def test_a_client_is_a_row_of_its_numbers() -> None:
    """A row has the unformatted numbers of summary.json."""
    client = msgspec.structs.replace(
        MADE.clients[0],
        received=1_234_567,
        latency_ns=Quantiles(p99=5_400_001),
        missing_by_cause=Causes(never_sent=7),
        missing_ranges=[(1, 3), (9, 9)],
        block_size=None,
    )
    made = msgspec.structs.replace(MADE, clients=[client])
    (row,) = csv.DictReader(io.StringIO(clients_csv(made).decode()))

    assert (RUN, "client-1", "1234567") == (row["run"], row["client"], row["received"])
    assert ("5400001", "", "7") == (row["latency_ns_p99"], row["latency_ns_p90"], row["missing_by_cause_never_sent"])
    assert ("1..3 9..9", "") == (row["missing_ranges"], row["block_size"])


def test_every_number_of_a_client_has_a_column() -> None:
    """The head has as many distinct names as each row has values."""
    head, *rows = csv.reader(io.StringIO(clients_csv(MADE).decode()))

    assert ["run", *columns(MADE.clients)] == head
    assert len(head) == len(set(head))
    assert {len(head)} == {len(row) for row in rows}


def test_a_count_of_some_feeds_has_a_column_where_it_is_known() -> None:
    """Ignored messages are counted for external feeds: only then there is a column, empty where it is not known."""
    clients = [msgspec.structs.replace(MADE.clients[0], ignored=2), MADE.clients[0]]
    made = msgspec.structs.replace(MADE, clients=clients)
    head, first, *rest = csv.reader(io.StringIO(clients_csv(made).decode()))

    assert ("2", [""]) == (first[head.index("ignored")], [row[head.index("ignored")] for row in rest])
    assert "ignored" not in columns(MADE.clients)


def test_a_field_of_some_feeds_has_a_column_where_it_is_set() -> None:
    """Gaps are of few feeds: only then there is a column, empty for a client without them."""
    clients = [msgspec.structs.replace(MADE.clients[0], gaps=2), MADE.clients[0]]
    made = msgspec.structs.replace(MADE, clients=clients)
    head, first, *rest = csv.reader(io.StringIO(clients_csv(made).decode()))

    assert ("2", [""]) == (first[head.index("gaps")], [row[head.index("gaps")] for row in rest])
    assert "gaps" not in columns(MADE.clients)


def test_pandas_reads_numbers() -> None:
    """pandas reads the file without options and recognises numbers."""
    import pandas as pd  # noqa: PLC0415 - takes half a second, in every worker if it were imported above

    table = pd.read_csv(io.BytesIO(clients_csv(MADE)))

    assert [client.latency_ns.p99 for client in MADE.clients] == list(table["latency_ns_p99"])
    assert MADE.totals.received == table["received"].sum()


@pytest.mark.parametrize("name", ["007", "1e5", "nan", "null", "2026-11-22", "true"])
def test_names_like_numbers_are_read_as_text(name: str, tmp_path: Path) -> None:
    """With the options of the recipes, pandas and DuckDB read any name of a client and any ranges as text."""
    import duckdb  # noqa: PLC0415
    import pandas as pd  # noqa: PLC0415

    client = msgspec.structs.replace(MADE.clients[0], client=name, missing_ranges=[(3, 5)])
    path = tmp_path / "clients.csv"
    path.write_bytes(clients_csv(msgspec.structs.replace(MADE, clients=[client])))
    table = pd.read_csv(path, dtype={"client": str}, keep_default_na=False, na_values=[""])
    query = f"select client, missing_ranges from read_csv('{path}', types = {{'client': 'VARCHAR'}})"
    rows = duckdb.sql(query)

    assert rows is not None
    assert (name, "3..5") == (table["client"][0], table["missing_ranges"][0])
    assert [(name, "3..5")] == rows.fetchall()


def test_a_run_without_clients_has_a_head() -> None:
    """Files without clients have the same columns as others."""
    assert 1 == len(clients_csv(msgspec.structs.replace(MADE, clients=[])).splitlines())
