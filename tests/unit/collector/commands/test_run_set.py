"""Tests of services/collector/commands/run_set.py."""

from pathlib import Path

import msgspec
import pytest

from services.collector.commands.run_set import NoComparableRuns, Workload, differences, read_run_set, workload
from services.collector.publish.files import run_files
from services.contract import ledger, summary
from services.contract.summary import Summary
from tests.builders.runs import RUN, Writer, good_run, judged, ledger_source, opening, write

MADE = judged(good_run())
WORK = Workload("f", "60 records", "1,000/s", "2 clients", "blocks of 10, 10")


def publish(volumes: Path, published: Summary) -> None:
    """Publish a summary, as the collector does."""
    path = run_files.summary_path(volumes, published.run)
    path.parent.mkdir(parents=True)
    path.write_bytes(summary.encode(published))


def test_the_runs_of_a_folder_are_read(tmp_path: Path) -> None:
    """The runs are reconciled from ledger and logs if the collector has published no summary."""
    write(good_run(), tmp_path)
    found = read_run_set(tmp_path)

    assert (str(tmp_path), [RUN], [], [WORK]) == (
        found.name, [made.run for made in found.runs], found.left_out, found.workloads
    )  # fmt: skip


def test_a_published_summary_is_taken(tmp_path: Path) -> None:
    """The published summary of a closed run is used as it is."""
    write(good_run(), tmp_path)
    publish(tmp_path, msgspec.structs.replace(MADE, headline="as published"))

    assert ["as published"] == [made.headline for made in read_run_set(tmp_path).runs]


def test_an_open_runs_summary_is_not(tmp_path: Path) -> None:
    """The published summary of an open run is not used: the run is reconciled again."""
    write(good_run(), tmp_path)
    publish(tmp_path, msgspec.structs.replace(MADE, headline="half", state="running", verdict=None))

    assert [MADE.headline] == [made.headline for made in read_run_set(tmp_path).runs]


def test_a_summary_alone_is_a_side(tmp_path: Path) -> None:
    """A single summary.json, and a folder with published summaries alone, are a side."""
    file = tmp_path / "main.json"
    file.write_bytes(summary.encode(MADE))
    publish(tmp_path / "volumes", MADE)

    assert [MADE] == read_run_set(file).runs == read_run_set(tmp_path / "volumes").runs
    assert [WORK] == read_run_set(file).workloads


def test_what_cannot_be_trusted_is_left_out(tmp_path: Path) -> None:
    """An INVALID run is left out and named."""
    files = good_run()
    del files[ledger_source()][-1]
    write(files, tmp_path)
    with pytest.raises(NoComparableRuns, match=f"run {RUN} is INVALID and left out: the ledger has no end"):
        read_run_set(tmp_path)

    publish(tmp_path, msgspec.structs.replace(MADE, run="20271122T073000Z"))
    found = read_run_set(tmp_path)

    assert ["20271122T073000Z"] == [made.run for made in found.runs]
    assert 1 == len(found.left_out)


@pytest.mark.parametrize("name", ["none", "no.json", "."])
def test_what_holds_no_run_is_refused(tmp_path: Path, name: str) -> None:
    """A folder without runs, a missing folder and a file that is no summary are errors."""
    (tmp_path / "no.json").write_text("{}")

    with pytest.raises(NoComparableRuns, match="no summary"):
        read_run_set(tmp_path / name)


def test_a_plan_is_the_rate(tmp_path: Path) -> None:
    """The rate of a workload is the plan in the ledger's open line."""
    files, opened = good_run(), msgspec.structs.replace(opening(60, 2), plan="200:20s,1000")
    writer = Writer(ledger.codec)
    for _, entry in map(ledger.codec.decode, files[ledger_source()]):
        writer.put(opened if isinstance(entry, ledger.OpenEntry) else entry)
    write({**files, ledger_source(): writer.lines}, tmp_path)

    assert ["200:20s,1000"] == [work.rate for work in read_run_set(tmp_path).workloads]


def test_a_damaged_ledger_shows_no_plan(tmp_path: Path) -> None:
    """A ledger that cannot be read is ignored, and the summary's rate is used."""
    write(good_run(), tmp_path)
    publish(tmp_path, MADE)
    (tmp_path / ledger_source().path).write_bytes(b"garbage\n")

    assert ["1,000/s"] == [work.rate for work in read_run_set(tmp_path).workloads]


def test_full_speed_is_stated() -> None:
    """The rate of a run at rate 0 is ``full speed``."""
    assert "full speed" == workload(msgspec.structs.replace(MADE, rate=0), None).rate


def test_differences_are_named() -> None:
    """Each differing part of the workloads is listed with its values."""
    other = Workload("f", "60 records", "500/s", "2 clients", "blocks of 10, 25")

    assert [] == differences([WORK, WORK])
    assert ["rate: 1,000/s and 500/s", "blocks: blocks of 10, 10 and blocks of 10, 25"] == differences(
        [WORK, other, WORK]
    )
    assert "60 records at 1,000/s · 2 clients, blocks of 10, 10 · feed f" == str(WORK)
