"""Tests of services/collector/open_run.py."""

import os
from pathlib import Path

import msgspec
import pytest

from services.collector.open_run import ALIVE_SECONDS, LATE_SECONDS, PATIENCE_SECONDS, QUIET_SECONDS, OpenRun
from services.contract import ledger
from services.contract.scalars import utc_us
from tests.builders import external_runs
from tests.builders.external_runs import UNTIL_US, heard
from tests.builders.external_runs import log as heard_log
from tests.builders.runs import (
    RUN,
    Files,
    Session,
    Writer,
    at,
    end,
    good_ledger,
    good_run,
    good_sessions,
    leave,
    ledger_source,
    log_files,
    log_source,
    opening,
    write,
)

OTHER = "bbbbbbbbbbbb"


def followed(volumes: Path, files: Files, now: float = 0.0) -> OpenRun:
    """Write files and read them once."""
    write(files, volumes)
    follow = OpenRun(volumes, RUN, now)
    follow.read(now, lambda: False)
    return follow


def test_a_sealed_run_is_over_when_it_is_quiet(tmp_path: Path) -> None:
    """With the end in the ledger and all logs sealed, it is only waited for clients that come too late."""
    follow = followed(tmp_path, good_run())

    assert QUIET_SECONDS < LATE_SECONDS
    assert not follow.is_over(LATE_SECONDS - 0.1)
    assert follow.is_over(LATE_SECONDS)
    assert "PASS" == follow.snapshot((), final=True).summary.verdict


def test_an_unsealed_log_is_waited_for_but_not_for_ever(tmp_path: Path) -> None:
    """A client that is still connected may seal, until its time is up."""
    files = good_run()
    sealing = files[log_source("client-1", 1, 2)].pop()
    follow = followed(tmp_path, files)

    assert not follow.is_over(PATIENCE_SECONDS - 0.1)
    assert follow.is_over(PATIENCE_SECONDS)

    with (tmp_path / log_source("client-1", 1, 2).path).open("ab") as file:
        file.write(sealing)

    assert follow.read(2.0, lambda: False)
    assert not follow.is_over(2.0 + QUIET_SECONDS / 2)
    assert follow.is_over(2.1 + QUIET_SECONDS)


def test_a_client_that_is_gone_is_not_waited_for(tmp_path: Path) -> None:
    """A lost client never seals; the ledger says that it is gone."""
    sessions = [good_sessions()[0], Session("client-2", 1, 2, 0, [(1, 10)], reason=None)]
    writer = good_ledger(sessions)
    writer.put(leave(sessions[1], 10, "lost"))
    writer.put(end(60))
    files: Files = {ledger_source(): writer.lines}
    for session in sessions:
        files.update(log_files(session))

    assert followed(tmp_path, files).is_over(LATE_SECONDS)


def two_servers() -> tuple[Files, Path]:
    """Return a run of which a second server wrote a ledger that has no end, and the path of that ledger."""
    writer = Writer(ledger.codec)
    writer.put(msgspec.structs.replace(opening(60, 2), instance=OTHER))
    return {**good_run(), ledger_source(OTHER): writer.lines}, Path(ledger_source(OTHER).path)


def touched(path: Path, seconds: int) -> None:
    """Give a file another time; which one does not matter."""
    os.utime(path, (seconds, seconds))


def test_a_run_is_not_over_while_a_server_without_an_end_lives(tmp_path: Path) -> None:
    """It touches its ledger: the first end in any ledger ended the run for the clients of that server alone."""
    files, path = two_servers()
    follow = followed(tmp_path, files)
    now = 0.0
    for _ in range(20):
        now += 2.0
        # The file's own time may say what it likes, even go back.
        touched(tmp_path / path, 1_000_000 - int(now))
        follow.read(now, lambda: False)
        assert (False, False) == (follow.is_over(now), follow.has_ended)

    follow.read(now + ALIVE_SECONDS - 0.1, lambda: False)
    assert not follow.is_over(now + ALIVE_SECONDS - 0.1)

    follow.read(now + ALIVE_SECONDS, lambda: False)
    assert (True, True) == (follow.is_over(now + ALIVE_SECONDS), follow.has_ended)


