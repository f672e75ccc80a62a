"""Every recipe of the document is run on the files of a real run and gives the right result."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import duckdb
import pytest

from services.contract.ledger import LeaveEntry, ReceiptEntry, SubscribeEntry
from services.contract.scalars import utc_us
from tests.integration.conftest import CLIENTS, RECORDS, GoodRun
from tests.integration.processes import ROOT
from tests.integration.programs import program
from tests.readers import Volumes, record_of
from tests.repo.markdown import Fence, fences, sections

NAMES = [f"client-{number}" for number in range(1, CLIENTS + 1)]
RECIPES: dict[str, Fence] = {
    heading: recipe
    for heading, body in sections((ROOT / "docs" / "guides" / "recipes.md").read_text(encoding="utf-8")).items()
    for recipe in fences(body, "sh", "sql", "python")
}
Row = tuple[object, ...]


class Place(NamedTuple):
    """A folder that contains a volumes folder, as the recipes expect."""

    folder: Path
    volumes: Volumes

    def follow(self, recipe: Fence) -> list[Row]:
        """Run a recipe in this folder; return the rows of its table, as text if it prints them."""
        if recipe.language == "sql":
            with contextlib.chdir(self.folder), duckdb.connect() as database:
                return database.execute(recipe.text).fetchall()
        for name in {"jq", "lnav"} & set(recipe.text.split()):
            program(name, name)
        command = ["bash", "-c"] if recipe.language == "sh" else [sys.executable, "-c"]
        done = subprocess.run(
            [*command, recipe.text],
            cwd=self.folder,
            env={**os.environ, "HOME": str(self.folder)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        return [tuple(line.split()) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def here(good_run: GoodRun, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The good run, in a folder as the recipes expect."""
    folder = tmp_path_factory.mktemp("recipes")
    (folder / "volumes").symlink_to(good_run.volumes.root)
    (folder / "deploy").symlink_to(ROOT / "deploy")
    return Place(folder, good_run.volumes)


@pytest.fixture
def damaged(good_run: GoodRun, tmp_path: Path) -> Place:
    """A copy of the good run in which client-2 lacks its third block and client-4 the end of its log."""
    shutil.copytree(good_run.volumes.root, tmp_path / "volumes")
    place = Place(tmp_path, Volumes(tmp_path / "volumes"))
    for client, number in (("client-2", 3), ("client-4", -1)):
        (path,) = place.volumes.files(client)
        lines = path.read_bytes().splitlines(keepends=True)
        del lines[number]
        path.write_bytes(b"".join(lines))
    return place


def late(volumes: Volumes) -> list[Row]:
    """Return every message as milliseconds, client and seq, slowest first."""
    found = [(one.latency_ns / 1e6, client, one.seq) for client in NAMES for one in volumes.messages(client)]
    return sorted(found, reverse=True)


def check_ends(rows: list[Row], volumes: Volumes) -> None:
    """The recipe shows the one run with its verdict and the delivered share."""
    assert [(volumes.newest(), "PASS", str(CLIENTS), "clients")] == [row[:4] for row in rows]


def check_slowest(rows: list[Row], volumes: Volumes) -> None:
    """The recipe shows the five messages with the highest latency."""
    assert [row[0] for row in late(volumes)[:5]] == [float(str(row[0])) for row in rows]
    assert (rows[0][1], int(str(rows[0][2]))) in [row[1:] for row in late(volumes)]


def check_record(rows: list[Row], volumes: Volumes) -> None:
    """The recipe shows the record at every client, with the same name and each client's latency."""
    selected = [" ".join(map(str, row)).strip("[]").replace('"', "").split(",") for row in rows]
    expected = [one for client in NAMES for one in volumes.messages(client) if one.seq == 500]

    assert NAMES == [row[0] for row in selected]
    assert [one.latency_ns for one in expected] == [int(row[2]) for row in selected]
    assert 1 == len({row[3] for row in selected})


def check_biggest(rows: list[Row], volumes: Volumes) -> None:
    """The recipe shows the three blocks with the most bytes of records."""
    sizes = [
        (sum(len(record_of(one)) for one in block.messages), client, block.session, block.block)
        for client in NAMES
        for block in volumes.blocks(client)
    ]

    assert [size for size, *_ in sorted(sizes, reverse=True)[:3]] == [int(str(row[0])) for row in rows]
    assert {(str(size), client, str(session), str(block)) for size, client, session, block in sizes} >= set(rows)


def check_closed_by(rows: list[Row], volumes: Volumes) -> None:
    """The recipe counts the blocks by client and by the reason why they were closed."""
    counts = Counter((client, block.closed_by) for client in NAMES for block in volumes.blocks(client))

    assert {(str(count), *what) for what, count in counts.items()} == set(rows)


def check_closed_well(rows: list[Row], volumes: Volumes) -> None:
    """The recipe counts five finished logs."""
    assert [(str(CLIENTS), "finished")] == rows


def check_came_and_went(rows: list[Row], volumes: Volumes) -> None:
    """The recipe shows every subscription and departure in the ledger, by time."""
    lines = [line for line in volumes.ledger() if isinstance(line, SubscribeEntry | LeaveEntry)]
    events = [(line.at, "leave" if isinstance(line, LeaveEntry) else "subscribe", line.client) for line in lines]

    assert sorted(events) == [row[:3] for row in rows]


