"""Tests of an operator's wishes."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.contract import ledger, wire
from services.server.connections.control import RequestRefused, grant, may_control
from services.server.runs.run_lifecycle import RunLifecycle
from services.server.stream import Stream
from tests.unit.server.fakes import StoppedClock, admitted, lines_of, new_run, runs

PAUSE, RESUME, STATUS = (wire.Control(do=verb) for verb in ("pause", "resume", "status"))


def faster(rate: float) -> wire.Control:
    """Return the wish for another rate."""
    return wire.Control(set={"rate": rate})


@pytest.fixture
def waiting(tmp_path: Path, clock: StoppedClock) -> Stream:
    """Return the stream of a run of 1,000 records that has not begun."""
    return Stream(new_run(tmp_path, clock, rate=100, records=1000), clock)


@pytest.fixture
def stream(waiting: Stream) -> Stream:
    """Return a running stream of 100 records a second."""
    waiting.run.pace(100)
    return waiting


def wishes(stream: Stream) -> list[ledger.ControlEntry]:
    """Return the wishes in the ledger."""
    return [entry for entry in lines_of(stream.run) if isinstance(entry, ledger.ControlEntry)]


@pytest.mark.parametrize(
    ("local", "token", "authority", "allowed"),
    [
        (True, "", [], True),
        (True, "secret", ["Bearer guess"], True),
        (False, "", [], False),
        (False, "", ["Bearer "], False),
        (False, "secret", [], False),
        (False, "secret", ["Bearer guess"], False),
        (False, "secret", ["Bearer sécret"], False),
        (False, "secret", ["Bearer \udcff"], False),
        (False, "secret", ["secret"], False),
        (False, "secret", ["Bearer secret"], True),
        (False, "secret", ["Bearer secret", "Bearer secret"], False),
    ],
)
def test_who_may_control(token: str, authority: list[str], *, local: bool, allowed: bool) -> None:
    """Control is for this machine and for who holds the token and says it once; without a token nobody holds it."""
    assert allowed is may_control(authority, token, local=local)


def test_the_pace_is_set(stream: Stream, clock: StoppedClock) -> None:
    """Pause, resume and a new rate are entered with who asked, change the schedule and are answered."""
    answers = [grant(wish, stream, "10.0.0.7") for wish in (PAUSE, RESUME)]
    clock.pass_seconds(1)
    answers += [grant(wish, stream, "10.0.0.7") for wish in (faster(500), STATUS)]

    assert [("paused", None), ("running", 100), ("running", 500), ("running", 500)] == [
        (answer.state, answer.rate) for answer in answers
    ]
    assert [("pause", None), ("resume", None), ("rate", 500)] == [(one.request, one.value) for one in wishes(stream)]
    assert {("10.0.0.7", None)} == {(one.peer, one.via) for one in wishes(stream)}


def test_a_wish_tells_what_was_used(stream: Stream) -> None:
    """What the operator says to have used stands in the ledger beside the address."""
    grant(wire.Control(do="pause", via="page"), stream, "10.0.0.7")

    assert [("10.0.0.7", "page")] == [(one.peer, one.via) for one in wishes(stream)]


def test_a_rate_set_during_a_pause_holds_from_its_end(stream: Stream) -> None:
    """While the run is paused a rate is remembered, and the schedule goes on at it."""
    answers = [grant(wish, stream, "") for wish in (PAUSE, faster(500), RESUME)]

    assert [("paused", None), ("paused", None), ("running", 500)] == [(one.state, one.rate) for one in answers]


def test_a_rate_set_before_the_start_holds_from_it(waiting: Stream) -> None:
    """A run that has not begun begins at the rate that was set last."""
    session, _ = admitted(waiting)
    answer = grant(faster(500), waiting, "")
    life = RunLifecycle(waiting.run, 0)
    life.step(0, {session.name}, 0)
    life.step(60, {session.name}, 0)

    assert ("waiting", 500) == (answer.state, answer.rate)
    assert ("running", 500) == (waiting.run.state, waiting.run.rate)


def test_a_rate_outlives_a_restart(stream: Stream, tmp_path: Path, clock: StoppedClock) -> None:
    """The server that continues a run goes on at the rate that was set during its pause."""
    for wish in (PAUSE, faster(500)):
        grant(wish, stream, "")
    stream.run.ledger.close()
    again = Stream(runs(tmp_path, clock, "b", rate=100, records=1000).begin(), clock)

    assert ("running", 500) == (grant(RESUME, again, "").state, again.run.rate)
    again.run.ledger.close()


def test_a_pause_on_top_of_a_servers_own_stays(stream: Stream, tmp_path: Path, clock: StoppedClock) -> None:
    """Between a server's return and its going on, an operator's pause keeps it from going on."""
    stream.run.pace(None)
    stream.run.ledger.close()
    again = Stream(runs(tmp_path, clock, "b", rate=100, records=1000).begin(), clock)
    life = RunLifecycle(again.run, 0)
    grant(PAUSE, again, "")
    life.step(60, set(), 0)

    assert "paused" == again.run.state
    again.run.ledger.close()


def test_a_client_is_dropped(stream: Stream) -> None:
    """A client that is dropped is cut off, and the ledger says why; who is connected is told by name."""
    session, victim = admitted(stream)
    admitted(stream, "client-2")
    answer = grant(wire.Control(do="drop", client="client-1"), stream, "")
    session.leave()

    assert ["client-2"] == answer.clients
    assert victim.aborted
    assert "dropped" == stream.run.book.clients["client-1"].left


@pytest.mark.parametrize(
    ("wish", "code", "why"),
    [
        (wire.Control(), "malformed", "control sets or does nothing"),
        (wire.Control(do="drop", client="nobody"), "no_client", "nobody is nobody"),
        (wire.Control(do="drop"), "no_client", "drop names nobody"),
    ],
)
def test_a_wish_must_be_one(stream: Stream, wish: wire.Control, code: str, why: str) -> None:
    """A control that says nothing, or names nobody, is declined and not entered."""
    with pytest.raises(RequestRefused) as declined:
        grant(wish, stream, "")

    assert wire.Error(code=code, detail=why) == declined.value.frame
    assert [] == wishes(stream)


@pytest.mark.parametrize("wish", [PAUSE, RESUME])
def test_nothing_pauses_before_it_begins(waiting: Stream, wish: wire.Control) -> None:
    """A run that has not begun is neither paused nor resumed, and the operator is told."""
    with pytest.raises(RequestRefused, match="has not begun: there is nothing to"):
        grant(wish, waiting, "")
    assert [] == wishes(waiting)


@pytest.mark.parametrize("wish", [PAUSE, RESUME, faster(1)])
def test_nothing_is_changed_at_the_end(stream: Stream, clock: StoppedClock, wish: wire.Control) -> None:
    """Once every record is due there is no pace to set, nor when the run is over; who asks is told which."""
    clock.pass_seconds(10)
    with pytest.raises(RequestRefused, match=r"every record of run .* is due already"):
        grant(wish, stream, "")
    stream.run.finish("complete")
    with pytest.raises(RequestRefused, match="is over"):
        grant(wish, stream, "")

    assert [] == wishes(stream)
    assert ("ended", 1000) == (grant(STATUS, stream, "").state, grant(STATUS, stream, "").head)


@pytest.fixture
def planned(tmp_path: Path, clock: StoppedClock) -> Stream:
    """Return the stream of a run at the beginning of a plan."""
    made = Stream(new_run(tmp_path, clock, rate="10:2s,pause:4s,100"), clock)
    made.run.start()
    clock.us = made.run.book.schedule.stretches[0].due_us
    return made


def test_a_pause_shifts_the_plan(planned: Stream, clock: StoppedClock) -> None:
    """A plan stands still while an operator has paused the run, and goes on where it was."""
    clock.pass_seconds(1)
    grant(PAUSE, planned, "")
    clock.pass_seconds(60)
    answer = grant(RESUME, planned, "")
    clock.pass_seconds(0.99)

    assert ("running", 10, 12) == (answer.state, answer.rate, answer.head)
    assert (21, "running") == (planned.run.head(), planned.run.state)
    clock.pass_seconds(0.01)
    assert (21, "paused") == (planned.run.head(), planned.run.state)
    clock.pass_seconds(4.5)
    assert (21 + 51, "running") == (planned.run.head(), planned.run.state)


def test_a_rate_ends_the_plan(planned: Stream, clock: StoppedClock) -> None:
    """A rate that an operator sets holds to the end of the run."""
    clock.pass_seconds(1)
    answer = grant(faster(50), planned, "")
    clock.pass_seconds(60)

    assert ("running", 50) == (answer.state, answer.rate)
    assert ("running", 50, 11 + 3001) == (planned.run.state, planned.run.rate, planned.run.head())


@pytest.mark.parametrize(("wish", "rate"), [(RESUME, 100), (faster(50), 50)])
def test_a_planned_pause_is_cut_short(planned: Stream, clock: StoppedClock, wish: wire.Control, rate: float) -> None:
    """In a pause that is planned, who resumes gets the next stage, and who sets a rate gets that rate."""
    clock.pass_seconds(3)
    assert ("paused", 20) == (grant(STATUS, planned, "").state, planned.run.head())
    answer = grant(wish, planned, "")

    assert ("running", rate) == (answer.state, answer.rate)
    clock.pass_seconds(1)
    assert 20 + rate + 1 == planned.run.head()


def test_a_planned_pause_is_interrupted(planned: Stream, clock: StoppedClock) -> None:
    """An operator's pause outlasts the one that was planned, of which what is left comes after it."""
    clock.pass_seconds(3)
    planned.run.head()
    grant(PAUSE, planned, "")
    clock.pass_seconds(60)
    assert ("paused", 20, True) == (planned.run.state, planned.run.head(), planned.run.book.halted)
    grant(RESUME, planned, "")
    clock.pass_seconds(2.9)
    assert 20 == planned.run.head()
    clock.pass_seconds(0.1)

    assert (21, "running") == (planned.run.head(), planned.run.state)
