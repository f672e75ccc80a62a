"""Tests of services/collector/commands/log_survey.py."""

from pathlib import Path

import pytest

from services.collector.commands.log_survey import LinePosition, LogSurvey, RejectedLine
from services.collector.scan import Source
from services.contract import blocklog
from tests.builders.runs import (
    RUN,
    Files,
    Session,
    Writer,
    block,
    good_run,
    log_files,
    log_source,
    write,
)
from tests.unit.contract.test_unreleased_form import UNRELEASED_LOG

FIRST = log_source("client-1")
SECOND = log_source("client-1", 1, 2)
OTHER = log_source("client-2")


def survey(volumes: Path, files: Files) -> LogSurvey:
    """Return the survey of these files."""
    write(files, volumes)
    return LogSurvey(volumes, RUN)


def left_out(found: LogSurvey) -> list[tuple[Source, int]]:
    """Return the places of the lines that are left out."""
    return [(one.source, one.line) for one in found.left_out]


def blocks(found: LogSurvey, client: str, session: int = 1) -> list[tuple[int, int]]:
    """Return number and segment of the good blocks of a session."""
    return sorted((number, kept.segment) for (number, _), kept in found.clients[client][session].blocks.items())


def test_every_line_of_a_good_run_is_found(tmp_path: Path) -> None:
    """Open lines, blocks and end lines are found with their segments and positions."""
    files = good_run()
    found = survey(tmp_path, files)
    session = found.clients["client-1"][1]

    assert ({"client-1": [1], "client-2": [1, 2]}, []) == (
        {name: sorted(sessions) for name, sessions in found.clients.items()}, found.left_out
    )  # fmt: skip
    assert ({1, 2}, {1, 2}, {1, 2}) == (set(session.opens), set(session.ends), session.segments)
    assert [(1, 1), (2, 1), (3, 2), (4, 2), (5, 2), (6, 2)] == blocks(found, "client-1")
    assert files[FIRST][2] == found.line(next(kept.place for (n, _), kept in session.blocks.items() if n == 2))
    assert {10} == {kept.messages for kept in session.blocks.values()}


def test_damaged_lines_are_left_out_with_the_reason(tmp_path: Path) -> None:
    """A damaged and a torn line are left out with the reason, and the line after them has ``after_gap``."""
    files = good_run()
    files[FIRST][1] = files[FIRST][1].replace(b'"N7"', b'"N8"')
    files[SECOND].append(b'{"crc":')
    found = survey(tmp_path, files)

    assert [(FIRST, 2), (SECOND, 7)] == left_out(found)
    assert "no newline after 7 bytes" == found.left_out[1].why
    assert [2] == [n for (n, _), kept in found.clients["client-1"][1].blocks.items() if kept.place.after_gap]


@pytest.mark.parametrize(
    ("change", "why"),
    [({"digest": "x00000000"}, "block 2: digest is x00000000"), ({"count": 9}, "block 2: count is 9")],
)
def test_a_block_that_contradicts_itself_is_left_out(tmp_path: Path, change: dict[str, object], why: str) -> None:
    """A block whose content contradicts its header is left out although its checksum is right."""
    found = survey(tmp_path, log_files(Session("a", 1, 1, 0, [(1, 10), (11, 20)], changes={2: change})))

    assert [(log_source("a"), 3)] == left_out(found)
    assert found.left_out[0].why.startswith(why)


def test_a_time_that_is_none_is_left_out(tmp_path: Path) -> None:
    """A block with a malformed timestamp is left out."""
    session = Session("a", 1, 1, 0, [(1, 1)])
    made = block(session, 1, 1, 1)
    message = made.messages[0]
    session.changes[1] = {
        "messages": [blocklog.OwnMessage(1, "noon", message.latency_ns, message.transit_ns, message.record)]
    }

    assert survey(tmp_path, log_files(session)).left_out[0].why.startswith("block 1: received_at: ")


def test_a_line_in_anothers_file_is_its_own_clients(tmp_path: Path) -> None:
    """A line of this run in another client's file is kept for its own client; a line of another run is left out."""
    files = good_run()
    moved = files[FIRST].pop(2)
    stranger = Writer(blocklog.codec)
    stranger.put(block(Session("client-2", 1, 1, 0, []), 9, 1, 10, run="20200101T000000Z"))
    files[OTHER][2:2] = [moved, *stranger.lines]
    found = survey(tmp_path, files)

    assert (2, 0) in blocks(found, "client-1")
    assert [(OTHER, 4)] == left_out(found)
    assert "the line belongs to client-2 in run 20200101T000000Z" == found.left_out[0].why


