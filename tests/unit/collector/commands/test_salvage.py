"""Tests of services/collector/commands/salvage.py."""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.collector.commands import prove, verify
from services.collector.commands.damages import Damaged, Run
from services.collector.commands.salvage import Salvage, salvage, text
from services.collector.reconcile.account import DAMAGED
from services.collector.reconcile.books import RunBooks
from services.contract import blocklog, foreign, ledger
from services.contract.errors import LineError
from services.contract.fields import utc_text
from services.contract.summary import Summary
from tests.unit.collector.books_factory import RUN, Files, good_run, ledger_source, log_source, opening, write
from tests.unit.collector.reconcile.heard_factory import UNTIL_US, heard, log

FIRST = log_source("client-1")
SECOND = log_source("client-1", 1, 2)
REPAIRED = {"two lines swapped", "a line written twice"}
"""Of what `prove` does, this loses nothing: all lines are there, and only out of place."""


def check(volumes: Path) -> tuple[Summary, RunBooks]:
    """Return what is said of a folder's one run."""
    ((made, books),) = verify.check(volumes)
    return made, books


def saved(volumes: Path, files: Files) -> tuple[Salvage, Summary, Path]:
    """Salvage these files; return what came of it, what is said of the copy, and where it is."""
    write(files, volumes / "source")
    made, books = check(volumes / "source")
    found = salvage(volumes / "source", books, made.faults, volumes / "out")
    return found, check(volumes / "out")[0], volumes / "out"


