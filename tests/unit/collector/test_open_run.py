"""Tests of services/collector/open_run.py."""

import os
from pathlib import Path

import msgspec
import pytest

from services.collector import file_lines
from services.collector.open_run import ALIVE_SECONDS, LATE_SECONDS, PATIENCE_SECONDS, QUIET_SECONDS, OpenRun
from services.contract import ledger
from services.contract.scalars import utc_us
from tests.builders import external_runs
from tests.builders.external_runs import UNTIL_US, numbered_messages
from tests.builders.external_runs import log as external_log
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


def opened(volumes: Path, files: Files, now: float = 0.0) -> OpenRun:
    """Write files and read them once as an open run."""
    write(files, volumes)
    run = OpenRun(volumes, RUN, now)
    run.read(now, lambda: False)
    return run


def test_a_sealed_run_is_over_when_it_is_quiet(tmp_path: Path) -> None:
    """After the end in the ledger, with all logs sealed, only the time for late clients has to pass."""
    run = opened(tmp_path, good_run())

    assert QUIET_SECONDS < LATE_SECONDS
    assert not run.is_over(LATE_SECONDS - 0.1)
    assert run.is_over(LATE_SECONDS)
    assert "PASS" == run.snapshot((), final=True).summary.verdict


def test_an_unsealed_log_is_awaited_for_a_limited_time(tmp_path: Path) -> None:
    """A client that is still connected may seal its log until its time is up."""
    files = good_run()
    sealing = files[log_source("client-1", 1, 2)].pop()
    run = opened(tmp_path, files)

    assert not run.is_over(PATIENCE_SECONDS - 0.1)
    assert run.is_over(PATIENCE_SECONDS)

    with (tmp_path / log_source("client-1", 1, 2).path).open("ab") as file:
        file.write(sealing)

    assert run.read(2.0, lambda: False)
    assert not run.is_over(2.0 + QUIET_SECONDS / 2)
    assert run.is_over(2.1 + QUIET_SECONDS)


def test_a_lost_client_is_not_awaited(tmp_path: Path) -> None:
    """A client that the ledger names lost is not expected to seal its log."""
    sessions = [good_sessions()[0], Session("client-2", 1, 2, 0, [(1, 10)], reason=None)]
    writer = good_ledger(sessions)
    writer.put(leave(sessions[1], 10, "lost"))
    writer.put(end(60))
    files: Files = {ledger_source(): writer.lines}
    for session in sessions:
        files.update(log_files(session))

    assert opened(tmp_path, files).is_over(LATE_SECONDS)


def two_servers() -> tuple[Files, Path]:
    """Return a run with the ledger of a second server, which has no end, and the path of that ledger."""
    writer = Writer(ledger.codec)
    writer.put(msgspec.structs.replace(opening(60, 2), instance=OTHER))
    return {**good_run(), ledger_source(OTHER): writer.lines}, Path(ledger_source(OTHER).path)


def touch(path: Path, seconds: int) -> None:
    """Set the modification time of a file."""
    os.utime(path, (seconds, seconds))


def test_a_run_is_not_over_while_a_server_without_an_end_lives(tmp_path: Path) -> None:
    """A server that touches its ledger keeps the run open: another server's end only concerns its own clients."""
    files, path = two_servers()
    run = opened(tmp_path, files)
    now = 0.0
    for _ in range(20):
        now += 2.0
        # Any change of the file's time counts, even into the past.
        touch(tmp_path / path, 1_000_000 - int(now))
        run.read(now, lambda: False)
        assert (False, False) == (run.is_over(now), run.has_ended)

    run.read(now + ALIVE_SECONDS - 0.1, lambda: False)
    assert not run.is_over(now + ALIVE_SECONDS - 0.1)

    run.read(now + ALIVE_SECONDS, lambda: False)
    assert (True, True) == (run.is_over(now + ALIVE_SECONDS), run.has_ended)


def test_a_server_that_was_silent_keeps_the_run_open_again(tmp_path: Path) -> None:
    """A server that touches its ledger after a long silence, as after a suspension, is not gone any more."""
    files, path = two_servers()
    run = opened(tmp_path, files)
    run.read(ALIVE_SECONDS, lambda: False)
    assert run.has_ended
    touch(tmp_path / path, 1)
    run.read(ALIVE_SECONDS + 1, lambda: False)

    assert (False, False) == (run.is_over(ALIVE_SECONDS + 1), run.has_ended)


def test_the_clients_of_the_slower_server_have_time_to_seal(tmp_path: Path) -> None:
    """The time for sealing starts when the last server has ended."""
    files, path = two_servers()
    sealing = files[log_source("client-1", 1, 2)].pop()
    run = opened(tmp_path, files)
    writer = Writer(ledger.codec, ledger.codec.decode(files[ledger_source(OTHER)][0])[0].crc)
    writer.put(end(60, at=at(80)))
    touch(tmp_path / path, 1)
    run.read(9.0, lambda: False)
    with (tmp_path / path).open("ab") as file:
        file.writelines(writer.lines)
    run.read(10.0, lambda: False)

    assert not run.is_over(10.0 + PATIENCE_SECONDS - 0.1)

    with (tmp_path / log_source("client-1", 1, 2).path).open("ab") as file:
        file.write(sealing)
    run.read(12.0, lambda: False)

    assert run.is_over(12.1 + QUIET_SECONDS)
    assert "PASS" == run.snapshot((), final=True).summary.verdict


