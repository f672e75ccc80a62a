"""Common tools read a sealed log without conversion and without changing it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from services.contract import blocklog
from tests.integration.conftest import RECORDS, GoodRun
from tests.integration.programs import output_of, program
from tests.readers import entries_of


@pytest.fixture
def sealed(good_run: GoodRun) -> Iterator[Path]:
    """The log file of client-3, which must be unchanged afterwards."""
    files = good_run.volumes.files("client-3", good_run.name)
    assert 1 == len(files)
    before = hashlib.sha256(files[0].read_bytes()).hexdigest()
    yield files[0]
    assert before == hashlib.sha256(files[0].read_bytes()).hexdigest()


def blocks_of(path: Path) -> list[blocklog.Block]:
    """Return the blocks of a file, by the project's own codec."""
    return [entry for entry in entries_of(path) if isinstance(entry, blocklog.Block)]


def jq(*arguments: str) -> str:
    """Return the output of jq."""
    return output_of(program("jq", "jq"), *arguments)


def test_head_shows_whose_log_it_is(sealed: Path, good_run: GoodRun) -> None:
    """``head -1`` gives a line of JSON that says run, client and block size."""
    opening = json.loads(output_of("head", "-1", str(sealed)))
    assert ("open", good_run.name, "client-3", 50) == tuple(
        opening[name] for name in ("kind", "run", "client", "block_size")
    )


def test_jq_counts_the_messages(sealed: Path) -> None:
    """``jq`` finds every message, and every block's digest as it was written."""
    assert str(RECORDS) == jq("-s", '[.[] | select(.kind == "block") | .messages | length] | add', str(sealed)).strip()
    digests = jq("-r", 'select(.kind == "block") | .digest', str(sealed)).split()
    assert [block.digest for block in blocks_of(sealed)] == digests


def test_pandas_counts_the_messages(sealed: Path) -> None:
    """``pandas.read_json(lines=True)`` finds every message, and every block's digest as text."""
    frame = pd.read_json(sealed, lines=True)
    blocks = frame[frame["kind"] == "block"]
    assert RECORDS == int(blocks["count"].sum()) == int(blocks["messages"].map(len).sum())
    assert [block.digest for block in blocks_of(sealed)] == list(blocks["digest"])
    assert list(range(1, RECORDS + 1)) == [message["seq"] for row in blocks["messages"] for message in row]


def test_duckdb_counts_the_messages(sealed: Path) -> None:
    """DuckDB's ``read_json`` finds every message, every digest, and a field within a record."""
    table = f"read_json('{sealed}')"
    with duckdb.connect() as database:
        digests = database.sql(f"select digest from {table} where kind = 'block' order by block").fetchall()
        messages = f"(select unnest(messages) as message from {table} where kind = 'block')"
        counted = database.sql(
            f"select count(*), count(distinct message.seq), count(distinct message.record.name) from {messages}"
        ).fetchall()
    assert [(block.digest,) for block in blocks_of(sealed)] == digests
    assert (RECORDS, RECORDS) == counted[0][:2]
    assert counted[0][2] > 500


def test_duckdb_reads_all_clients_at_once(good_run: GoodRun) -> None:
    """A pattern reads the logs of a whole run: five clients, with the same number of messages each."""
    pattern = good_run.volumes.root / "logs" / good_run.name / "*" / "*.jsonl"
    with duckdb.connect() as database:
        rows = database.sql(
            f"select client, sum(count)::int from read_json('{pattern}', union_by_name=true)"
            " where kind = 'block' group by client order by client"
        ).fetchall()
    assert [(f"client-{number}", RECORDS) for number in range(1, 6)] == rows
