"""Tests of the copy of one client's log after lines were left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from services.collector.commands.salvage import text
from services.collector.scan import Source
from services.contract import blocklog
from services.contract.feed_description import FeedDescription
from services.contract.scalars import utc_text
from tests.builders.external_runs import UNTIL_US, log, numbered_messages
from tests.builders.runs import good_run, log_source
from tests.unit.collector.commands.salvage_run import check, saved, texts

FIRST = log_source("client-1")
SECOND = log_source("client-1", 1, 2)


def test_counts_and_checksums_are_those_of_the_copy(tmp_path: Path) -> None:
    """The end line has the counts and checksums of the copy."""
    files = good_run()
    files[SECOND][2] = b"garbage\n"
    _, made, out = saved(tmp_path, files)
    entries = [blocklog.codec.decode(line)[1] for line in (out / SECOND.path).read_bytes().splitlines(keepends=True)]
    end = entries[-1]

    assert isinstance(end, blocklog.EndLine)
    assert ([], 3, 30, "finished") == (made.faults, end.block_count, end.message_count, end.reason)


def test_a_damaged_open_line_is_made_anew(tmp_path: Path) -> None:
    """A damaged open line is made again from another segment's or the ledger's, and an otherwise good run passes."""
    files = good_run()
    for source in (SECOND, log_source("client-2")):
        files[source][0] = b"garbage\n"
    found, made, out = saved(tmp_path, files)
    _, entry = blocklog.codec.decode((out / log_source("client-2").path).read_bytes().splitlines(keepends=True)[0])

    assert [[SECOND.path], [log_source("client-2").path]] == [client.remade for client in found.clients]
    assert ("PASS", []) == (made.verdict, made.faults)
    assert isinstance(entry, blocklog.OpenLine)
    assert ("client-2", 1, 2, 10, "none", 0) == (
        entry.client, entry.session, entry.fence, entry.block_size, entry.fsync, entry.after
    )  # fmt: skip
    assert f"  {SECOND.path}  its open line reconstructed\n" in text(found, made)


def test_without_a_ledger_an_open_line_states_what_the_blocks_say(tmp_path: Path) -> None:
    """A reconstructed open line has only facts from the blocks."""
    files = {log_source("client-2", 2): good_run()[log_source("client-2", 2)]}
    files[log_source("client-2", 2)][0] = b"garbage\n"
    _, made, out = saved(tmp_path, files)
    _, entry = blocklog.codec.decode((out / log_source("client-2", 2).path).read_bytes().splitlines(keepends=True)[0])

    assert isinstance(entry, blocklog.OpenLine)
    assert (0, 10, 30, "unknown") == (entry.fence, entry.block_size, entry.after, entry.host)
    assert "INVALID" == made.verdict


def test_a_break_that_nothing_explains_stays(tmp_path: Path) -> None:
    """A break in the chain without a damaged line is not repaired."""
    files = good_run()
    del files[FIRST][1]
    del files[log_source("client-2")][0]
    _, made, _ = saved(tmp_path, files)

    assert [(FIRST.path, 2), (log_source("client-2").path, 2)] == [
        (fault.file, fault.line) for fault in made.faults if fault.kind == "line_missing"
    ]


def test_a_line_in_anothers_file_comes_home(tmp_path: Path) -> None:
    """A block in another client's log is copied to its own, between its neighbours."""
    files = good_run()
    files[log_source("client-2")].insert(2, files[FIRST].pop(2))
    _, made, out = saved(tmp_path, files)

    assert ("PASS", []) == (made.verdict, made.faults)
    assert good_run()[FIRST] == (out / FIRST.path).read_bytes().splitlines(keepends=True)


def test_files_that_were_only_claimed_are_there(tmp_path: Path) -> None:
    """A claimed, empty file is in the copy."""
    _, _, out = saved(tmp_path, {**good_run(), log_source("client-2", 3): []})

    assert b"" == (out / log_source("client-2", 3).path).read_bytes()


