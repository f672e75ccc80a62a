"""Tests of services/collector/commands/salvage.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.collector.commands import prove
from services.collector.commands.mutations import Mutation, RunFileSet
from services.collector.commands.salvage import salvage, text
from services.collector.results.builders.ledger_builder import DAMAGED
from services.contract import blocklog, ledger
from services.contract.errors import LineError
from tests.builders.external_runs import log, numbered_messages
from tests.builders.runs import RUN, good_run, ledger_source, log_source, opening, write
from tests.unit.collector.commands.salvage_run import check, saved, texts

FIRST = log_source("client-1")
REPAIRED = {"two lines swapped", "a line written twice"}
"""Of what `prove` does, this loses nothing: all lines are there, and only out of place."""


def messages(folder: Path) -> Iterator[tuple[str, int, bytes]]:
    """Yield client, seq and record of every good message."""
    for data in texts(folder / "logs").values():
        for line in data.splitlines(keepends=True):
            try:
                _, entry = blocklog.codec.decode(line)
            except LineError:
                continue
            if isinstance(entry, blocklog.Block):
                yield from ((entry.client, one.seq, bytes(one.record)) for one in entry.messages)


def test_undamaged_files_are_copied_byte_for_byte(tmp_path: Path) -> None:
    """Every file of an undamaged run is copied byte for byte, and nothing is left out."""
    found, made, out = saved(tmp_path, good_run())

    assert texts(tmp_path / "source") == texts(out)
    assert ("PASS", [], 0) == (made.verdict, found.left_out, found.copies)
    assert [("client-1", 2, 6, 60), ("client-2", 2, 6, 60)] == [
        (one.client, one.files, one.blocks, one.messages) for one in found.clients
    ]


@settings(max_examples=60)
@given(st.integers(), st.sampled_from(list(prove.DAMAGES)))
def test_whatever_happened_what_is_good_is_saved(seed: int, name: str) -> None:
    """The copy has every good message byte for byte, and passes only if the source does; the source is unchanged."""
    with TemporaryDirectory() as place:
        source, out = Path(place) / "source", Path(place) / "out"
        write(good_run(), source)
        damaged: Mutation = prove.DAMAGES[name](RunFileSet(source, RUN, Random(seed)))
        for file, lines in damaged.files.items():
            (source / file.path).unlink()
            if lines is not None:
                (source / file.path).write_bytes(b"".join(lines))
        before, (was, evidence_of) = texts(source), check(source)
        salvage(source, evidence_of, was.faults, out)
        made, _ = check(out)

        assert before == texts(source)
        assert {"line_missing"} >= {fault.kind for fault in made.faults}
        assert set(messages(source)) == set(messages(out))
        assert (was.totals.received, was.totals.missing) == (made.totals.received, made.totals.missing)
        assert (name in REPAIRED) is (made.verdict == "PASS")


def test_what_is_left_out_is_listed_with_its_seqs(tmp_path: Path) -> None:
    """A line that is left out is listed with the seqs that were lost with it."""
    files = good_run()
    files[FIRST][1] = b"garbage\n"
    found, made, _ = saved(tmp_path, files)

    assert [(FIRST.path, 2, (1, 10))] == [(one.file, one.line, one.missing) for one in found.left_out]
    assert [("client-1", [(1, 10)])] == [(one.client, one.missing_ranges) for one in made.clients if one.missing]
    assert (10, 0) == (made.missing_by_cause.receipted_not_logged, made.totals.residual)
    assert [
        f"{RUN}  salvaged  2 clients, 11 blocks, 110 messages",
        f"  {FIRST.path}:2  left out  seq 1-10  the line does not begin with its crc",
        "  the copy is FAIL: client-1: 10 messages missing, 1–10 (receipted, not logged)",
    ] == text(found, made).splitlines()


def test_copies_are_there_once(tmp_path: Path) -> None:
    """Lines of several copies of a file are in the copy once."""
    files = good_run()
    files[log_source("client-1", 7)] = files[FIRST]
    found, made, _ = saved(tmp_path, files)

    assert len(files[FIRST]) == found.copies
    assert "PASS" == made.verdict
    assert "  4 repeated lines, copied once\n" in text(found, made)


def test_the_ledger_is_not_repaired(tmp_path: Path) -> None:
    """The damaged lines of a ledger are left out, and its chain is not repaired."""
    files = good_run()
    files[ledger_source()][5] = b"garbage\n"
    found, made, _ = saved(tmp_path, files)

    assert [(ledger_source().path, 6)] == [(one.file, one.line) for one in found.left_out]
    assert ("INVALID", ["line_missing"]) == (made.verdict, [fault.kind for fault in made.faults])


@pytest.mark.parametrize("odd", ["another run's", "twice"])
def test_what_does_not_belong_into_the_ledger_is_left_out(tmp_path: Path, odd: str) -> None:
    """A ledger's line of another run, and a repeated line, are left out."""
    files = good_run()
    lines = files[ledger_source()]
    lines.append(lines[3] if odd == "twice" else _stranger())
    found, made, _ = saved(tmp_path, files)

    assert ("PASS", 1) == (made.verdict, len(found.left_out))


def _stranger() -> bytes:
    return ledger.codec.encode(msgspec.structs.replace(opening(1, 1), run="20200101T000000Z"), "x00000000")[0]


def test_no_damage_is_left_in_a_copy_of_garbage(tmp_path: Path) -> None:
    """A log that is damaged in every line becomes an empty file, and all of its lines are listed."""
    files = good_run()
    files[log_source("client-2")] = [b"garbage\n"] * 5
    found, made, _ = saved(tmp_path, files)

    assert 5 == len(found.left_out)
    assert not DAMAGED & {fault.kind for fault in made.faults}


def test_a_feed_that_is_not_ours_is_copied_byte_for_byte(tmp_path: Path) -> None:
    """A log of an external feed is copied byte for byte, with or without numbers."""
    files = {**log("client-1", numbered_messages([3, None, 4])), **log("client-2", numbered_messages([1, 1], key="a"))}
    found, made, out = saved(tmp_path, files)

    assert ([], "FAIL") == (found.left_out, made.verdict)
    assert texts(tmp_path / "source") == texts(out)
