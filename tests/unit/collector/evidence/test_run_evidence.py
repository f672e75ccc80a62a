"""Tests of services/collector/evidence/run_evidence.py."""

from services.collector.evidence.run_evidence import RunEvidence
from services.collector.scan import FileTail
from services.collector.verdict.summary import reconcile
from services.contract import blocklog
from tests.builders.runs import (
    RUN,
    Session,
    fold,
    good_run,
    judged,
    ledger_source,
    log_files,
    log_source,
)
from tests.unit.contract.test_unreleased_form import UNRELEASED_LOG


def sealed(files_of: Session, session: int | None = None) -> bool:
    """Return whether a session counts as sealed."""
    return fold(log_files(files_of)).is_sealed(files_of.client, session)


def test_a_session_is_sealed_by_the_end_of_its_last_segment() -> None:
    """An end line seals its session, unless its reason announces another segment."""
    blocks = [(1, 10), (11, 20)]

    assert sealed(Session("a", 1, 1, 0, blocks, cuts={1}))
    assert not sealed(Session("a", 1, 1, 0, blocks, reason=None))
    assert not sealed(Session("a", 1, 1, 0, blocks, cuts={1}, reason="error"))
    assert not fold({}).is_sealed("a")


def test_the_last_session_counts_unless_another_is_named() -> None:
    """A crashed session that is followed by a sealed one does not leave the log open."""
    files = log_files(Session("a", 1, 1, 0, [(1, 10)], reason=None)) | log_files(Session("a", 2, 2, 10, [(11, 20)]))

    assert fold(files).is_sealed("a")
    assert not fold(files).is_sealed("a", 1)


def test_a_file_that_was_only_claimed_has_nothing_to_seal() -> None:
    """An empty file of a later session does not make the log unsealed."""
    files = log_files(Session("a", 1, 1, 0, [(1, 10)])) | {log_source("a", 2): []}

    assert fold(files).is_sealed("a")


def test_a_torn_tail_is_reported_and_counted_once() -> None:
    """Bytes without a newline are a fault of their file, counted once under the segment's name, also in a copy."""
    files = log_files(Session("a", 1, 1, 0, [(1, 10)], reason=None))
    source, copy = log_source("a"), log_source("a", 9)
    books = fold({**files, copy: files[source]})
    books.add_tails([FileTail(source, 7), FileTail(copy, 7)])

    assert {blocklog.file_name(1, 1): 7} == books.logs["a"].torn
    assert [(3, "torn")] == [(damage.line, damage.kind) for damage in books.logs["a"].file(source).chain.damages]


def test_bytes_after_the_end_line_are_not_a_torn_tail() -> None:
    """Bytes after the end line are misplaced, not torn."""
    books = fold(log_files(Session("a", 1, 1, 0, [(1, 10)])))
    books.add_tails([FileTail(log_source("a"), 7)])

    assert ["misplaced"] == [damage.kind for damage in books.logs["a"].file(log_source("a")).chain.damages]


def test_a_refused_file_is_a_fault() -> None:
    """A file that cannot be read is reported with the reason."""
    books = RunEvidence(RUN)
    books.add_tails([FileTail(ledger_source(), 0, "Permission denied")])
    (damage,) = books.ledger.file(ledger_source()).chain.damages

    assert ("unreadable", "the file cannot be read: Permission denied") == (damage.kind, damage.detail)


def test_a_torn_ledger_is_harmless() -> None:
    """An incomplete last line of a ledger does not change the verdict."""
    files = good_run()
    files[ledger_source("other")] = files[ledger_source()][:1]
    books = fold(files)
    books.add_tails([FileTail(ledger_source("other"), 5)])

    assert ["torn"] == [damage.kind for damage in books.ledger.file(ledger_source("other")).chain.damages]
    assert "PASS" == judged(files).verdict


def test_an_external_log_from_before_the_first_release_is_refused_in_one_line() -> None:
    """A log of the unreleased form has one fault, its headline names the form, and no ledger is reported as missing."""
    books = fold({log_source(client): UNRELEASED_LOG for client in ("client-1", "client-2")})
    summary = reconcile(books, final=True)
    cause = "version 1 of an external feed's block log; this reader knows version 2: record the run again"

    assert ("INVALID", "one-sided") == (summary.verdict, summary.books)
    assert summary.headline == f"nothing was measured: no client logged a message; client-1, client-2: {cause}"
    assert [("client-1", 1, f"{cause} (and 2 more)"), ("client-2", 1, f"{cause} (and 2 more)")] == [
        (fault.client, fault.line, fault.detail) for fault in summary.faults
    ]
    assert 3 == len(summary.reasons)
