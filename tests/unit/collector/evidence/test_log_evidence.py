"""Tests of services/collector/evidence/log_evidence.py."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.collector.evidence.log_evidence import LogEvidence
from services.collector.scan import Source
from services.contract import block_text, blocklog
from services.contract.rangeset import RangeSet
from tests.builders import external_runs
from tests.builders.runs import (
    RUN,
    START_US,
    Files,
    Session,
    at,
    blocks_of,
    fold,
    log_files,
    log_source,
)

SESSION = Session("a", 1, 1, 0, blocks_of(1, 30, 10))


def log_of(files: Files) -> LogEvidence:
    """Return the evidence of the client's log."""
    return fold(files).logs["a"]


def kinds(files: Files) -> list[tuple[str, int, str]]:
    """Return the file, line and kind of each fault."""
    return [
        (file.source.name, damage.line, damage.kind) for file in log_of(files).files for damage in file.chain.damages
    ]


def test_a_good_log_is_entered_whole() -> None:
    """Seqs, counts, bytes and times of all blocks are added."""
    log = log_of(log_files(SESSION))

    assert [(1, 30)] == log.logged.spans()
    assert (30, 3, 30, 30) == (log.messages, len(log.blocks), log.times.latency.count, log.times.transit.count)
    assert (START_US + 1000, START_US + 30_000) == (log.times.first_us, log.times.last_us)
    assert [] == kinds(log_files(SESSION))


def test_reading_a_file_twice_changes_nothing() -> None:
    """A copy of a file counts once, under any name."""
    files = log_files(SESSION)
    copied = {**files, log_source("a", 7): files[log_source("a")], log_source("a", 1, 9): files[log_source("a")][:3]}
    log = log_of(copied)

    assert (30, 30, {1, 7}) == (log.messages, log.times.latency.count, log.sessions)
    assert [] == kinds(copied)


def test_seqs_in_two_blocks_are_named() -> None:
    """A message that is in more than one block is a duplicate, and its seq is in ``twice``."""
    log = log_of(log_files(Session("a", 1, 1, 0, [(1, 10), (8, 20), (9, 9)])))

    assert RangeSet([(8, 10)]) == log.twice
    assert 4 == log.messages - log.logged.count


def test_times_are_corrected_by_the_clock_offset() -> None:
    """Times are corrected by the clock offset of the block, and the largest clock error is kept."""
    changes = {1: {"clock_offset_us": 500, "clock_error_us": 70}, 2: {"clock_offset_us": 400, "clock_error_us": 9}}
    log = log_of(log_files(Session("a", 1, 1, 0, [(1, 10), (11, 20)], changes=changes)))

    assert (START_US + 1500, START_US + 20_400, 70, 400) == (
        log.times.first_us, log.times.last_us, log.clock_error_us, log.clock_offset_us,
    )  # fmt: skip


def test_declared_faults_are_added_up() -> None:
    """Duplicates, reordered and corrupt messages are the sums of what the blocks state."""
    changes = {1: {"duplicates": 2, "reordered": 1, "corrupt": [(11, 12)]}, 2: {"duplicates": 3, "corrupt": [(12, 13)]}}
    log = log_of(log_files(Session("a", 1, 1, 0, [(1, 10), (14, 20)], changes=changes)))

    assert (5, 1, [(11, 13)]) == (log.duplicates, log.reordered, log.corrupt.spans())


def test_torn_tails_of_earlier_sessions_are_counted_once() -> None:
    """The bytes that a later session cut off are read from its open line, and count once."""
    torn = [blocklog.Torn("0001-0001.jsonl", 17)]
    files = log_files(Session("a", 2, 2, 0, [(1, 10)]), torn) | log_files(Session("a", 3, 3, 10, [(11, 20)]), torn)

    assert {"0001-0001.jsonl": 17} == log_of(files).torn


def test_a_line_of_another_client_is_misfiled() -> None:
    """A copied line of another client is reported and its messages are not counted."""
    files = log_files(SESSION)
    other = log_files(Session("b", 1, 2, 0, [(31, 40)]))[log_source("b")][1]
    files[log_source("a")].insert(2, other)

    assert [("0001-0001.jsonl", 3, "foreign")] == kinds(files)
    assert 30 == log_of(files).messages


def test_a_file_of_another_client_is_one_fault() -> None:
    """A whole file in the wrong folder is one fault and seals nothing."""
    files: Files = {log_source("a"): log_files(Session("b", 1, 2, 0, [(1, 10)]))[log_source("b")]}

    assert [("0001-0001.jsonl", 1, "foreign")] == kinds(files)
    assert not fold(files).is_sealed("a")