def test_the_clients_of_the_slower_server_have_time_to_seal(tmp_path: Path) -> None:
    """The patience with a client that has not sealed its log begins when the last server has ended."""
    files, path = two_servers()
    sealing = files[log_source("client-1", 1, 2)].pop()
    follow = followed(tmp_path, files)
    writer = Writer(ledger.codec, ledger.codec.decode(files[ledger_source(OTHER)][0])[0].crc)
    writer.put(end(60, at=at(80)))
    touched(tmp_path / path, 1)
    follow.read(9.0, lambda: False)
    with (tmp_path / path).open("ab") as file:
        file.writelines(writer.lines)
    follow.read(10.0, lambda: False)

    assert not follow.is_over(10.0 + PATIENCE_SECONDS - 0.1)

    with (tmp_path / log_source("client-1", 1, 2).path).open("ab") as file:
        file.write(sealing)
    follow.read(12.0, lambda: False)

    assert follow.is_over(12.1 + QUIET_SECONDS)
    assert "PASS" == follow.snapshot((), final=True).summary.verdict


def test_a_server_that_lives_on_after_its_end_is_not_waited_for(tmp_path: Path) -> None:
    """Nor is one whose run a later server continued: nothing more comes of either."""
    files = good_run()
    before = Writer(ledger.codec)
    before.put(msgspec.structs.replace(opening(60, 2), instance=OTHER, at=at(-10)))
    follow = followed(tmp_path, {**files, ledger_source(OTHER): before.lines})
    for name in (ledger_source(), ledger_source(OTHER)):
        touched(tmp_path / name.path, 1)
    follow.read(LATE_SECONDS, lambda: False)

    assert follow.is_over(LATE_SECONDS)


def test_a_ledger_without_its_open_line_ends_with_its_end(tmp_path: Path) -> None:
    """Whose it is nobody knows any more, but that it has ended."""
    files = good_run()
    files[ledger_source()][0] = b"?\n"

    assert followed(tmp_path, files).is_over(LATE_SECONDS)


def test_a_client_that_came_too_late_is_in_the_verdict(tmp_path: Path) -> None:
    """Its line may come when the run has ended and all logs are sealed and quiet."""
    files = good_run()
    late = Writer(ledger.codec, ledger.codec.decode(files[ledger_source()][-1])[0].crc)
    late.put(ledger.LateEntry(at=at(1000), client="client-3", instance="i"))
    follow = followed(tmp_path, files)

    assert not follow.is_over(1.0)

    with (tmp_path / ledger_source().path).open("ab") as file:
        file.writelines(late.lines)
    follow.read(1.1, lambda: False)

    assert follow.is_over(LATE_SECONDS)
    assert ("FAIL", True) == (
        (made := follow.snapshot((), final=True).summary).verdict,
        "client-3" in made.headline,
    )


def test_an_open_run_is_never_over(tmp_path: Path) -> None:
    """Without the ledger's end no silence closes a run."""
    files = good_run()
    files[ledger_source()].pop()
    follow = followed(tmp_path, files)

    assert not follow.is_over(1e9)
    assert not follow.has_ended


def test_a_run_whose_ledger_is_gone_is_over_once_there_is_a_newer_one(tmp_path: Path) -> None:
    """Nobody will say any more what was sent: a few quiet seconds, and it is INVALID. The newest run is waited for."""
    follow = followed(tmp_path, {source: lines for source, lines in good_run().items() if source.client})

    assert not follow.is_over(PATIENCE_SECONDS - 0.1, followed=True)
    assert follow.is_over(PATIENCE_SECONDS, followed=True)
    assert not follow.is_over(1e9)
    made = follow.snapshot((), final=True).summary
    assert ("INVALID", "closed") == (made.verdict, made.state)


def test_an_interrupted_run_is_not_over_for_a_newer_one(tmp_path: Path) -> None:
    """With a ledger it is the server that ends a run, however long that takes."""
    files = good_run()
    files[ledger_source()].pop()

    assert not followed(tmp_path, files).is_over(1e9, followed=True)


def test_a_silent_external_run_is_not_over_for_a_newer_one(tmp_path: Path) -> None:
    """Its own time ends it: another invocation on the same volumes does not."""
    follow = followed(tmp_path, heard_log("client-1", heard(range(1, 10)), reason=None))

    assert not follow.is_over(1e9, followed=True, wall_us=UNTIL_US)
    assert follow.is_over(1e9, followed=True, wall_us=UNTIL_US + 5_000_001)


