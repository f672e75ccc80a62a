"""Tests of services/collector/log_reader.py."""

import errno
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.log_reader import LoggedMessage, MessageFilter, SkippedLine, messages, read_lines
from services.collector.scan import Source
from services.contract import blocklog
from services.contract.errors import ChecksumMismatch, TornLine
from services.contract.jsonl import FIRST as FIRST_PREV
from services.contract.jsonl import seal
from tests.builders.runs import RUN, good_run, log_source, record, write

FIRST = log_source("client-1")
SECOND = log_source("client-1", 1, 2)


def read(volumes: Path, wanted: MessageFilter | None = None) -> tuple[list[LoggedMessage], list[SkippedLine]]:
    """Return the messages that are found and the lines that are skipped."""
    passed: list[SkippedLine] = []
    return list(messages(volumes, RUN, wanted or MessageFilter(), passed.append)), passed


def seqs(found: list[LoggedMessage]) -> list[tuple[str, int | str | None]]:
    """Return client and seq of each message."""
    return [(logged.client, logged.message.seq) for logged in found]


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    """The folder of a good run: two clients, 60 records, blocks of 10."""
    write(good_run(), tmp_path)
    return tmp_path


def test_every_message_is_read_in_the_order_of_the_log(volumes: Path) -> None:
    """Messages are yielded client by client, session by session, segment by segment, with record and place."""
    found, passed = read(volumes)

    assert [(client, seq) for client in ("client-1", "client-2") for seq in range(1, 61)] == seqs(found)
    assert [] == passed
    assert ("client-2", 2, 1, 31, record(31)) == (
        *found[90][:3], found[90].message.seq, bytes(found[90].message.record)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (MessageFilter(clients=("client-2",), first=60), [("client-2", 60)]),
        (MessageFilter(clients=("client-2", "client-1"), first=5, last=5), [("client-2", 5), ("client-1", 5)]),
        (MessageFilter(session=2, last=31), [("client-2", 31)]),
        (MessageFilter(clients=("client-2",), session=2, block=3), [("client-2", seq) for seq in range(51, 61)]),
        (MessageFilter(block=6, first=58), [("client-1", 58), ("client-1", 59), ("client-1", 60)]),
        (MessageFilter(slower_than_ns=1_000_059), [("client-1", 60), ("client-2", 60)]),
        (MessageFilter(clients=("client-9",)), []),
        (MessageFilter(first=61), []),
    ],
)
def test_only_what_is_wanted_is_returned(
    volumes: Path, wanted: MessageFilter, expected: list[tuple[str, int | None]]
) -> None:
    """Client, session, block, seqs and latency each restrict the messages, alone and together."""
    assert (expected, []) == (seqs(read(volumes, wanted)[0]), read(volumes, wanted)[1])


def test_damage_is_passed_over_and_reported(volumes: Path) -> None:
    """Good lines around a damaged and a torn one are read; each bad line is reported once with its position."""
    file = volumes / FIRST.path
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([lines[0], lines[1].replace(b'"N7"', b'"N8"'), lines[2], b'{"crc":']))
    found, passed = read(volumes, MessageFilter(clients=("client-1",), last=30))

    assert [("client-1", seq) for seq in range(11, 31)] == seqs(found)
    assert [(FIRST.path, 2), (FIRST.path, 4)] == [(one.file, one.line) for one in passed]
    assert "no newline after 7 bytes: cut short, or still being written" == passed[1].detail


def test_no_damage_hides_a_block(volumes: Path) -> None:
    """A header that was damaged into another block's number is not used: the line is reported."""
    file = volumes / FIRST.path
    file.write_bytes(file.read_bytes().replace(b'"block":2,"first":11', b'"block":9,"first":11'))

    assert [(FIRST.path, 3)] == [(one.file, one.line) for one in read(volumes, MessageFilter(block=2))[1]]


def test_anothers_line_is_passed_over(volumes: Path) -> None:
    """A line of another client is not shown as this one's."""
    stranger = (volumes / log_source("client-2").path).read_bytes().splitlines(keepends=True)[1]
    (volumes / FIRST.path).write_bytes(stranger)
    found, passed = read(volumes, MessageFilter(clients=("client-1",), last=10))

    assert [] == found
    assert [f"the line belongs to client-2 in run {RUN}"] == [one.detail for one in passed]


def test_a_copy_of_a_file_repeats_nothing(volumes: Path) -> None:
    """Every block is read once, and copies are reported."""
    copy = Source(RUN, "client-1", "copy.jsonl")
    (volumes / copy.path).write_bytes((volumes / FIRST.path).read_bytes())
    found, passed = read(volumes)

    assert 120 == len(set(seqs(found))) == len(found)
    assert ["repeats 2 of the blocks that were read before"] == [one.detail for one in passed]


