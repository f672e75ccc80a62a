"""Tests of several servers that play one run in one folder: what they decide together and what they learn."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.contract import ledger, wire
from services.runtime.errors import AnotherServer
from services.runtime.volumes import remove_old_runs
from services.server.runs.agreement import BLIND_US, LEAD_US
from services.server.runs.ledger_writer import read_entries
from services.server.runs.other_servers import FolderSnapshot
from services.server.runs.past_run import PastRun
from services.server.runs.run import Run
from services.server.runs.run_lifecycle import RETURN_SECONDS, RunLifecycle
from services.server.runs.run_store import RunStore
from services.server.streaming.control import RequestRefused, apply_request
from services.server.streaming.stream import Stream
from tests.unit.server.fakes import START_US, StoppedClock, admitted, lines_of, runs

PAUSE, RESUME = (wire.Control(do=verb) for verb in ("pause", "resume"))
REQUESTS = {"pause": PAUSE, "resume": RESUME, "rate": wire.Control(set={"rate": 70})}
PLAN = "10:2s,1000:1s,pause:4s,5"

Segment = tuple[int, int, float | None]


def store(folder: Path, clock: StoppedClock, instance: str, **changed: Any) -> RunStore:
    """Return the store of a server whose process the other servers of this test cannot look up."""
    made = runs(folder, clock, instance, **changed)
    made._process = None
    return made


def servers(folder: Path, clock: StoppedClock, count: int = 2, **changed: Any) -> list[Run]:
    """Return one run as several servers play it."""
    return [store(folder, clock, "abcd"[number], **changed).open_or_continue() for number in range(count)]


def segments(run: Run) -> list[Segment]:
    """Return the changes of the rate in the ledger of a server."""
    return [(entry.first, entry.due_us, entry.rate) for entry in lines_of(run) if isinstance(entry, ledger.PaceEntry)]


def ends(run: Run) -> list[str]:
    """Return the reasons of the end lines in the ledger of a server."""
    return [entry.reason for entry in lines_of(run) if isinstance(entry, ledger.EndEntry)]


def follow(*joined: Run) -> None:
    """Let servers learn what the others have decided and entered."""
    for run in joined:
        run.follow()


def test_a_second_server_joins_the_run(tmp_path: Path, clock: StoppedClock) -> None:
    """Servers with one folder play one run, each with its own ledger."""
    first, second = servers(tmp_path, clock)

    assert first.name == second.name
    assert {"a.jsonl", "b.jsonl"} == {path.name for path in first.ledger.path.parent.glob("*.jsonl")}


def test_a_schedule_is_decided_once(tmp_path: Path, clock: StoppedClock) -> None:
    """The first start decides; the other server enters it in its own ledger, and its own start changes nothing."""
    first, second = servers(tmp_path, clock, rate=100)

    assert first.start()
    clock.pass_seconds(0.05)
    assert not second.start()
    assert [(1, START_US + LEAD_US, 100)] == segments(first) == segments(second)
    assert "running" == second.state


@pytest.mark.parametrize("joined", [False, True])
def test_a_rate_begins_later_beside_other_servers(tmp_path: Path, clock: StoppedClock, *, joined: bool) -> None:
    """Alone a new rate begins at once; beside another server all of them have entered it before it begins."""
    (first,) = servers(tmp_path, clock, count=1, rate=100)
    first.set_rate(100)
    others = [store(tmp_path, clock, "b", rate=100).open_or_continue()] if joined else []
    clock.pass_seconds(1)
    first.set_rate(None)

    lead_us = LEAD_US if joined else 0
    assert (101 + lead_us // 10_000 + 1, START_US + 1_000_000 + lead_us, None) == segments(first)[-1]
    assert 101 == first.advance()
    clock.pass_seconds(0.2)
    assert (121 if joined else 101) == first.advance()
    for second in others:
        follow(second)
        assert segments(first)[-1:] == segments(second)
        clock.pass_seconds(5)
        assert 131 == first.advance() == second.advance()


def test_a_late_server_reads_what_was_decided(tmp_path: Path, clock: StoppedClock) -> None:
    """A server that joins during a run continues its schedule, also what no ledger has entered yet."""
    first, second = servers(tmp_path, clock, rate=100)
    first.start()
    follow(second)
    clock.pass_seconds(1.3)
    second.set_rate(50)
    third = store(tmp_path, clock, "c", rate=100).open_or_continue()
    clock.pass_seconds(2)

    assert (131 + 1 + 85) == third.advance() == second.advance() == first.advance()
    assert 50 == third.recorded_rate


def test_a_decision_without_its_line_is_entered_by_the_next_server(tmp_path: Path, clock: StoppedClock) -> None:
    """A server that crashed between deciding and entering leaves a decision that the next one enters."""
    (first,) = servers(tmp_path, clock, count=1, rate=100)
    first.start()
    entry = ledger.PaceEntry(at=first.at(), first=11, due_us=START_US + 100_000, rate=None)
    assert first.agreement.decide(first.at(), entry)
    second = store(tmp_path, clock, "b", rate=100).open_or_continue()

    assert ("paused", [(11, START_US + 100_000, None)]) == (second.state, segments(second))


def test_a_stage_and_a_decision_have_one_order(tmp_path: Path, clock: StoppedClock) -> None:
    """A stage that begins before a decided pause is entered before it on every server, and the plan goes on from it."""
    first, second = servers(tmp_path, clock, rate=PLAN)
    first.start()
    follow(second)
    clock.pass_seconds(2.2)
    apply_request(PAUSE, Stream(first, clock), "127.0.0.1")
    clock.pass_seconds(0.25)
    assert second.advance() == first.advance()
    clock.pass_seconds(1)
    apply_request(RESUME, Stream(second, clock), "127.0.0.1")
    clock.pass_seconds(30)

    assert first.advance() == second.advance()
    follow(first)
    assert first.advance() == second.advance()
    assert segments(first) == segments(second)
    stages = [entry.stage for entry in lines_of(second) if isinstance(entry, ledger.PaceEntry)]
    assert [1, 2, None, 2, 3, 4] == stages


def test_a_server_that_was_held_up_looks_before_it_sends(tmp_path: Path, clock: StoppedClock) -> None:
    """A server that has not looked for decisions for a while enters them before it returns a head."""
    first, second = servers(tmp_path, clock, rate=100)
    first.start()
    follow(second)
    clock.pass_seconds(1)
    first.set_rate(None)
    clock.pass_seconds(BLIND_US / 1e6 + 0.01)
    assert 86 + 1 == second.advance()

    clock.pass_seconds(60)
    assert 101 == second.advance() == first.advance()
    assert segments(first) == segments(second)


def test_a_server_that_learns_too_late_enters_what_it_played(tmp_path: Path, clock: StoppedClock) -> None:
    """A decision that was published late is entered from the first record that this server had not sent yet."""
    first, second = servers(tmp_path, clock, rate=100)
    first.start()
    follow(second)
    clock.pass_seconds(1.31)
    assert 102 == second.advance()
    late = ledger.PaceEntry(at=first.at(), first=52, due_us=START_US + LEAD_US + 510_000, rate=50)
    assert first.agreement.decide(first.at(), late)
    first.enter((late,))
    follow(second)

    assert (52, START_US + LEAD_US + 510_000, 50) == segments(first)[-1]
    assert (103, START_US + LEAD_US + 1_530_000, 50) == segments(second)[-1]


def test_a_control_request_reaches_every_server(tmp_path: Path, clock: StoppedClock) -> None:
    """Every server enters a request with the time of the first one, and what it caused."""
    first, second = servers(tmp_path, clock, rate=100)
    first.start()
    follow(second)
    clock.pass_seconds(1)
    apply_request(PAUSE, Stream(second, clock), "192.0.2.1")
    at = second.at()
    clock.pass_seconds(0.1)
    follow(first)
    controls = [[entry for entry in lines_of(run) if isinstance(entry, ledger.ControlEntry)] for run in (first, second)]

    assert controls[0] == controls[1]
    assert [at] == [entry.at for entry in controls[0]]
    assert first.recorded.is_paused_by_operator
    assert "paused" == first.recorded.state


def test_a_request_that_came_second_is_judged_by_the_first(tmp_path: Path, clock: StoppedClock) -> None:
    """Of two pauses at the same time one changes the rate; a resume of a run that another server ended is refused."""
    first, second = servers(tmp_path, clock, rate=100)
    first.start()
    follow(second)
    clock.pass_seconds(1)
    apply_request(PAUSE, Stream(first, clock), "127.0.0.1")
    apply_request(PAUSE, Stream(second, clock), "127.0.0.1")
    follow(first)
    assert 2 == len(segments(first)) == len(segments(second))

    first.finish("grace")
    with pytest.raises(RequestRefused, match="is over"):
        apply_request(RESUME, Stream(second, clock), "127.0.0.1")


def test_a_client_elsewhere_is_dropped_there(tmp_path: Path, clock: StoppedClock) -> None:
    """A drop at one server disconnects the client at the server to which it is connected."""
    first, second = servers(tmp_path, clock)
    streams = Stream(first, clock), Stream(second, clock)
    _, connection = admitted(streams[0])
    follow(second)
    status = apply_request(wire.Control(do="drop", client="client-1"), streams[1], "127.0.0.1")
    assert ["client-1"] == status.clients
    assert not connection.was_aborted
    follow(first)

    assert connection.was_aborted


def test_the_end_is_decided_once(tmp_path: Path, clock: StoppedClock) -> None:
    """Each server enters the decided end with its own lateness; a second decision of it changes nothing."""
    first, second = servers(tmp_path, clock)
    first.lateness.record([5000])
    first.finish("complete")
    second.finish("grace")
    found = [lines_of(run)[-1] for run in (first, second)]

    assert ["complete"] == ends(first) == ends(second)
    assert [5000, None] == [entry.late_max_ns for entry in found if isinstance(entry, ledger.EndEntry)]


def test_receipts_at_other_servers_complete_the_run(tmp_path: Path, clock: StoppedClock) -> None:
    """A run is complete when the clients of all servers have receipted the last record."""
    first, second = servers(tmp_path, clock, records=10)
    for run, name in ((first, "client-1"), (second, "client-2")):
        subscription, _ = admitted(Stream(run, clock), name)
        follow(first, second)
        entry = ledger.ReceiptEntry(
            at=run.at(), client=name, session=1, fence=subscription.fence, block=1, first=1, last=10, count=10,
            digest="x00000000", match=True,
        )  # fmt: skip
        if run is second:
            assert not first.recorded.is_complete()
        run.append(entry)
        run.follow()
    follow(first, second)

    assert first.recorded.is_complete()
    assert second.recorded.is_complete()
    assert [10, 10] == [client.receipted for client in first.recorded.clients.values()]
    assert {"client-2": 2} == first.agreement.connected()


def test_the_next_run_is_decided_once(tmp_path: Path, clock: StoppedClock) -> None:
    """Servers that open the next run at the same time play the same one, and count it as their second."""
    stores = [store(tmp_path, clock, name, runs=2) for name in "ab"]
    first, second = (made.open_or_continue() for made in stores)
    first.finish("complete")
    follow(second)
    clock.pass_seconds(2)
    next_runs = [made.open_new(run) for made, run in zip(stores, (first, second), strict=True)]

    assert ["20261122T073002Z"] * 2 == [run.name for run in next_runs]
    assert [2, 2] == [run.agreement.number for run in next_runs]
    third = store(tmp_path, clock, "c", runs=2).open_or_continue()
    assert ("20261122T073002Z", 2) == (third.name, third.agreement.number)


def test_runs_are_counted_on_after_a_restart(tmp_path: Path, clock: StoppedClock) -> None:
    """A server that continues the second of its runs knows that it is the second."""
    made = store(tmp_path, clock, "a", runs=2)
    second = played(made, clock, made.open_or_continue())
    second.ledger._file.close()
    again = store(tmp_path, clock, "b", runs=2).open_or_continue()

    assert (second.name, 2) == (again.name, again.agreement.number)


def test_decisions_are_removed_with_their_run(tmp_path: Path, clock: StoppedClock) -> None:
    """Old runs are removed with their decisions; a run that a server still touches is not."""
    made = store(tmp_path, clock, "a", runs=0)
    first = made.open_or_continue()
    second = played(made, clock, first)
    third = played(made, clock, second)
    now_s = clock.us / 1e6
    for run, age_s in ((first, 11), (second, 9), (third, 0)):
        os.utime(run.ledger.path, (now_s - age_s, now_s - age_s))
    remove_old_runs(tmp_path / "ledger", 1, now_s)

    assert {second.name, third.name} == {path.name for path in (tmp_path / "ledger").iterdir()}
    assert (second.ledger.path.parent / "decided" / "00000001").exists()


def played(made: RunStore, clock: StoppedClock, run: Run) -> Run:
    """Play a run to its end, and return the next one."""
    run.start()
    clock.pass_seconds(2)
    run.finish("complete")
    return made.open_new(run)


def test_a_server_that_was_frozen_takes_no_part_in_runs_that_ended_meanwhile(
    tmp_path: Path, clock: StoppedClock
) -> None:
    """A server that thaws two runs later enters nothing in the run that has ended, and joins the newest one."""
    stores = [store(tmp_path, clock, name, runs=0) for name in "ab"]
    first, frozen = (made.open_or_continue() for made in stores)
    third = played(stores[0], clock, played(stores[0], clock, first))
    second = stores[1].open_new(frozen)
    assert ["OpenEntry"] == [type(entry).__name__ for entry in lines_of(second)]
    assert "ended" == second.state
    joined = stores[1].open_new(second)

    assert (third.name, 3, "waiting") == (joined.name, joined.agreement.number, joined.state)
    third.start()
    follow(joined)
    assert segments(third) == segments(joined)


@pytest.mark.parametrize("removed", [1, 2])
def test_a_server_that_was_frozen_joins_the_newest_run_if_others_are_removed(
    tmp_path: Path, clock: StoppedClock, removed: int
) -> None:
    """A server whose run, or the one after it, was removed while it was frozen does not play a run of its own."""
    stores = [store(tmp_path, clock, name, runs=0) for name in "ab"]
    first, frozen = (made.open_or_continue() for made in stores)
    assert not stores[1].has_missed_runs(frozen)
    second = played(stores[0], clock, first)
    assert not stores[1].has_missed_runs(frozen)
    third = played(stores[0], clock, second)
    follow(frozen)
    shutil.rmtree((first, second)[removed - 1].ledger.path.parent)
    assert stores[1].has_missed_runs(frozen)
    joined = stores[1].open_new(frozen)

    assert (third.name, 3, "waiting") == (joined.name, joined.agreement.number, joined.state)
    assert not stores[1].has_missed_runs(joined)


def test_a_removed_ledger_of_the_newest_run_is_no_reason_to_leave_it(tmp_path: Path, clock: StoppedClock) -> None:
    """A lone server whose ledger an operator removed plays on: there is no newer run."""
    (only,) = servers(tmp_path, clock, count=1)
    shutil.rmtree(only.ledger.path.parent)

    assert not store(tmp_path, clock, "a").has_missed_runs(only)


def test_a_server_that_missed_runs_with_other_settings_is_refused(tmp_path: Path, clock: StoppedClock) -> None:
    """A frozen server whose run was removed does not join the run of a server with other settings."""
    frozen_store, later = store(tmp_path, clock, "a"), store(tmp_path, clock, "b", rate=500)
    frozen = frozen_store.open_or_continue()
    clock.pass_seconds(2)
    later.open_new()
    shutil.rmtree(frozen.ledger.path.parent)

    with pytest.raises(AnotherServer, match="RATE 500, here 200"):
        frozen_store.open_new(frozen)


def test_a_server_measures_itself_beside_others_while_the_run_goes(tmp_path: Path, clock: StoppedClock) -> None:
    """A server enters its lateness during a run, and only if another server may outlive it."""
    (first,) = servers(tmp_path, clock, count=1, rate=100)
    first.start()
    follow(first)
    assert not first.append_measurements()
    second = store(tmp_path, clock, "b", rate=100).open_or_continue()
    follow(first)
    first.lateness.record([5000, 7000])
    assert not second.append_measurements()
    assert first.append_measurements()
    assert second.append_measurements()
    found = [lines_of(run)[-1] for run in (first, second)]
    assert [7000, None] == [entry.late_max_ns for entry in found if isinstance(entry, ledger.MeasuredEntry)]
    first.finish("complete")
    follow(second)

    assert not first.append_measurements()
    assert not second.append_measurements()


def test_the_last_server_that_stops_pauses_the_run(tmp_path: Path, clock: StoppedClock) -> None:
    """A server that stops beside others leaves the run alone; of servers that stop together the last one pauses it."""
    first, second = servers(tmp_path, clock, rate=100)
    first.start()
    follow(second)
    clock.pass_seconds(1)
    second.ledger.touch()
    os.utime(second.ledger.path, (1, 1))
    os.utime(first.ledger.path, (2, 2))
    first.leave()
    assert "running" == first.recorded.state
    second.leave()
    assert ("paused", START_US + 1_000_000 + LEAD_US) == (second.recorded.state, segments(second)[-1][1])
    first.pause_if_last()

    assert LEAD_US / 1e6 == first.seconds_until_pause() == second.seconds_until_pause()
    clock.pass_seconds(1)
    assert (0, 101) == (first.seconds_until_pause(), first.advance())
    assert segments(first) == segments(second)


def test_a_server_that_is_alone_pauses_the_run_when_it_stops(tmp_path: Path, clock: StoppedClock) -> None:
    """A stop of the only server pauses the run at once."""
    (only,) = servers(tmp_path, clock, count=1, rate=100)
    only.start()
    clock.pass_seconds(1)
    only.leave()

    assert [(1, START_US + 20_000, 100), (100, START_US + 1_000_000, None)] == segments(only)


@pytest.mark.parametrize("is_shared", [True, False])
def test_without_links_a_second_server_is_refused(
    tmp_path: Path, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch, *, is_shared: bool
) -> None:
    """Where the file system refuses links one server plays as usual, and a second one is refused with the reason."""

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    def found(root: Path, *_: object) -> FolderSnapshot:
        raise AnotherServer(next(root.iterdir()).name, str(root))

    if not is_shared:
        monkeypatch.setattr("services.server.runs.decisions.os.link", refuse)
    (first,) = servers(tmp_path, clock, count=1, rate=100)
    assert first.start()
    assert [(1, START_US + 20_000, 100)] == segments(first)
    second = store(tmp_path, clock, "b", rate=100)
    second.ensure_alone = found
    if is_shared:
        assert first.name == second.open_or_continue().name
    else:
        with pytest.raises(AnotherServer, match="hard links"):
            second.open_or_continue()
        assert not (first.ledger.path.parent / "decided").exists()


def test_a_disk_that_refuses_decisions_does_not_stop_a_lone_server(
    tmp_path: Path, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alone, a server goes on when no decision can be written: its ledger has the entries. Beside another it waits."""
    (first,) = servers(tmp_path, clock, count=1, rate=100)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("services.server.runs.decisions.os.link", full)
        assert first.start()
    second = store(tmp_path, clock, "b", rate=100).open_or_continue()
    assert ("running", 100) == (second.state, second.recorded_rate)
    monkeypatch.setattr("services.server.runs.decisions.os.link", full)
    assert not second.set_rate(None)
    assert "running" == second.state