def test_a_backlog_is_read_in_slices(tmp_path: Path) -> None:
    """A round stops when it is told, and the next one goes on."""
    write(good_run(), tmp_path)
    follow = OpenRun(tmp_path, RUN, 0.0)
    rounds = 0
    while follow.read(0.0, lambda: True):
        rounds += 1
        assert not follow.is_over(1e9) or not follow.behind

    assert rounds == sum(map(len, good_run().values()))
    assert "PASS" == follow.snapshot((), final=True).summary.verdict


def test_clients_are_summed_up_with_rests(tmp_path: Path) -> None:
    """Between one client and the next a summary may rest."""
    write(good_run(), tmp_path)
    rests = list[None]()
    follow = OpenRun(tmp_path, RUN, 0.0, lambda: rests.append(None))
    follow.read(0.0, lambda: False)

    assert not rests
    assert len(follow.snapshot((), final=False).summary.clients) < len(rests)


def test_what_was_read_is_held_to_what_stands_there_by_slices(tmp_path: Path) -> None:
    """A recheck that was broken off goes on where it was, sees damage in the rest, and all of it when begun anew."""
    follow = followed(tmp_path, good_run())
    slices = 1
    while not follow.recheck(lambda: True, anew=False):
        slices += 1

    assert len(good_run()) + 1 == slices
    assert not follow.behind

    assert not follow.recheck(lambda: True, anew=False)
    ledger = tmp_path / ledger_source().path
    ledger.write_bytes(ledger.read_bytes().replace(b'"at":"2', b'"at":"3', 1))

    assert follow.recheck(lambda: False, anew=False)
    assert not follow.behind
    assert follow.recheck(lambda: False, anew=True)
    assert (True, True) == (follow.behind, follow.rereading)


@pytest.mark.parametrize("loss", ["vanish", "shrink"])
def test_a_rewritten_run_is_read_again(tmp_path: Path, loss: str) -> None:
    """When a file loses lines the books are made anew from what is there."""
    follow = followed(tmp_path, good_run())
    path = tmp_path / log_source("client-1", 1, 2).path
    if loss == "vanish":
        path.unlink()
    else:
        path.write_bytes(good_run()[log_source("client-1", 1, 2)][0])
    while follow.read(1.0, lambda: False):
        pass

    assert 80 == follow.snapshot((), final=False).summary.totals.received
    assert follow.durations is not None
    assert 80 == follow.durations.transit.count


def test_what_is_read_is_counted(tmp_path: Path) -> None:
    """Lines and bytes are counted as they are read, and again when they are read again."""
    lines = [line for lines in good_run().values() for line in lines]
    follow = followed(tmp_path, good_run())

    assert (len(lines), len(b"".join(lines))) == (follow.lines, follow.bytes)

    follow.recheck(lambda: False, anew=True)
    follow.read(1.0, lambda: False)

    assert len(lines) == follow.lines

    (tmp_path / log_source("client-1", 1, 2).path).unlink()
    while follow.read(2.0, lambda: False):
        pass

    assert 2 * len(lines) - len(good_run()[log_source("client-1", 1, 2)]) == follow.lines


def test_the_rate_is_that_of_the_last_seconds(tmp_path: Path) -> None:
    """The time before the first message does not lower it."""
    files = good_run()
    part = {source: lines[:2] for source, lines in files.items()}
    follow = followed(tmp_path, {ledger_source(): part[ledger_source()]})
    follow.read(100.0, lambda: False)
    write(files, tmp_path)
    follow.read(101.0, lambda: False)

    assert 120.0 == follow.rate()
    assert follow.elapsed_from_us is not None


def test_tails_are_told_once(tmp_path: Path) -> None:
    """A final summary that could not be stored is made again, the same."""
    files = good_run()
    files[ledger_source()].append(b'{"crc":')
    follow = followed(tmp_path, files)

    assert follow.snapshot((), final=True).summary == follow.snapshot((), final=True).summary
    assert ["torn"] == [fault.kind for fault in follow.snapshot((), final=True).summary.faults]


def test_a_run_of_an_external_feed_counts_from_its_first_record(tmp_path: Path) -> None:
    """Without a ledger the time begins with the first record that any client logged; with one, when it was due."""
    first, second = external_runs.heard(range(1, 6)), external_runs.heard(range(1, 11))
    follow = followed(tmp_path, {**external_runs.log("a", first[2:]), **external_runs.log("b", second)})

    assert utc_us(second[0].received_at) == follow.elapsed_from_us

    follow = followed(tmp_path / "ours", good_run())

    assert follow.books.ledger.start_us is not None
    assert follow.books.ledger.start_us == follow.elapsed_from_us
