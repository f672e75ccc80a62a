"""Tests of services/collector/commands/verify.py."""

from pathlib import Path

import pytest

from services.collector.commands import verify
from services.collector.commands.folder import NoVolumes
from services.contract import summary
from tests.unit.collector.books_factory import RUN, good_run, ledger_source, log_source, write


def test_a_good_folder_passes(tmp_path: Path) -> None:
    """Every run of the folder is judged."""
    write(good_run(), tmp_path)

    assert [(RUN, "PASS")] == [(made.run, made.verdict) for made, _ in verify.check(tmp_path)]


def test_every_fault_is_named_with_its_place(tmp_path: Path) -> None:
    """File and line of the damage, and the missing seqs with their cause."""
    files = good_run()
    files[log_source("client-1")][1] = b"garbage\n"
    write(files, tmp_path)
    (found,) = verify.check(tmp_path)
    text = verify.text(found)

    assert "FAIL" == found.summary.verdict
    assert f"  {log_source('client-1').path}:2  corrupt_block  client-1  seq 1-10  " in text
    assert "  client-1  missing seq 1-10  damaged line in the log\n" in text
    assert text.endswith("  residual 0\n")


def test_a_torn_tail_is_named(tmp_path: Path) -> None:
    """Bytes without a newline at the end of a ledger are told and harmless."""
    files = good_run()
    files[ledger_source()].append(b'{"crc":')
    write(files, tmp_path)
    ((made, _),) = verify.check(tmp_path)

    assert ("PASS", ["torn"]) == (made.verdict, [fault.kind for fault in made.faults])


def test_a_run_without_end_is_invalid(tmp_path: Path) -> None:
    """What is still open, or was interrupted, cannot pass."""
    files = good_run()
    del files[ledger_source()][-1]
    write(files, tmp_path)
    ((made, _),) = verify.check(tmp_path)

    assert ("INVALID", "running") == (made.verdict, made.state)


def test_one_run_may_be_asked_for(tmp_path: Path) -> None:
    """An unknown run is refused, a known one is checked alone."""
    write(good_run(), tmp_path)

    assert 1 == len(list(verify.check(tmp_path, run=RUN)))
    with pytest.raises(NoVolumes, match="no run 20200101T000000Z; there are: 2"):
        list(verify.check(tmp_path, run="20200101T000000Z"))


def test_another_folder_is_refused(tmp_path: Path) -> None:
    """A folder with neither side of any books is no volumes folder."""
    with pytest.raises(NoVolumes):
        list(verify.check(tmp_path))


@pytest.mark.parametrize(
    ("verdicts", "code"), [(["PASS"], 0), (["PASS", "INVALID"], 98), (["INVALID", "FAIL", "PASS"], 99), ([], 98)]
)
def test_the_worst_verdict_counts(verdicts: list[str | None], code: int) -> None:
    """A proven failure outranks a doubt, and no run at all proves nothing."""
    assert code == verify.exit_code(verdicts)


def test_json_is_the_summary(tmp_path: Path) -> None:
    """Each run is one line that decodes to its summary."""
    write(good_run(), tmp_path)
    ((made, _),) = verify.check(tmp_path)
    line = verify.json_line(made)

    assert 1 == line.count("\n")
    assert made == summary.decode(line.encode())