def test_a_run_of_other_settings_is_not_abandoned_while_it_is_played(tmp_path: Path, clock: StoppedClock) -> None:
    """A server with other settings is refused beside a live one, and does not end its run."""
    (first,) = servers(tmp_path, clock, count=1)

    def live(root: Path, *_: object) -> FolderSnapshot:
        raise AnotherServer(first.name, str(root))

    second = store(tmp_path, clock, "b", rate=500)
    second.ensure_alone = live
    with pytest.raises(AnotherServer, match="RATE 200, here 500"):
        second.open_or_continue()
    assert isinstance(PastRun(read_entries(first.ledger.path.parent)).opening, ledger.OpenEntry)
    assert [] == ends(first)


def test_servers_of_two_invocations_play_no_common_run(tmp_path: Path, clock: StoppedClock) -> None:
    """Servers that ``python -m services`` started join those of the same invocation, and no others."""
    stores = [store(tmp_path, clock, name) for name in "abc"]
    for made, invocation in zip(stores, ("one", "one", "two"), strict=True):
        made.invocation = invocation
    first, second = stores[0].open_or_continue(), stores[1].open_or_continue()
    assert first.name == second.name

    def live(root: Path, *_: object) -> FolderSnapshot:
        raise AnotherServer(first.name, str(root))

    stores[2].ensure_alone = live
    with pytest.raises(AnotherServer, match="not started together"):
        stores[2].open_or_continue()


