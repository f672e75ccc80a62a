"""Crash matrix of the books, continued: lines of others in a log, torn tails that were continued, a damaged ledger."""

from __future__ import annotations

from functools import cache
from itertools import product

import msgspec
import pytest

from chaos.atrest import damaged_run, reference
from chaos.atrest.conftest import Count
from chaos.atrest.damaged_run import held, judged, kinds, logs, sound
from services.collector.scan import Source
from services.collector.verdict.summary import reconcile
from services.contract import blocklog, ledger
from services.contract.jsonl import seal
from services.contract.summary import Causes
from tests.builders import runs as factory

FILES = pytest.mark.parametrize("source", logs(), ids=lambda source: f"{source.client}/{source.name}")
PLACES = pytest.mark.parametrize("instead", [True, False], ids=["instead", "between"])


@cache
def strangers() -> list[bytes]:
    """Return the open and block lines of another client, and of our own clients in another run."""
    other = factory.log_files(reference.sessions(damaged_run.TOTAL, damaged_run.SIZE)[0])
    found = [line for lines in other.values() for line in lines[:-1]]
    for source in logs():
        for line in sound()[source]:
            text = b"{" + line[len(b'{"crc":"x00000000","prev":"x00000000",') : -1]
            if b'"run"' in text:
                changed = text.replace(factory.RUN.encode(), b"20251122T073000Z")
                found.append(seal(changed, line[27:36].decode())[0])
    return found


@FILES
@PLACES
def test_a_strangers_line_is_foreign(source: Source, count: Count, *, instead: bool) -> None:
    """A line of another client or run is named, hides what it replaced, and is never counted."""
    lines = sound()[source]
    for place, line in product(range(len(lines)), strangers()):
        summary = judged(source, b"".join([*lines[:place], line, *lines[place + instead :]]))
        lost = held([lines[place]]) if instead else 0
        expected = Causes(foreign=lost)
        assert (expected, "FAIL" if lost else "INVALID") == (summary.missing_by_cause, summary.verdict), place
        # Before the open line a stranger also puts that out of place.
        assert {"foreign"} == kinds(summary, source) - ({"misplaced"} if place == 0 and not instead else set()), place
        count("books: splice of another client or run")


@FILES
@PLACES
def test_a_line_of_another_file_of_the_client_costs_nothing_else(
    source: Source, count: Count, *, instead: bool
) -> None:
    """A line of another session or segment, in the wrong file, is named; every other line still counts."""
    lines = sound()[source]
    others = [line for other in logs() if other.client == source.client and other != source for line in sound()[other]]
    for place, line in product(range(len(lines)), others):
        summary = judged(source, b"".join([*lines[:place], line, *lines[place + instead :]]))
        lost = held([lines[place]]) if instead else 0
        assert lost == summary.totals.missing, (place, line[:120], summary.reasons)
        assert "PASS" != summary.verdict, (place, line[:200])
        count("books: splice of another session or segment")


def test_a_torn_tail_that_was_continued_is_harmless(count: Count) -> None:
    """Whatever was left of a block that the next session received again, the run passes and the tail is told."""
    source = factory.log_source("client-3")
    data = damaged_run.volume()[source]
    torn = sound()[factory.log_source("client-3", 2)][1]
    for size in range(1, len(torn)):
        summary = judged(source, data + torn[:size])
        assert ("PASS", {"torn"}) == (summary.verdict, kinds(summary, source)), summary.reasons
        assert [0, size] == [client.torn for client in summary.clients]
        count("books: torn tail")


def test_a_torn_tail_that_was_cut_off_is_harmless(count: Count) -> None:
    """A tail that the next session cut off and entered in its first line is told, and the run passes."""
    source = factory.log_source("client-3", 2)
    session = reference.sessions(damaged_run.TOTAL, damaged_run.SIZE)[-1]
    for size in range(1, 100):
        files = factory.log_files(session, [blocklog.Torn("0001-0001.jsonl", size)])
        summary = judged_without_originals(source, files[source])
        assert ("PASS", [0, size]) == (summary[0], summary[1])
        count("books: torn tail cut off")