def test_an_open_line_of_a_external_feed_is_made_anew(tmp_path: Path) -> None:
    """An open line of an external feed is made again from that of another client."""
    files = {
        **log("client-1", numbered_messages(range(8)), seq="$.n"),
        **log("client-2", numbered_messages(range(12)), seq="$.n"),
    }
    (first,) = (source for source in files if source.client == "client-1")
    files[first] = [b"?\n", *files[first][1:]]
    found, made, out = saved(tmp_path, files)
    _, entry = blocklog.codec.decode((out / first.path).read_bytes().splitlines(keepends=True)[0])

    assert [first.path] == found.clients[0].remade
    assert isinstance(entry, blocklog.OpenLine)
    assert (FeedDescription(url="ws://feed", seq="$.n", silence_s=60), utc_text(UNTIL_US)) == (
        entry.external,
        entry.until,
    )
    assert [4, 0] == [client.missing for client in made.clients]


def test_without_any_open_line_the_feed_is_unknown(tmp_path: Path) -> None:
    """If no client recorded the feed, the copy has an unknown feed; its messages are saved."""
    ((source, lines),) = log("client-1", numbered_messages([1, 2])).items()
    found, _, out = saved(tmp_path, {source: [b"?\n", *lines[1:]]})

    assert 2 == found.clients[0].messages
    assert b'"external":{"url":"unknown"' in (out / source.path).read_bytes()


COURSE: list[Any] = [
    ("refused", 0.1, 503, "gone"), ("refused", 0.3, 503, "gone"), ("opened", 0.4), numbered_messages(range(1, 13)),
    ("closed", 0.8, 1006, ""), ("opened", 1.0), numbered_messages(range(13, 16)), ("sealed", 2.0),
]  # fmt: skip


def test_connection_lines_are_copied(tmp_path: Path) -> None:
    """Connection lines are copied in their places, byte for byte."""
    files = {**log("client-1", course=COURSE), **log("client-1", course=COURSE, session=2)}
    found, made, out = saved(tmp_path, files)

    assert texts(tmp_path / "source") == texts(out)
    assert ([], 0, 8, 30) == (found.left_out, found.copies, found.clients[0].blocks, found.clients[0].messages)
    assert made == check(tmp_path / "source")[0]


def test_copies_of_connection_lines_are_there_once(tmp_path: Path) -> None:
    """A copy of a part of a file adds nothing, wherever it begins."""
    ((source, lines),) = log("client-1", course=COURSE).items()
    for begin in range(1, len(lines) - 1):
        copy = Source(source.run, "client-1", "0000-copy.jsonl")
        found, made, out = saved(tmp_path / str(begin), {source: lines, copy: lines[begin:-1]})

        assert b"".join(lines) == (out / source.path).read_bytes()
        assert (len(lines) - 1 - begin, []) == (found.copies, found.left_out)
        assert "PASS" == made.verdict


def test_a_lost_connection_line_leaves_no_pass(tmp_path: Path) -> None:
    """With any connection line damaged neither the run nor its copy passes."""
    ((source, lines),) = log("client-1", course=COURSE).items()
    is_connection = [b'"kind":"connection"' in line for line in lines]
    for at, line in enumerate(lines):
        if not is_connection[at]:
            continue
        damaged = {source: [*lines[:at], line.replace(b'"connection"', b'"connecti0n"', 1), *lines[at + 1 :]]}
        gone = {source: [*lines[:at], *lines[at + 1 :]]}
        for number, files in enumerate((damaged, gone)):
            _, made, _ = saved(tmp_path / f"{at}-{number}", files)

            assert check(tmp_path / f"{at}-{number}" / "source")[0].verdict in ("FAIL", "INVALID")
            assert made.verdict != "PASS" or b'"refused"' in line


def test_an_open_line_before_connection_lines_is_made_anew(tmp_path: Path) -> None:
    """A file that begins with connection lines gets an open line."""
    ((source, lines),) = log("client-1", course=COURSE).items()
    found, made, out = saved(tmp_path, {source: [b"?\n", *lines[1:]]})
    _, entry = blocklog.codec.decode((out / source.path).read_bytes().splitlines(keepends=True)[0])

    assert isinstance(entry, blocklog.OpenLine)
    assert (5, "2026") == (entry.block_size, entry.opened_at[:4])
    assert (15, [source.path]) == (found.clients[0].messages, found.clients[0].remade)
    assert made.totals.received == 15