def test_an_end_after_nothing_but_damage_is_its_own_files() -> None:
    """An end line after damaged lines alone is not misfiled."""
    lines = log_files(SESSION)[log_source("a")]

    assert [("0001-0001.jsonl", 1, "corrupt_block")] == kinds({log_source("a"): [b"?\n", lines[-1]]})


def test_a_block_of_another_session_is_misfiled() -> None:
    """A block of another session than the open line's is misfiled."""
    files = log_files(SESSION)
    files[log_source("a")].insert(2, log_files(Session("a", 2, 2, 0, [(31, 40)]))[log_source("a", 2)][1])

    assert [("0001-0001.jsonl", 3, "foreign")] == kinds(files)


def test_no_block_is_lost_to_a_line_of_another_session() -> None:
    """A line of another session is misfiled at any position, and all messages around it count once."""
    lines = log_files(SESSION)[log_source("a")]
    later = log_files(Session("a", 2, 2, 30, [(31, 40)]))[log_source("a", 2)]
    opening, block, end = later

    for stranger, count in ((opening, 30), (block, 40)):
        for place in range(1, len(lines)):
            files = {log_source("a"): [*lines[:place], stranger, *lines[place:]]}
            assert [("0001-0001.jsonl", place + 1, "foreign")] == kinds(files)
            assert (count, [(1, count)]) == (log_of(files).messages, log_of(files).logged.spans())
        assert 30 <= log_of({log_source("a"): [stranger, *lines[1:]]}).messages
    assert ["foreign"] == [kind for _, _, kind in kinds({log_source("a"): [*lines[:-1], *later]})]
    assert {(1, 1)} == set(log_of({log_source("a"): [*lines, block, end]}).ends)


def test_a_time_that_is_none_is_reported() -> None:
    """A malformed received_at is a fault of its block, whose messages still count."""
    message = blocklog.OwnMessage(1, "yesterday", 1, 1, msgspec.Raw(b"{}"))
    changes = {"messages": [message], "digest": block_text.block_digest([message])}
    files = log_files(Session("a", 1, 1, 0, [(1, 1)], changes={1: changes}))

    assert [("0001-0001.jsonl", 2, "inconsistent")] == kinds(files)
    assert [(1, 1)] == log_of(files).logged.spans()


def test_an_end_line_is_held_to_its_file() -> None:
    """Wrong counts in the end line are a fault, unless the file has another one."""
    files = log_files(SESSION)
    short = log_files(Session("a", 1, 1, 0, blocks_of(1, 20, 10)))[log_source("a")]
    wrong = [*short[:-1], files[log_source("a")][-1]]

    assert [("0001-0001.jsonl", 4, "line_missing")] == kinds({log_source("a"): wrong})


def test_lines_out_of_place_are_reported() -> None:
    """An open line inside a file and a line after the end line are misplaced."""
    lines = log_files(SESSION)[log_source("a")]
    later = log_files(Session("a", 2, 2, 30, [(31, 40)]))[log_source("a", 2)]

    assert {"misplaced"} == {kind for _, _, kind in kinds({log_source("a"): [*lines, *later]})} - {"line_missing"}


@given(st.permutations([1, 2, 3, 4]))
def test_sessions_that_describe_the_feed_differently_are_read_in_any_order(order: list[int]) -> None:
    """The description of the last session counts, and of several open lines of one segment always the same one."""
    files = {number: external_runs.log("a", session=number, until_us=START_US + number) for number in (1, 2, 3)}
    (other,) = external_runs.log("a", session=3, until_us=None, seq="$.n").values()
    files[4] = {Source(RUN, "a", "other.jsonl"): other}
    first = external_runs.evidence_of(*files.values()).logs["a"]
    log = external_runs.evidence_of(*(files[number] for number in order)).logs["a"]

    assert (first.feed, first.until_us) == (log.feed, log.until_us)
    assert log.until_us in (START_US + 3, None)


def test_stamps_within_one_second_and_across_are_read_alike() -> None:
    """Timestamps within one second and across seconds are parsed to the same values as by `utc_us`."""
    log = log_of(log_files(Session("a", 1, 1, 0, [(999, 1001), (1002, 2001)])))

    assert (at(999), START_US + 999_000, START_US + 2_001_000) == (at(999), log.times.first_us, log.times.last_us)