def test_a_line_counts_once(tmp_path: Path) -> None:
    """A copy of a line is counted and kept once."""
    files = good_run()
    found = survey(tmp_path, {**files, Source(RUN, "client-1", "copy.jsonl"): files[FIRST]})

    assert (6, [], len(files[FIRST])) == (len(blocks(found, "client-1")), found.left_out, found.copies)


def test_two_contents_of_one_block_are_both_kept(tmp_path: Path) -> None:
    """A second, different open line of a segment is left out."""
    files = good_run()
    other = log_files(Session("client-1", 1, 1, 0, [(1, 5)], block_size=5, reason=None))[FIRST]
    found = survey(tmp_path, {**files, Source(RUN, "client-1", "other.jsonl"): other})

    assert [(1, 1), (1, 1), (2, 1)] == blocks(found, "client-1")[:3]
    assert [
        RejectedLine(Source(RUN, "client-1", "other.jsonl"), 1, f"a different one is in {FIRST.path}:1")
    ] == found.left_out


def test_a_properly_named_file_is_preferred(tmp_path: Path) -> None:
    """Of two different open lines of a segment the one in the file with the proper name is kept, in any order."""
    files = good_run()
    other = log_files(Session("client-1", 1, 1, 0, [(1, 5)], block_size=5, reason=None))[FIRST]
    copy = Source(RUN, "client-1", "0000-copy.jsonl")
    found = survey(tmp_path, {**files, copy: other})

    assert [RejectedLine(copy, 1, f"a different one is in {FIRST.path}:1")] == found.left_out


def test_a_kept_line_that_cannot_be_read_again_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason names the file with the earlier line, and the rest of the file with the copy is read."""
    read_again = LogSurvey.line

    def refuse_first(survey: LogSurvey, place: LinePosition) -> bytes:
        if place.source == FIRST and place.line == 1:
            raise OSError(5, "Input/output error")
        return read_again(survey, place)

    monkeypatch.setattr(LogSurvey, "line", refuse_first)
    files, copy = good_run(), Source(RUN, "client-1", "copy.jsonl")
    found = survey(tmp_path, {**files, copy: files[FIRST]})

    reason = f"it cannot be compared with {FIRST.path}:1: Input/output error"
    assert [RejectedLine(copy, 1, reason)] == found.left_out
    assert len(files[FIRST]) - 1 == found.copies


def test_a_file_of_an_old_version_is_left_out_in_one_line(tmp_path: Path) -> None:
    """A file of an old version is reported by its first line only."""
    found = survey(tmp_path, {FIRST: UNRELEASED_LOG})

    assert [(FIRST, 1)] == left_out(found)


def test_an_end_is_whose_line_it_continues(tmp_path: Path) -> None:
    """An end line belongs to the segment of the line that it continues; one that continues no line is left out."""
    files = good_run()
    files[FIRST][2:] = reversed(files[FIRST][2:])
    files[SECOND][4] = files[SECOND][4].replace(b'"N51"', b'"N15"')
    files[OTHER][-1] = files[log_source("client-2", 2)][-1]
    found = survey(tmp_path, files)

    assert {1, 2} == set(found.clients["client-1"][1].ends)
    assert {} == found.clients["client-2"][1].ends
    assert (OTHER, 5) in left_out(found)


def test_empty_files_are_noted(tmp_path: Path) -> None:
    """A session that only claimed its file has a segment without lines."""
    found = survey(tmp_path, {log_source("a", 3): []})

    assert {1} == found.clients["a"][3].segments


def test_a_misnamed_file_is_what_its_lines_say(tmp_path: Path) -> None:
    """The open line decides session and segment, not the name of the file."""
    files = good_run()
    found = survey(tmp_path, {**files, FIRST: [], Source(RUN, "client-1", "odd.jsonl"): files[FIRST]})

    assert [(1, 1), (2, 1)] == blocks(found, "client-1")[:2]


def test_a_file_that_cannot_be_read_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be read is reported, and the others are read."""

    def refuse(_: Path, source: Source) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("services.collector.log_reader.read_file", refuse)
    found = survey(tmp_path, good_run())

    assert RejectedLine(FIRST, 0, "the file cannot be read: Permission denied") == found.left_out[0]