def texts(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.jsonl"))}


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


def test_undamaged_books_are_copied_byte_for_byte(tmp_path: Path) -> None:
    """Every file is what it was, and nothing is left out."""
    found, made, out = saved(tmp_path, good_run())

    assert texts(tmp_path / "source") == texts(out)
    assert ("PASS", [], 0) == (made.verdict, found.left_out, found.copies)
    assert [("client-1", 2, 6, 60), ("client-2", 2, 6, 60)] == [
        (one.client, one.files, one.blocks, one.messages) for one in found.clients
    ]


@settings(max_examples=60)
@given(st.integers(), st.sampled_from(list(prove.DAMAGES)))
def test_whatever_happened_what_is_good_is_saved(seed: int, name: str) -> None:
    """No damaged line, every message that was good, byte for byte; the source as it was; and no PASS but by right."""
    with TemporaryDirectory() as place:
        source, out = Path(place) / "source", Path(place) / "out"
        write(good_run(), source)
        damaged: Damaged = prove.DAMAGES[name](Run(source, RUN, Random(seed)))
        for file, lines in damaged.files.items():
            (source / file.path).unlink()
            if lines is not None:
                (source / file.path).write_bytes(b"".join(lines))
        before, (was, books) = texts(source), check(source)
        salvage(source, books, was.faults, out)
        made, _ = check(out)

        assert before == texts(source)
        assert {"line_missing"} >= {fault.kind for fault in made.faults}
        assert set(messages(source)) == set(messages(out))
        assert (was.totals.received, was.totals.missing) == (made.totals.received, made.totals.missing)
        assert (name in REPAIRED) is (made.verdict == "PASS")


def test_what_is_left_out_is_listed_with_its_seqs(tmp_path: Path) -> None:
    """The damaged line, and what the server's receipts say of it in the copy."""
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


def test_counts_and_checksums_are_those_of_the_copy(tmp_path: Path) -> None:
    """The end line of a file that lost a block says what the copy holds, so that no fault is left in it."""
    files = good_run()
    files[SECOND][2] = b"garbage\n"
    _, made, out = saved(tmp_path, files)
    entries = [blocklog.codec.decode(line)[1] for line in (out / SECOND.path).read_bytes().splitlines(keepends=True)]
    end = entries[-1]

    assert isinstance(end, blocklog.End)
    assert ([], 3, 30, "finished") == (made.faults, end.block_count, end.message_count, end.reason)


def test_a_damaged_open_line_is_made_anew(tmp_path: Path) -> None:
    """Of another segment's, or of what the ledger says: then the copy of a run that lost nothing else passes."""
    files = good_run()
    for source in (SECOND, log_source("client-2")):
        files[source][0] = b"garbage\n"
    found, made, out = saved(tmp_path, files)
    _, entry = blocklog.codec.decode((out / log_source("client-2").path).read_bytes().splitlines(keepends=True)[0])

    assert [[SECOND.path], [log_source("client-2").path]] == [client.remade for client in found.clients]
    assert ("PASS", []) == (made.verdict, made.faults)
    assert isinstance(entry, blocklog.Open)
    assert ("client-2", 1, 2, 10, "none", 0) == (
        entry.client, entry.session, entry.fence, entry.block_size, entry.fsync, entry.after
    )  # fmt: skip
    assert f"  {SECOND.path}  its open line made anew\n" in text(found, made)


def test_without_a_ledger_an_open_line_says_what_the_blocks_say(tmp_path: Path) -> None:
    """Nobody knows more."""
    files = {log_source("client-2", 2): good_run()[log_source("client-2", 2)]}
    files[log_source("client-2", 2)][0] = b"garbage\n"
    _, made, out = saved(tmp_path, files)
    _, entry = blocklog.codec.decode((out / log_source("client-2", 2).path).read_bytes().splitlines(keepends=True)[0])

    assert isinstance(entry, blocklog.Open)
    assert (0, 10, 30, "unknown") == (entry.fence, entry.block_size, entry.after, entry.host)
    assert "INVALID" == made.verdict


def test_a_break_that_nothing_explains_stays(tmp_path: Path) -> None:
    """A line that is simply gone, and an open line too, are not smoothed over: the copy still shows them."""
    files = good_run()
    del files[FIRST][1]
    del files[log_source("client-2")][0]
    _, made, _ = saved(tmp_path, files)

    assert [(FIRST.path, 2), (log_source("client-2").path, 2)] == [
        (fault.file, fault.line) for fault in made.faults if fault.kind == "line_missing"
    ]


def test_a_line_in_anothers_file_comes_home(tmp_path: Path) -> None:
    """A block that stood in another client's log is in its own again, between its neighbours."""
    files = good_run()
    files[log_source("client-2")].insert(2, files[FIRST].pop(2))
    _, made, out = saved(tmp_path, files)

    assert ("PASS", []) == (made.verdict, made.faults)
    assert good_run()[FIRST] == (out / FIRST.path).read_bytes().splitlines(keepends=True)


def test_copies_are_there_once(tmp_path: Path) -> None:
    """However many copies of a file there are."""
    files = good_run()
    files[log_source("client-1", 7)] = files[FIRST]
    found, made, _ = saved(tmp_path, files)

    assert len(files[FIRST]) == found.copies
    assert "PASS" == made.verdict
    assert "  4 lines of copies, there once\n" in text(found, made)


def test_the_ledger_is_not_mended(tmp_path: Path) -> None:
    """Its damaged lines are left out; the gap they leave is still to be seen."""
    files = good_run()
    files[ledger_source()][5] = b"garbage\n"
    found, made, _ = saved(tmp_path, files)

    assert [(ledger_source().path, 6)] == [(one.file, one.line) for one in found.left_out]
    assert ("INVALID", ["line_missing"]) == (made.verdict, [fault.kind for fault in made.faults])


@pytest.mark.parametrize("odd", ["another run's", "twice"])
def test_what_does_not_belong_into_the_ledger_is_left_out(tmp_path: Path, odd: str) -> None:
    """The open line of another run, and a line that stands there already."""
    files = good_run()
    lines = files[ledger_source()]
    lines.append(lines[3] if odd == "twice" else _stranger())
    found, made, _ = saved(tmp_path, files)

    assert ("PASS", 1) == (made.verdict, len(found.left_out))


def _stranger() -> bytes:
    return ledger.codec.encode(msgspec.structs.replace(opening(1, 1), run="20200101T000000Z"), "x00000000")[0]


def test_files_that_were_only_claimed_are_there(tmp_path: Path) -> None:
    """An empty file is a session that logged nothing, and that is something to know."""
    _, _, out = saved(tmp_path, {**good_run(), log_source("client-2", 3): []})

    assert b"" == (out / log_source("client-2", 3).path).read_bytes()


def test_no_damage_is_left_in_a_copy_of_garbage(tmp_path: Path) -> None:
    """Of a log that is damaged in every line an empty file is left, and all of it is listed."""
    files = good_run()
    files[log_source("client-2")] = [b"garbage\n"] * 5
    found, made, _ = saved(tmp_path, files)

    assert 5 == len(found.left_out)
    assert not DAMAGED & {fault.kind for fault in made.faults}


def test_a_feed_that_is_not_ours_is_copied_byte_for_byte(tmp_path: Path) -> None:
    """Its blocks, with numbers of its own or none, are as good as any."""
    files = {**log("client-1", heard([3, None, 4])), **log("client-2", heard([1, 1], key="a"))}
    found, made, out = saved(tmp_path, files)

    assert ([], "FAIL") == (found.left_out, made.verdict)
    assert texts(tmp_path / "source") == texts(out)


def test_an_open_line_of_a_foreign_feed_is_made_anew(tmp_path: Path) -> None:
    """Which feed it was, and until when, the other client of the run says; what the client lacks is still missing."""
    files = {**log("client-1", heard(range(8)), seq="$.n"), **log("client-2", heard(range(12)), seq="$.n")}
    (first,) = (source for source in files if source.client == "client-1")
    files[first] = [b"?\n", *files[first][1:]]
    found, made, out = saved(tmp_path, files)
    _, entry = foreign.codec.decode((out / first.path).read_bytes().splitlines(keepends=True)[0])

    assert [first.path] == found.clients[0].remade
    assert isinstance(entry, foreign.Open)
    assert (foreign.Feed(url="ws://feed", seq="$.n"), utc_text(UNTIL_US)) == (entry.foreign, entry.until)
    assert [4, 0] == [client.missing for client in made.clients]


def test_without_any_open_line_the_feed_is_unknown(tmp_path: Path) -> None:
    """Where nobody says which feed it was, the copy does not either; its messages are saved."""
    ((source, lines),) = log("client-1", heard([1, 2])).items()
    found, _, out = saved(tmp_path, {source: [b"?\n", *lines[1:]]})

    assert 2 == found.clients[0].messages
    assert b'"foreign":{"url":"unknown"' in (out / source.path).read_bytes()
