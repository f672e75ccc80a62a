"""Crash matrix, continued: misfiled lines in a log, torn tails that were continued, and a damaged ledger."""

from __future__ import annotations

from functools import cache
from itertools import product

import msgspec
import pytest

from chaos.atrest import damaged_run, reference
from chaos.atrest.conftest import Count
from chaos.atrest.damaged_run import fault_kinds, intact_lines, logs, record_count, summary_with
from services.collector.scan import Source
from services.collector.verdict.summary import reconcile
from services.contract import blocklog, ledger
from services.contract.jsonl import seal
from services.contract.summary import Causes
from tests.builders import runs as factory

FILES = pytest.mark.parametrize("source", logs(), ids=lambda source: f"{source.client}/{source.name}")
INSERTIONS = pytest.mark.parametrize("is_replacement", [True, False], ids=["instead", "between"])


@cache
def misfiled_lines() -> list[bytes]:
    """Return the open and block lines of another client, and of the run's clients in another run."""
    other = factory.log_files(reference.sessions(damaged_run.TOTAL, damaged_run.SIZE)[0])
    lines_found = [line for lines in other.values() for line in lines[:-1]]
    for source in logs():
        for line in intact_lines()[source]:
            text = b"{" + line[len(b'{"crc":"x00000000","prev":"x00000000",') : -1]
            if b'"run"' in text:
                changed = text.replace(factory.RUN.encode(), b"20251122T073000Z")
                lines_found.append(seal(changed, line[27:36].decode())[0])
    return lines_found


@FILES
@INSERTIONS
def test_a_strangers_line_is_foreign(source: Source, count: Count, *, is_replacement: bool) -> None:
    """A line of another client or run is reported as misfiled, and never counted."""
    lines = intact_lines()[source]
    for index, line in product(range(len(lines)), misfiled_lines()):
        summary = summary_with(source, b"".join([*lines[:index], line, *lines[index + is_replacement :]]))
        lost = record_count([lines[index]]) if is_replacement else 0
        expected = Causes(foreign=lost)
        assert (expected, "FAIL" if lost else "INVALID") == (summary.missing_by_cause, summary.verdict), index
        # In front of the open line it also makes that line misplaced.
        assert {"foreign"} == fault_kinds(summary, source) - (
            {"misplaced"} if index == 0 and not is_replacement else set()
        ), index
        count("log: splice of another client or run")


@FILES
@INSERTIONS
def test_a_line_of_another_file_of_the_client_costs_nothing_else(
    source: Source, count: Count, *, is_replacement: bool
) -> None:
    """A line of another session or segment of the client is reported; every other line still counts."""
    lines = intact_lines()[source]
    others = [
        line for other in logs() if other.client == source.client and other != source for line in intact_lines()[other]
    ]
    for index, line in product(range(len(lines)), others):
        summary = summary_with(source, b"".join([*lines[:index], line, *lines[index + is_replacement :]]))
        lost = record_count([lines[index]]) if is_replacement else 0
        assert lost == summary.totals.missing, (index, line[:120], summary.reasons)
        assert "PASS" != summary.verdict, (index, line[:200])
        count("log: splice of another session or segment")


def test_a_torn_tail_that_was_continued_is_harmless(count: Count) -> None:
    """A run with a torn block that the next session received again passes, and the torn tail is reported."""
    source = factory.log_source("client-3")
    data = damaged_run.intact_volume()[source]
    torn = intact_lines()[factory.log_source("client-3", 2)][1]
    for size in range(1, len(torn)):
        summary = summary_with(source, data + torn[:size])
        assert ("PASS", {"torn"}) == (summary.verdict, fault_kinds(summary, source)), summary.reasons
        assert [0, size] == [client.torn for client in summary.clients]
        count("log: torn tail")


def test_a_torn_tail_that_was_cut_off_is_harmless(count: Count) -> None:
    """A torn tail that the next session cut off and recorded in its open line is reported, and the run passes."""
    source = factory.log_source("client-3", 2)
    session = reference.sessions(damaged_run.TOTAL, damaged_run.SIZE)[-1]
    for size in range(1, 100):
        files = factory.log_files(session, [blocklog.Torn("0001-0001.jsonl", size)])
        summary = judged_without_originals(source, files[source])
        assert ("PASS", [0, size]) == (summary[0], summary[1])
        count("log: torn tail cut off")