def test_a_late_client_of_the_slower_server_is_awaited(tmp_path: Path) -> None:
    """The time for the line about a late client starts when the last server has ended."""
    files, path = two_servers()
    run = opened(tmp_path, files)
    writer = Writer(ledger.codec, ledger.codec.decode(files[ledger_source(OTHER)][0])[0].crc)
    writer.put(end(60, at=at(80)))
    with (tmp_path / path).open("ab") as file:
        file.writelines(writer.lines)
    run.read(3.0, lambda: False)

    assert not run.is_over(3.0 + LATE_SECONDS - 0.1)
    assert run.is_over(3.0 + LATE_SECONDS)


def test_a_server_that_still_runs_after_its_end_is_not_awaited(tmp_path: Path) -> None:
    """Neither a ledger with an end nor one that a later server continued keeps a run open."""
    files = good_run()
    before = Writer(ledger.codec)
    before.put(msgspec.structs.replace(opening(60, 2), instance=OTHER, at=at(-10)))
    run = opened(tmp_path, {**files, ledger_source(OTHER): before.lines})
    for name in (ledger_source(), ledger_source(OTHER)):
        touch(tmp_path / name.path, 1)
    run.read(LATE_SECONDS, lambda: False)

    assert run.is_over(LATE_SECONDS)


def test_a_ledger_without_its_open_line_ends_with_its_end(tmp_path: Path) -> None:
    """A ledger whose open line is damaged still has its end."""
    files = good_run()
    files[ledger_source()][0] = b"?\n"

    assert opened(tmp_path, files).is_over(LATE_SECONDS)


def test_a_client_that_came_too_late_is_in_the_verdict(tmp_path: Path) -> None:
    """The line about a late client may follow when all logs are sealed and quiet already."""
    files = good_run()
    late = Writer(ledger.codec, ledger.codec.decode(files[ledger_source()][-1])[0].crc)
    late.put(ledger.LateEntry(at=at(1000), client="client-3", instance="i"))
    run = opened(tmp_path, files)

    assert not run.is_over(1.0)

    with (tmp_path / ledger_source().path).open("ab") as file:
        file.writelines(late.lines)
    run.read(1.1, lambda: False)

    assert run.is_over(LATE_SECONDS)
    assert ("FAIL", True) == (
        (made := run.snapshot((), final=True).summary).verdict,
        "client-3" in made.headline,
    )


def test_an_open_run_is_never_over(tmp_path: Path) -> None:
    """Without an end in the ledger a run is not closed, however long nothing happens."""
    files = good_run()
    files[ledger_source()].pop()
    run = opened(tmp_path, files)

    assert not run.is_over(1e9)
    assert not run.has_ended


def test_a_run_without_a_ledger_is_over_when_there_is_a_newer_one(tmp_path: Path) -> None:
    """A run without a ledger is INVALID after a few quiet seconds, unless it is the newest run."""
    run = opened(tmp_path, {source: lines for source, lines in good_run().items() if source.client})

    assert not run.is_over(PATIENCE_SECONDS - 0.1, has_successor=True)
    assert run.is_over(PATIENCE_SECONDS, has_successor=True)
    assert not run.is_over(1e9)
    made = run.snapshot((), final=True).summary
    assert ("INVALID", "closed") == (made.verdict, made.state)


def test_an_interrupted_run_is_not_over_because_of_a_newer_one(tmp_path: Path) -> None:
    """A run with a ledger is ended by its server, however long that takes."""
    files = good_run()
    files[ledger_source()].pop()

    assert not opened(tmp_path, files).is_over(1e9, has_successor=True)


def test_a_silent_external_run_is_not_over_because_of_a_newer_one(tmp_path: Path) -> None:
    """A run of an external feed is over at its own time, not because of another invocation on the same volumes."""
    run = opened(tmp_path, external_log("client-1", numbered_messages(range(1, 10)), reason=None))

    assert not run.is_over(1e9, has_successor=True, wall_us=UNTIL_US)
    assert run.is_over(1e9, has_successor=True, wall_us=UNTIL_US + 5_000_001)


