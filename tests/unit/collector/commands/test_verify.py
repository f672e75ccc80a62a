"""Tests of services/collector/commands/verify.py."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.collector.__main__ import main
from services.collector.commands import verify
from services.collector.commands.run_loader import VolumesNotFound
from services.collector.open_run import OpenRun
from services.contract import summary
from services.contract.rangeset import RangeSet
from services.contract.scalars import MAX_INTEGER
from services.contract.summary import EXIT_CODES
from tests.builders.external_runs import Happened, log, message, numbered_messages
from tests.builders.runs import RUN, START_US, Files, good_run, ledger_source, log_source, write


def test_a_good_folder_passes(tmp_path: Path) -> None:
    """Every run of a good folder passes."""
    write(good_run(), tmp_path)

    assert [(RUN, "PASS")] == [(found.summary.run, found.summary.verdict) for found in verify.check(tmp_path)]


def test_every_fault_is_named_with_its_place(tmp_path: Path) -> None:
    """A fault has file and line, and missing seqs have their cause."""
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
    """Bytes without a newline at the end of a ledger are reported, and the run passes."""
    files = good_run()
    files[ledger_source()].append(b'{"crc":')
    write(files, tmp_path)
    made = next(verify.check(tmp_path)).summary

    assert ("PASS", ["torn"]) == (made.verdict, [fault.kind for fault in made.faults])


def test_a_run_without_end_is_invalid(tmp_path: Path) -> None:
    """A run that is open or was interrupted does not pass."""
    files = good_run()
    del files[ledger_source()][-1]
    write(files, tmp_path)
    made = next(verify.check(tmp_path)).summary

    assert ("INVALID", "running") == (made.verdict, made.state)


def test_one_run_may_be_asked_for(tmp_path: Path) -> None:
    """An unknown run is refused, a known one is checked alone."""
    write(good_run(), tmp_path)

    assert 1 == len(list(verify.check(tmp_path, run=RUN)))
    with pytest.raises(VolumesNotFound, match="no run 20200101T000000Z; there are: 2"):
        list(verify.check(tmp_path, run="20200101T000000Z"))


def test_another_folder_is_refused(tmp_path: Path) -> None:
    """A folder without ledger/ and logs/ is an error."""
    with pytest.raises(VolumesNotFound):
        list(verify.check(tmp_path))


@pytest.mark.parametrize(
    ("verdicts", "code"), [(["PASS"], 0), (["PASS", "INVALID"], 98), (["INVALID", "FAIL", "PASS"], 99), ([], 98)]
)
def test_the_worst_verdict_counts(verdicts: list[str | None], code: int) -> None:
    """FAIL outranks INVALID, and a folder without runs is INVALID."""
    assert code == verify.exit_code(verdicts)


def test_json_is_the_summary(tmp_path: Path) -> None:
    """Each run is one line that decodes to its summary."""
    write(good_run(), tmp_path)
    made = next(verify.check(tmp_path)).summary
    line = verify.json_line(made)

    assert 1 == line.count("\n")
    assert made == summary.decode(line.encode())


OPENED: Happened = ("opened", 0.0)
SEALED: Happened = ("sealed", 8.0)
GONE: Happened = ("closed", 0.5, 1006, "")
WHOLE = numbered_messages(range(1, 801))
AGAIN = [
    msgspec.structs.replace(message(seq, 100 + seq), record=msgspec.Raw(b'{"again":%d}' % seq)) for seq in range(1, 9)
]


def external(*course: Any, **more: Any) -> Files:
    """Return the log of one client of an external feed beside one that received everything."""
    until_us = START_US + 8_000_000
    return {
        **log("client-1", until_us=until_us, course=course, **more),
        **log("client-2", until_us=until_us, course=[OPENED, WHOLE, SEALED]),
    }


BOOKS: dict[str, Callable[[], Files]] = {
    "two-sided": good_run,
    "whole": lambda: external(OPENED, WHOLE, SEALED),
    "lost, and behind the others": lambda: external(OPENED, WHOLE[:50], reason=None),
    "lost, and its last line torn": lambda: torn(external(OPENED, WHOLE[:50], reason=None)),
    "named end": lambda: external(OPENED, WHOLE[:50], ("ended", 0.5), SEALED),
    "named end long after its last record": lambda: external(OPENED, WHOLE[:50], ("ended", 6.0), SEALED),
    "not connected": lambda: external(OPENED, WHOLE[:50], GONE, SEALED),
    "never connected": lambda: external(("refused", 1.0, 503, "gone"), SEALED),
    "silent": lambda: external(OPENED, WHOLE[:50], SEALED, silence_s=None),
    "stopped": lambda: external(OPENED, WHOLE[:50], ("sealed", 4.0), reason="shutdown"),
    "numbers begun again": lambda: external(OPENED, WHOLE[:50], GONE, ("opened", 1.0), AGAIN, SEALED),
    "gap and unreadable": lambda: external(
        OPENED, [*WHOLE[:50], message(51, 51, unreadable=True), *WHOLE[51:60], *WHOLE[62:]], SEALED
    ),
    "numbers from 2^53 on": lambda: external(OPENED, numbered_messages([2**53 - 2, 2**53 + 3, 2**64 - 1]), SEALED),
    "damaged": lambda: garbled(external(OPENED, WHOLE, SEALED)),
}


def torn(files: Files) -> Files:
    """Return files, the first of them truncated within a line."""
    first = min(files, key=lambda source: source.path)
    return {**files, first: [*files[first], b'{"crc":']}


def garbled(files: Files) -> Files:
    """Return files with a damaged line in the first."""
    first = min(files, key=lambda source: source.path)
    return {**files, first: [*files[first][:3], b"garbage\n", *files[first][4:]]}


@pytest.mark.parametrize("name", BOOKS)
def test_verify_report_and_what_is_published_are_the_same(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The text and the JSON of a run have the same verdict, headline and missing ranges."""
    write(BOOKS[name](), tmp_path)
    follow = OpenRun(tmp_path, RUN, 0.0)
    follow.read(0.0, lambda: False)
    published = follow.snapshot((), final=True).summary
    (found,) = verify.check(tmp_path)
    assert published == msgspec.structs.replace(found.summary, made_at=None)

    assert EXIT_CODES[published.verdict] == main(["verify", str(tmp_path), "--json"])
    assert published == msgspec.structs.replace(summary.decode(capsys.readouterr().out.encode()), made_at=None)
    assert EXIT_CODES[published.verdict] == main(["report", str(tmp_path), "--json"])
    assert published == msgspec.structs.replace(summary.decode(capsys.readouterr().out.encode()), made_at=None)

    text = verify.text(found)
    assert text.startswith(f"{RUN}  {published.verdict}  {published.headline}\n")
    result: dict[str, RangeSet] = {}
    for client, first, last in re.findall(r"^  (\S+)  missing seq (\d+)-(\d+)  ", text, re.MULTILINE):
        result.setdefault(client, RangeSet()).add(int(first), int(last))
    assert result == {
        client.client: RangeSet((int(first), int(last)) for first, last in client.missing_ranges)
        for client in published.clients
        if client.missing_ranges
    }
    assert [client.missing or 0 for client in published.clients] == [
        min(result.get(client.client, RangeSet()).count, MAX_INTEGER) for client in published.clients
    ]
