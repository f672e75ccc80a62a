"""Tests of services/collector/results/builders/file_faults.py."""

from __future__ import annotations

from services.collector.results.build import build_result
from services.collector.results.builders.file_faults import damaged_gaps
from services.collector.results.run_result import NO_LEDGER
from services.collector.scan import FileTail, Source
from tests.builders.runs import RUN, Files, Session, fold, good_run, ledger_source, log_files, log_source

BLOCKS = [(1, 10), (11, 20), (21, 30)]


def test_a_moved_line_is_not_missing() -> None:
    """Two lines that were swapped are moved, and nothing is missing."""
    session = Session("a", 1, 1, 0, BLOCKS)
    files = log_files(session)
    lines = files[log_source("a")]
    lines[1], lines[2] = lines[2], lines[1]
    (made,) = build_result(fold(files), final=True).clients

    assert {"moved"} == {fault.kind for fault in made.faults}


def test_a_segment_that_continues_another_one_hides_nothing() -> None:
    """The first line of a later segment names a line of another file, and that is no damage; a lost file is one."""
    files = log_files(Session("a", 1, 1, 0, BLOCKS, cuts={1, 2}))
    whole = fold(files).logs["a"]
    del files[log_source("a", 1, 2)]
    broken = fold(files).logs["a"]

    assert 2 == len(whole.files) - 1
    assert [] == damaged_gaps(whole, 30)
    assert [("line_missing", (1, 20))] == damaged_gaps(broken, 30)


def test_a_copy_of_a_damaged_file_is_reported_once() -> None:
    """A fault in a file and its copy is reported once, for the correctly named file."""
    files = log_files(Session("a", 1, 1, 0, BLOCKS))
    files[log_source("a")][2] = b"garbage\n"
    copy = Source(log_source("a").run, "a", "0001-0001 (copy).jsonl")
    (made,) = build_result(fold({copy: files[log_source("a")], **files}), final=True).clients

    assert [log_source("a").path] == [fault.file for fault in made.faults]


def test_each_file_that_cannot_be_read_is_named() -> None:
    """The lines of two files do not show which one is the copy, so each is reported under its own name."""
    files = log_files(Session("a", 1, 1, 0, BLOCKS))
    names = ["0001-0001 (copy).jsonl", "0001-0002.jsonl"]
    evidence = fold(files)
    evidence.add_tails(FileTail(Source(RUN, "a", name), 0, "Permission denied") for name in names)
    (made,) = build_result(evidence, final=True).clients

    assert [(f"logs/{RUN}/a/{name}", "unreadable") for name in names] == [
        (fault.file, fault.kind) for fault in made.faults
    ]


def test_a_copy_of_a_file_without_its_beginning_shows_its_faults_once() -> None:
    """A copy without an open line is recognised by its lines, under any name."""
    for instead in ([], [b"?\n"]):
        lines = [*instead, *log_files(Session("a", 1, 1, 0, BLOCKS))[log_source("a")][1:]]
        files: Files = {log_source("a"): lines, Source(log_source("a").run, "a", "copy.jsonl"): lines}

        assert [("0001-0001.jsonl", 1)] == [
            (fault.file.rsplit("/")[-1], fault.line)
            for one in build_result(fold(files), final=True).clients
            for fault in one.faults
        ]


def test_a_damaged_ledger_is_reported_once_for_its_own_file() -> None:
    """A fault in a ledger and its copy is reported once, for the original."""
    files = good_run()
    files[ledger_source()][3] = b"garbage\n"
    copy = {ledger_source("0123456789ab (copy)"): files[ledger_source()]}
    faults = build_result(fold({**copy, **files}), final=True).ledger_faults

    assert [(ledger_source().path, 4, None)] == [(fault.file, fault.line, fault.client) for fault in faults]


def test_a_run_whose_ledger_is_lost_has_that_fault_alone() -> None:
    """A run whose logs have subscriptions and whose ledger has no line has the fault ``ledger_missing`` alone."""
    result = build_result(fold({source: lines for source, lines in good_run().items() if source.client}), final=True)

    assert [("ledger_missing", NO_LEDGER)] == [(fault.kind, fault.detail) for fault in result.faults]