def test_a_backlog_is_read_in_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading stops when must_stop returns true, and the next read continues there."""
    monkeypatch.setattr(file_lines, "BATCH", 1)
    write(good_run(), tmp_path)
    run = OpenRun(tmp_path, RUN, 0.0)
    reads = 0
    while run.read(0.0, lambda: True):
        reads += 1
        assert not run.is_over(1e9) or not run.is_behind

    assert reads == sum(map(len, good_run().values()))
    assert "PASS" == run.snapshot((), final=True).summary.verdict


def test_a_snapshot_yields_the_cpu_between_clients(tmp_path: Path) -> None:
    """The CPU is yielded at least once per client while a snapshot is made."""
    write(good_run(), tmp_path)
    yields = list[None]()
    run = OpenRun(tmp_path, RUN, 0.0, lambda: yields.append(None))
    run.read(0.0, lambda: False)

    assert not yields
    assert len(run.snapshot((), final=False).summary.clients) < len(yields)


def test_a_recheck_can_be_done_in_slices(tmp_path: Path) -> None:
    """An interrupted recheck continues where it stopped; a restarted one compares everything again."""
    run = opened(tmp_path, good_run())
    slices = 1
    while not run.recheck(lambda: True, restart=False):
        slices += 1

    assert len(good_run()) + 1 == slices
    assert not run.is_behind

    assert not run.recheck(lambda: True, restart=False)
    ledger = tmp_path / ledger_source().path
    ledger.write_bytes(ledger.read_bytes().replace(b'"at":"2', b'"at":"3', 1))

    assert run.recheck(lambda: False, restart=False)
    assert not run.is_behind
    assert run.recheck(lambda: False, restart=True)
    assert (True, True) == (run.is_behind, run.is_rereading)


@pytest.mark.parametrize("loss", ["vanish", "shrink"])
def test_a_rewritten_run_is_read_again(tmp_path: Path, loss: str) -> None:
    """When a file loses lines, the run is read again from its beginning."""
    run = opened(tmp_path, good_run())
    path = tmp_path / log_source("client-1", 1, 2).path
    if loss == "vanish":
        path.unlink()
    else:
        path.write_bytes(good_run()[log_source("client-1", 1, 2)][0])
    while run.read(1.0, lambda: False):
        assert run.is_rereading is run.is_behind

    assert not run.is_rereading
    assert 80 == run.snapshot((), final=False).summary.totals.received
    assert run.durations is not None
    assert 80 == run.durations.transit.count


@pytest.mark.parametrize("grown", [b"", b"x" * 10_000 + b"\n", b"x" * 10_000])
def test_a_log_that_shrank_and_grew_between_two_polls_is_read_again(tmp_path: Path, grown: bytes) -> None:
    """A rewritten file that is longer than before is not continued in the middle of a line: its beginning differs."""
    source = log_source("client-1", 1, 2)
    files = good_run()
    run = opened(tmp_path, {**files, source: files[source][:2]})
    rewritten = {**files, source: [b"?" * 100 + b"\n", *files[source], grown]}
    write(rewritten, tmp_path)
    run.read(1.0, lambda: False)
    assert (True, True) == (run.recheck(lambda: False, restart=True), run.is_rereading)
    while run.read(2.0, lambda: False) or run.is_behind:
        pass
    fresh = opened(tmp_path / "fresh", rewritten)

    assert run.snapshot((), final=True) == fresh.snapshot((), final=True)


def test_lines_and_bytes_are_counted(tmp_path: Path) -> None:
    """Lines and bytes count each time they are read."""
    lines = [line for lines in good_run().values() for line in lines]
    run = opened(tmp_path, good_run())

    assert (len(lines), len(b"".join(lines))) == (run.lines_read, run.bytes_read)

    run.recheck(lambda: False, restart=True)
    run.read(1.0, lambda: False)

    assert len(lines) == run.lines_read

    (tmp_path / log_source("client-1", 1, 2).path).unlink()
    while run.read(2.0, lambda: False):
        pass

    assert 2 * len(lines) - len(good_run()[log_source("client-1", 1, 2)]) == run.lines_read


def test_the_rate_covers_the_last_seconds(tmp_path: Path) -> None:
    """The time before the first message does not lower the rate."""
    files = good_run()
    part = {source: lines[:2] for source, lines in files.items()}
    run = opened(tmp_path, {ledger_source(): part[ledger_source()]})
    run.read(100.0, lambda: False)
    write(files, tmp_path)
    run.read(101.0, lambda: False)

    assert 120.0 == run.rate()
    assert run.elapsed_from_us is not None


def test_torn_tails_are_counted_once(tmp_path: Path) -> None:
    """A final summary that is made twice is the same both times."""
    files = good_run()
    files[ledger_source()].append(b'{"crc":')
    run = opened(tmp_path, files)

    assert run.snapshot((), final=True).summary == run.snapshot((), final=True).summary
    assert ["torn"] == [fault.kind for fault in run.snapshot((), final=True).summary.faults]


def test_elapsed_time_starts_with_the_first_record(tmp_path: Path) -> None:
    """Elapsed time starts when the first record was due, or was logged if the feed is external."""
    first, second = external_runs.numbered_messages(range(1, 6)), external_runs.numbered_messages(range(1, 11))
    run = opened(tmp_path, {**external_runs.log("a", first[2:]), **external_runs.log("b", second)})

    assert utc_us(second[0].received_at) == run.elapsed_from_us

    run = opened(tmp_path / "ours", good_run())

    assert run.evidence.ledger.start_us is not None
    assert run.evidence.ledger.start_us == run.elapsed_from_us