def test_a_pause_by_a_server_that_thought_it_was_the_last_is_undone(tmp_path: Path, clock: StoppedClock) -> None:
    """A server that goes on resumes a run that another one paused as it stopped, and leaves an operator's pause."""
    first, second = servers(tmp_path, clock, rate=100)
    first.start()
    follow(second)
    lifecycle = RunLifecycle(second, 0.0)
    clock.pass_seconds(1)
    first.set_rate(None)
    clock.pass_seconds(1)
    for now in (1.0, 1.0 + RETURN_SECONDS + 0.1):
        follow(second)
        lifecycle.step(now, set(), 0)
    assert [100, None, 100] == [rate for _, _, rate in segments(second)]

    clock.pass_seconds(1)
    apply_request(PAUSE, Stream(second, clock), "127.0.0.1")
    for now in (5.0, 9.0):
        lifecycle.step(now, set(), 0)
    assert "paused" == second.state


def test_a_run_that_ends_before_it_is_joined_is_left_alone(tmp_path: Path, clock: StoppedClock) -> None:
    """A server that was about to join a run that has ended meanwhile watches its servers, and opens no other run."""
    (first,) = servers(tmp_path, clock, count=1)
    second = store(tmp_path, clock, "b", rate=200)
    seen = second.survey()
    first.finish("complete")

    def live(root: Path, *_: object) -> FolderSnapshot:
        raise AnotherServer(first.name, str(root))

    second.ensure_alone = live
    second.invocation = "other"
    with pytest.raises(AnotherServer):
        second.open_or_continue(seen)
    assert [first.name] == [path.name for path in (tmp_path / "ledger").iterdir()]