def test_a_file_that_cannot_be_read_is_reported(volumes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be read is reported as a whole."""

    def refuse(_: Path, source: Source) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("services.collector.log_reader.read_file", refuse)

    assert SkippedLine(FIRST.path, 0, "the file cannot be read: Permission denied") == read(volumes)[1][0]


def test_one_block_is_read_without_the_other_files(volumes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block of a named session is searched first in the files of that session, and no further once it is found."""
    opened: list[str] = []

    def opening(folder: Path, source: Source) -> list[bytes]:
        opened.append(source.path)
        return (folder / source.path).read_bytes().splitlines(keepends=True)

    monkeypatch.setattr("services.collector.log_reader.read_file", opening)
    read(volumes, MessageFilter(clients=("client-2",), session=2, block=2))

    assert [log_source("client-2", 2).path] == opened


def test_a_block_in_a_misnamed_file_is_found(volumes: Path) -> None:
    """A file is identified by its lines, not by its name."""
    (volumes / SECOND.path).rename(volumes / Source(RUN, "client-1", "renamed.jsonl").path)

    assert [("client-1", 30)] == seqs(read(volumes, MessageFilter(block=3, session=1, first=30))[0])[:1]


def test_another_writers_order_of_fields_is_read(volumes: Path) -> None:
    """A block whose header has another order of fields is decoded."""
    (_, line, *_) = (volumes / FIRST.path).read_bytes().splitlines()
    content = {name: value for name, value in reversed(json.loads(line).items()) if name not in ("crc", "prev")}
    (volumes / FIRST.path).write_bytes(seal(json.dumps(content).encode(), FIRST_PREV)[0])

    assert [("client-1", 7)] == seqs(read(volumes, MessageFilter(clients=("client-1",), first=7, last=7))[0])
    assert [] == read(volumes, MessageFilter(clients=("client-1",), session=1, block=9))[0]


@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 70))
def test_what_is_wanted_is_what_a_filter_of_all_gives(first: int, last: int, slower: int) -> None:
    """Reading with a filter gives the same messages as filtering all of them."""
    entries = [blocklog.codec.decode(line)[1] for line in good_run()[FIRST]]
    blocks = [entry for entry in entries if isinstance(entry, blocklog.Block)]
    wanted = MessageFilter(first=first, last=last, slower_than_ns=1_000_000 + slower)
    found = [
        one.seq for block in blocks if wanted.may_match_block(1, block.block, block.first, block.last)
        for one in block.messages if wanted.matches(one)
    ]  # fmt: skip

    assert [seq for seq in range(1, 21) if first <= seq <= last and seq > slower] == found


def test_each_line_is_classified(volumes: Path) -> None:
    """A line has its position, its checksums, and either the decoded entry or the error."""
    file = volumes / FIRST.path
    lines = file.read_bytes().splitlines(keepends=True)[:2]
    damaged = lines[1].replace(b'"N7"', b'"N8"')
    file.write_bytes(b"".join([*lines, damaged, b"{"]))
    found = list(read_lines(volumes, FIRST))

    assert [1, 2, 3, 4] == [line.number for line in found]
    assert [lines[0], lines[1], damaged, b"{"] == [line.data for line in found]
    assert all(file.read_bytes()[line.offset :].startswith(line.data) for line in found)
    assert [blocklog.OpenLine, blocklog.Block, type(None), type(None)] == [type(line.entry) for line in found]
    assert [type(None), type(None), ChecksumMismatch, TornLine] == [type(line.error) for line in found]
    assert [True, True, False, False] == [line.sealed is not None for line in found]


def test_a_line_knows_where_it_belongs(volumes: Path) -> None:
    """A line of another run or client is misfiled; an end line, which names neither, is not."""
    opening, *_, end = read_lines(volumes, FIRST)
    expected = f"the line belongs to client-1 in run {RUN}"

    assert [None, None] == [opening.misfiled(RUN), opening.misfiled(RUN, "client-1")]
    assert [expected] * 2 == [opening.misfiled("20200101T000000Z"), opening.misfiled(RUN, "client-2")]
    assert end.misfiled("20200101T000000Z", "client-2") is None


def test_a_skipped_line_is_checked_but_not_decoded(volumes: Path) -> None:
    """A line that need not be decoded has its checksums verified nevertheless."""
    file = volumes / FIRST.path
    lines = file.read_bytes().splitlines(keepends=True)[:2]
    file.write_bytes(lines[0] + lines[1].replace(b'"N7"', b'"N8"'))
    first, second = read_lines(volumes, FIRST, lambda _: True)

    assert (None, None) == (first.entry, first.error)
    assert first.sealed is not None
    assert isinstance(second.error, ChecksumMismatch)


def test_each_file_of_an_unknown_version_is_named(volumes: Path) -> None:
    """The lines of one such file have one cause, which is reported once; a second file is reported as well."""
    for source in (FIRST, SECOND):
        prev, lines = FIRST_PREV, []
        for _ in range(3):
            line, prev = seal(b'{"v":9,"kind":"later"}', prev)
            lines.append(line)
        (volumes / source.place).write_bytes(b"".join(lines))
    _, passed = read(volumes, MessageFilter(clients=("client-1",)))

    assert [(FIRST.path, 1), (SECOND.path, 1)] == [(line.file, line.line) for line in passed]