def check_lacks(rows: list[Row], volumes: Volumes) -> None:
    """The recipe shows nothing, since no record is missing."""
    assert [] == rows


def check_by_second(rows: list[Row], volumes: Volumes) -> None:
    """The recipe shows every second with the number of messages of all clients."""
    counts = Counter(one.received_at[:19].replace("T", " ") for name in NAMES for one in volumes.messages(name))

    assert counts == {str(row[0]): row[1] for row in rows}
    assert all(0 < float(str(row[2])) <= float(str(row[3])) for row in rows)


def check_countries(rows: list[Row], volumes: Volumes) -> None:
    """The recipe shows five countries with the number of their records."""
    records = [record_of(one) for one in volumes.messages("client-1")]
    for country, count in rows:
        assert sum(f'"country":"{country}"'.encode() in record for record in records) == count
    assert 5 == len(rows)


def check_receipts(rows: list[Row], volumes: Volumes) -> None:
    """The recipe shows the five longest times from the end of a block to the receipt in the ledger."""
    ended = {(client, one.session, one.block): one.ended_at for client in NAMES for one in volumes.blocks(client)}
    receipts = [line for line in volumes.ledger() if isinstance(line, ReceiptEntry)]
    took = [utc_us(line.at) - utc_us(ended[line.client, line.session, line.block]) for line in receipts]

    assert [us / 1e3 for us in sorted(took, reverse=True)[:5]] == [row[3] for row in rows]


def check_digests(rows: list[Row], volumes: Volumes) -> None:
    """The recipe counts as many equal digests as every log has blocks."""
    assert [(name, *[len(volumes.blocks(name))] * 3) for name in NAMES] == rows


def check_longest(rows: list[Row], volumes: Volumes) -> None:
    """The recipe shows the three blocks with the longest duration, below the names of the columns."""
    head, *blocks = [str(row[0]).split(",") for row in rows]
    took = sorted((one.duration_ns / 1e6 for name in NAMES for one in volumes.blocks(name)), reverse=True)

    assert ["client", "block", "ms"] == head
    assert [pytest.approx(ms) for ms in took[:3]] == [float(row[2]) for row in blocks]


def check_durations(rows: list[Row], volumes: Volumes) -> None:
    """The recipe shows a row per client; larger blocks have longer durations."""
    medians = [float(str(row[1])) for row in rows[2:]]

    assert NAMES == [row[0] for row in rows[2:]]
    assert sorted(medians) == medians
    assert all(float(str(row[2])) >= float(str(row[1])) for row in rows[2:])


def slowest(volumes: Volumes) -> tuple[int, str]:
    """Return the highest 99th percentile of a client, in nanoseconds, and whose it is."""
    summary = volumes.summary()
    assert summary is not None
    return max((client.latency_ns.p99 or 0, client.client) for client in summary.clients)


def check_slowest_client(rows: list[Row], volumes: Volumes) -> None:
    """The recipe shows the client with the highest percentile, below the names of the columns."""
    p99_ns, name = slowest(volumes)

    assert (volumes.newest(), name, p99_ns) == (*rows[1][1:3], float(str(rows[1][3])))


def check_slowest_in_duckdb(rows: list[Row], volumes: Volumes) -> None:
    """The recipe shows the same client, without missing ranges."""
    p99_ns, name = slowest(volumes)

    assert [(volumes.newest(), name, p99_ns, None)] == rows


def check_parquet(rows: list[Row], volumes: Volumes) -> None:
    """The Parquet file has a row per message."""
    assert [(CLIENTS * RECORDS,)] == rows


CHECKS: dict[str, Callable[[list[Row], Volumes], None]] = {
    "How did all the runs end?": check_ends,
    "Which messages were slowest?": check_slowest,
    "How was one record received?": check_record,
    "Which blocks are largest?": check_biggest,
    "Why were the blocks closed?": check_closed_by,
    "Which logs were closed cleanly?": check_closed_well,
    "Which clients joined and left?": check_came_and_went,
    "Which records does a client lack?": check_lacks,
    "How did latency develop, second by second?": check_by_second,
    "Which countries are the records from?": check_countries,
    "Which receipts took longest?": check_receipts,
    "Do the digests agree?": check_digests,
    "Which blocks took longest?": check_longest,
    "How long do blocks take?": check_durations,
    "Which client was slowest?": check_slowest_client,
    "Which client was slowest, in DuckDB?": check_slowest_in_duckdb,
    "Every message as Parquet": check_parquet,
}
"""Expected results of the recipes, by heading."""


def test_every_recipe_is_checked() -> None:
    """Every recipe of the document has a check, and every check its recipe."""
    assert list(CHECKS) == list(RECIPES)


@pytest.mark.parametrize("heading", CHECKS)
def test_recipe_gives(here: Place, heading: str) -> None:
    """A recipe gives the same as our own reader."""
    CHECKS[heading](here.follow(RECIPES[heading]), here.volumes)


def test_what_is_missing_is_given(damaged: Place) -> None:
    """The block that a log lacks is given as the seqs that it held."""
    found = damaged.follow(RECIPES["Which records does a client lack?"])

    assert [(damaged.volumes.newest(), "client-2", 51, 75)] == found


def test_what_broke_off_is_given(damaged: Place) -> None:
    """A log without its last line is counted as broken off."""
    found = damaged.follow(RECIPES["Which logs were closed cleanly?"])

    assert {("1", "broken", "off"), (str(CLIENTS - 1), "finished")} == set(found)