def judged_without_originals(source: Source, lines: list[bytes]) -> tuple[str | None, list[int]]:
    """Return verdict and torn bytes of a volume with one file rewritten by its own client."""
    books = damaged_run.fold({**damaged_run.volume(), source: b"".join(lines)})
    summary = reconcile(books, final=True)
    return summary.verdict, [client.torn for client in summary.clients]


LEDGER = factory.ledger_source()


def test_a_cut_ledger_never_passes(count: Count) -> None:
    """A ledger without its end invalidates the run and takes no record from any log."""
    data = damaged_run.volume()[LEDGER]
    for size in range(0, len(data), 3):
        assert "INVALID" == judged(LEDGER, data[:size]).verdict, size
        count("ledger: cut")


def test_a_flipped_bit_in_the_ledger_never_passes(count: Count) -> None:
    """A damaged line of the ledger is named, and no run passes on it."""
    data = damaged_run.volume()[LEDGER]
    for place, text in damaged_run.flips(data, 3):
        summary = judged(LEDGER, text)
        last = place == len(data) - 1
        assert {"torn" if last else "corrupt_line"} == kinds(summary, LEDGER), place
        assert "PASS" != summary.verdict, place
        count("ledger: flip")


def test_zeros_in_the_ledger_never_pass(count: Count) -> None:
    """Zeroed sectors of the ledger are damaged lines, or a torn tail."""
    data = damaged_run.volume()[LEDGER]
    for start in (*range(0, len(data), reference.SECTOR), *range(8, len(data), 24)):
        stop = min(start + reference.SECTOR, len(data))
        summary = judged(LEDGER, data[:start] + bytes(stop - start) + data[stop:])
        assert {"torn" if stop == len(data) else "corrupt_line"} == kinds(summary, LEDGER), start
        assert "PASS" != summary.verdict, start
        count("ledger: zero every sector")


def test_lines_of_the_ledger_cannot_go_or_change_places(count: Count) -> None:
    """A dropped, repeated or swapped line of the ledger is named, and no run passes on it."""
    lines = sound()[LEDGER]
    for first, line in enumerate(lines):
        for second in range(first + 1, len(lines) + 1):
            dropped = judged(LEDGER, b"".join(lines[:first] + lines[second:]))
            assert "PASS" != dropped.verdict
            assert ({"line_missing"} if second < len(lines) else set()) == kinds(dropped, LEDGER)
            repeated = judged(LEDGER, b"".join([*lines[:second], line, *lines[second:]]))
            assert "PASS" != repeated.verdict
            assert {"repeated"} == kinds(repeated, LEDGER) - {"misplaced"}
            count("ledger: drop")
            count("ledger: repeat")
            if second < len(lines):
                text = list(lines)
                text[first], text[second] = text[second], text[first]
                swapped = judged(LEDGER, b"".join(text))
                assert "PASS" != swapped.verdict
                assert kinds(swapped, LEDGER) & {"moved", "misplaced", "line_missing"}
                count("ledger: swap")


def test_a_torn_tail_of_the_ledger_is_harmless(count: Count) -> None:
    """A ledger whose server was cut short after its end is whole."""
    tail = sound()[LEDGER][-1]
    for size in range(1, len(tail)):
        summary = judged(LEDGER, damaged_run.volume()[LEDGER] + tail[:size])
        assert ("PASS", {"torn"}) == (summary.verdict, kinds(summary, LEDGER))
        count("ledger: torn tail")


def test_a_rewritten_receipt_does_not_match(count: Count) -> None:
    """A receipt that was changed and sealed again breaks the chain after it, and differs from the block."""
    lines = sound()[LEDGER]
    for index, line in enumerate(lines):
        sealed, entry = ledger.codec.decode(line)
        if isinstance(entry, ledger.ReceiptEntry):
            forged = ledger.codec.encode(msgspec.structs.replace(entry, digest="x00000000"), sealed.prev)[0]
            summary = judged(LEDGER, b"".join([*lines[:index], forged, *lines[index + 1 :]]))
            assert ("FAIL", {"line_missing"}) == (summary.verdict, kinds(summary, LEDGER))
            count("ledger: rewritten receipt")