def judged_without_originals(source: Source, lines: list[bytes]) -> tuple[str | None, list[int]]:
    """Return the verdict and the torn bytes by client of a volume with one file replaced."""
    evidence = damaged_run.fold({**damaged_run.intact_volume(), source: b"".join(lines)})
    summary = reconcile(evidence, final=True)
    return summary.verdict, [client.torn for client in summary.clients]


LEDGER = factory.ledger_source()


def test_a_cut_ledger_never_passes(count: Count) -> None:
    """A run whose ledger lacks its end is INVALID, and no record is missing because of it."""
    data = damaged_run.intact_volume()[LEDGER]
    for size in range(0, len(data), 3):
        assert "INVALID" == summary_with(LEDGER, data[:size]).verdict, size
        count("ledger: cut")


def test_a_flipped_bit_in_the_ledger_never_passes(count: Count) -> None:
    """A flipped bit in the ledger is reported as a damaged line, and the run does not pass."""
    data = damaged_run.intact_volume()[LEDGER]
    for index, text in damaged_run.flips(data, 3):
        summary = summary_with(LEDGER, text)
        last = index == len(data) - 1
        assert {"torn" if last else "corrupt_line"} == fault_kinds(summary, LEDGER), index
        assert "PASS" != summary.verdict, index
        count("ledger: flip")


def test_zeros_in_the_ledger_never_pass(count: Count) -> None:
    """A zeroed sector of the ledger is reported as damaged lines or a torn tail, and the run does not pass."""
    data = damaged_run.intact_volume()[LEDGER]
    for start in (*range(0, len(data), reference.SECTOR), *range(8, len(data), 24)):
        stop = min(start + reference.SECTOR, len(data))
        summary = summary_with(LEDGER, data[:start] + bytes(stop - start) + data[stop:])
        assert {"torn" if stop == len(data) else "corrupt_line"} == fault_kinds(summary, LEDGER), start
        assert "PASS" != summary.verdict, start
        count("ledger: zero every sector")


def test_lines_of_the_ledger_cannot_go_or_change_places(count: Count) -> None:
    """A dropped, repeated or swapped line of the ledger is reported, and the run does not pass."""
    lines = intact_lines()[LEDGER]
    for first, line in enumerate(lines):
        for second in range(first + 1, len(lines) + 1):
            dropped = summary_with(LEDGER, b"".join(lines[:first] + lines[second:]))
            assert "PASS" != dropped.verdict
            assert ({"line_missing"} if second < len(lines) else set()) == fault_kinds(dropped, LEDGER)
            repeated = summary_with(LEDGER, b"".join([*lines[:second], line, *lines[second:]]))
            assert "PASS" != repeated.verdict
            assert {"repeated"} == fault_kinds(repeated, LEDGER) - {"misplaced"}
            count("ledger: drop")
            count("ledger: repeat")
            if second < len(lines):
                text = list(lines)
                text[first], text[second] = text[second], text[first]
                swapped = summary_with(LEDGER, b"".join(text))
                assert "PASS" != swapped.verdict
                assert fault_kinds(swapped, LEDGER) & {"moved", "misplaced", "line_missing"}
                count("ledger: swap")


def test_a_torn_tail_of_the_ledger_is_harmless(count: Count) -> None:
    """A ledger with a torn tail after its end line is complete, and the run passes."""
    tail = intact_lines()[LEDGER][-1]
    for size in range(1, len(tail)):
        summary = summary_with(LEDGER, damaged_run.intact_volume()[LEDGER] + tail[:size])
        assert ("PASS", {"torn"}) == (summary.verdict, fault_kinds(summary, LEDGER))
        count("ledger: torn tail")


def test_a_rewritten_receipt_does_not_match(count: Count) -> None:
    """A receipt that was changed and sealed again breaks the chain, and does not match its block."""
    lines = intact_lines()[LEDGER]
    for index, line in enumerate(lines):
        sealed, entry = ledger.codec.decode(line)
        if isinstance(entry, ledger.ReceiptEntry):
            forged = ledger.codec.encode(msgspec.structs.replace(entry, digest="x00000000"), sealed.prev)[0]
            summary = summary_with(LEDGER, b"".join([*lines[:index], forged, *lines[index + 1 :]]))
            assert ("FAIL", {"line_missing"}) == (summary.verdict, fault_kinds(summary, LEDGER))
            count("ledger: rewritten receipt")
