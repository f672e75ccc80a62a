"""Tests of services/collector/commands/compare.py."""

import json
from pathlib import Path

import msgspec
import pytest

from services.collector.__main__ import main
from services.collector.publish.files import run_files
from services.contract import summary
from services.contract.summary import Summary
from tests.builders.runs import good_run, judged

MADE = judged(good_run())


def made(number: int, p99: int, missing: int = 0, total: int = 60) -> Summary:
    """Return a run with this p99 of latency."""
    return msgspec.structs.replace(
        MADE,
        run=f"20261122T0730{number:02d}Z",
        total=total,
        latency_ns=msgspec.structs.replace(MADE.latency_ns, p99=p99 * 1_000_000),
        totals=msgspec.structs.replace(MADE.totals, missing=missing),
    )


def publish(volumes: Path, published: Summary) -> None:
    """Publish a summary, as the collector does."""
    path = run_files.summary_path(volumes, published.run)
    path.parent.mkdir(parents=True)
    path.write_bytes(summary.encode(published))


def folder(place: Path, *every: Summary) -> str:
    """Return a volumes folder with these runs published."""
    for one in every:
        publish(place, one)
    return str(place)


@pytest.fixture
def before(tmp_path: Path) -> str:
    """Five runs of about 10 ms."""
    return folder(tmp_path / "before", *(made(number, 10 + number) for number in range(5)))


@pytest.fixture
def after(tmp_path: Path) -> str:
    """Five runs of about 20 ms."""
    return folder(tmp_path / "after", *(made(number, 20 + number) for number in range(5)))


def test_worse_is_shown_and_is_the_exit_code(before: str, after: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The text has both sides, the workload, each metric with its change, and the verdict last; the exit code is 99."""
    assert 99 == main(["compare", before, after])
    lines = capsys.readouterr().out.splitlines()

    assert lines[0].split() == ["A", before, "5", "runs,", "20261122T073000Z", "to", "20261122T073004Z"]
    assert "   60 records at 1,000/s · 2 clients, blocks of 10, 10 · feed f" == lines[2]
    assert [
        "latency",
        "p99",
        "12.0",
        "ms",
        "±",
        "17",
        "%",
        "22.0",
        "ms",
        "±",
        "10",
        "%",
        "+83.3",
        "%",
        "0.008",
        "worse",
    ] == (lines[6].split())
    assert ["missing", "0", "0", "same"] == next(line for line in lines if "missing" in line).split()
    assert "  worse by more than 10 %: latency p99" == lines[-1]


def test_the_other_way_round_it_is_better(before: str, after: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A better metric is named in the verdict, and the exit code is 0."""
    assert 0 == main(["compare", after, before])
    assert "  nothing got worse; better: latency p99" == capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize(("share", "code"), [("83%", 99), ("84%", 0), ("0.83", 99), ("0.84", 0)])
def test_what_is_borne_may_be_given(before: str, after: str, share: str, code: int) -> None:
    """The tolerated share may be given with and without a percent sign."""
    assert code == main(["compare", before, after, "--worse-than", share])


@pytest.mark.parametrize("share", ["x", "-1%", "inf", "nan", ""])
def test_what_is_no_share_is_refused(before: str, share: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The error about a malformed share has the expected form."""
    with pytest.raises(SystemExit) as ended:
        main(["compare", before, before, f"--worse-than={share}"])

    assert 104 == ended.value.code
    assert "expected a share such as 10%" in capsys.readouterr().err


def test_of_one_run_a_side_only_counts_are_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With one run a side times are shown without a judgement and with the reason; a missing message is worse."""
    one, other = folder(tmp_path / "a", made(1, 10)), folder(tmp_path / "b", made(1, 90))

    assert 0 == main(["compare", one, other])
    assert [
        "  note: 1 run a side: the noise is unknown, so only counts are judged; run each side 5 times (RUNS=5)",
        "  no count got worse; times were not judged",
    ] == capsys.readouterr().out.splitlines()[-2:]

    assert 99 == main(["compare", one, folder(tmp_path / "c", made(1, 10, missing=1))])
    assert "  worse: missing" == capsys.readouterr().out.splitlines()[-1]


def test_too_few_runs_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With three runs a side a note states that no change can be distinguished from noise."""
    sides = [
        folder(tmp_path / name, *(made(number, p99) for number in range(3))) for name, p99 in (("a", 1), ("b", 90))
    ]

    assert 0 == main(["compare", *sides])
    assert "  note: 3 runs a side: too few to distinguish any change from noise; " in capsys.readouterr().out


def test_different_workloads_are_refused(tmp_path: Path, before: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Different workloads are an error; with --force they are compared, and the differences are noted."""
    other = folder(tmp_path / "other", *(made(number, 10 + number, total=99) for number in range(5)))

    assert 104 == main(["compare", before, other])
    assert "\n    records: 60 records and 99 records\n" in capsys.readouterr().err

    assert 0 == main(["compare", before, other, "--force"])
    assert "  note: different workloads: records: 60 records and 99 records\n" in capsys.readouterr().out


def test_markdown_is_a_table(before: str, after: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The Markdown begins with the verdict, and every row has the columns of its head."""
    assert 99 == main(["compare", before, after, "--markdown"])
    lines = capsys.readouterr().out.splitlines()

    assert "**Worse by more than 10 %: latency p99**" == lines[0]
    assert {7} == {line.count("|") for line in lines if line.startswith("|")}
    assert "| latency p99 | 12.0 ms ± 17 % | 22.0 ms ± 10 % | +83.3 % | 0.008 | **worse** |" in lines


def test_json_has_all_of_it(before: str, after: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json the result is one line, with the values of every run."""
    assert 99 == main(["compare", before, after, "--json"])
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    p99 = found["changes"][1]

    assert (before, ["latency p99"], 0.1) == (found["a"], found["worse"], found["worse_than"])
    assert ("latency p99", "ns", 12_000_000, 22_000_000, "worse") == (
        p99["metric"], p99["unit"], p99["a"], p99["b"], p99["outcome"]
    )  # fmt: skip
    assert [number * 1_000_000 for number in range(20, 25)] == p99["b_values"]


def test_a_side_without_runs_is_refused(tmp_path: Path, before: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A side without runs is an error that names it."""
    assert 104 == main(["compare", before, str(tmp_path / "nowhere")])
    assert f"error: {tmp_path / 'nowhere'}: nothing to compare" in capsys.readouterr().err