steps = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["pause", "resume", "rate", "advance", "follow", "join"]),
        st.integers(0, 900_000),
    ),
    max_size=25,
)


@given(steps=steps, plan=st.sampled_from(["100", PLAN]))
@example(steps=[(0, "pause", 0), (1, "resume", 1), (2, "rate", 1), (1, "pause", 1)], plan=PLAN)
def test_servers_play_one_schedule_whatever_is_decided(steps: list[tuple[int, str, int]], plan: str) -> None:
    """However requests at several servers, stages of the plan and joining servers interleave, all play one schedule."""
    with TemporaryDirectory() as folder:
        clock = StoppedClock()
        joined = servers(Path(folder), clock, rate=plan, records=4000)
        joined[0].start()
        for number, action, us in steps:
            clock.us += us
            run = joined[number % len(joined)]
            if action == "join":
                joined.append(store(Path(folder), clock, f"s{len(joined)}", rate=plan, records=4000).open_or_continue())
            elif action == "advance":
                run.advance()
            elif action == "follow":
                run.follow()
            else:
                with contextlib.suppress(RequestRefused):
                    apply_request(REQUESTS[action], Stream(run, clock), "127.0.0.1")
        clock.us += BLIND_US + 1
        heads = {run.advance() for run in joined}
        clock.us += 60_000_000
        follow(*joined)
        heads_later = {run.advance() for run in joined}
        schedules = {tuple(run.schedule.segments) for run in joined}

        assert (1, 1, 1) == (len(heads), len(heads_later), len(schedules))
        assert 1 == len({run.recorded.is_paused_by_operator for run in joined})
        assert 1 == len({run.recorded_rate for run in joined})
        assert segments(joined[0]) == segments(joined[1])
        for run in joined:
            run.ledger._file.close()


def test_a_short_outage_limit_never_ends_a_live_run(tmp_path: Path, clock: StoppedClock) -> None:
    """A server whose outage limit is shorter than the silence of a live ledger is refused with that reason."""
    (first,) = servers(tmp_path, clock, count=1)
    os.utime(first.ledger.path, (clock.us / 1e6 - 5, clock.us / 1e6 - 5))

    def live(root: Path, *_: object) -> FolderSnapshot:
        raise AnotherServer(first.name, str(root))

    second = store(tmp_path, clock, "b", resume_seconds=1)
    second.ensure_alone = live
    with pytest.raises(AnotherServer, match="RESUME_SECONDS"):
        second.open_or_continue()
    assert [] == ends(first)
