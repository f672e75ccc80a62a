"""Tests of an operator's control requests."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.contract import ledger, wire
from services.server.runs.run_lifecycle import RunLifecycle
from services.server.streaming.control import RequestRefused, apply_request, may_control
from services.server.streaming.stream import Stream
from tests.unit.server.fakes import StoppedClock, admitted, lines_of, new_run, runs

PAUSE, RESUME, STATUS = (wire.Control(do=verb) for verb in ("pause", "resume", "status"))


def rate(rate: float) -> wire.Control:
    """Return the request for another rate."""
    return wire.Control(set={"rate": rate})


@pytest.fixture
def waiting(tmp_path: Path, clock: StoppedClock) -> Stream:
    """Return the stream of a run of 1,000 records that has not started."""
    return Stream(new_run(tmp_path, clock, rate=100, records=1000), clock)


@pytest.fixture
def stream(waiting: Stream) -> Stream:
    """Return a running stream of 100 records a second."""
    waiting.run.set_rate(100)
    return waiting


def requests(stream: Stream) -> list[ledger.ControlEntry]:
    """Return the control requests in the ledger."""
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
def test_authorization(token: str, authority: list[str], *, local: bool, allowed: bool) -> None:
    """Control is for peers on loopback and for those that send the token once; an empty token admits none."""
    assert allowed is may_control(authority, token, local=local)


def test_pause_resume_and_rate(stream: Stream, clock: StoppedClock) -> None:
    """Pause, resume and rate are recorded with their address, change the schedule and are answered."""
    answers = [apply_request(wish, stream, "10.0.0.7") for wish in (PAUSE, RESUME)]
    clock.pass_seconds(1)
    answers += [apply_request(wish, stream, "10.0.0.7") for wish in (rate(500), STATUS)]

    assert [("paused", None), ("running", 100), ("running", 500), ("running", 500)] == [
        (answer.state, answer.rate) for answer in answers
    ]
    assert [("pause", None), ("resume", None), ("rate", 500)] == [(one.request, one.value) for one in requests(stream)]
    assert {("10.0.0.7", None)} == {(one.peer, one.via) for one in requests(stream)}


def test_a_request_records_its_tool(stream: Stream) -> None:
    """The tool that the operator used is recorded beside the address."""
    apply_request(wire.Control(do="pause", via="page"), stream, "10.0.0.7")

    assert [("10.0.0.7", "page")] == [(one.peer, one.via) for one in requests(stream)]


def test_a_rate_set_during_a_pause_holds_from_its_end(stream: Stream) -> None:
    """A rate that is set during a pause applies when the run resumes."""
    answers = [apply_request(wish, stream, "") for wish in (PAUSE, rate(500), RESUME)]

    assert [("paused", None), ("paused", None), ("running", 500)] == [(one.state, one.rate) for one in answers]


def test_a_rate_set_before_the_start_holds_from_it(waiting: Stream) -> None:
    """A rate that is set before the start applies from the start."""
    session, _ = admitted(waiting)
    answer = apply_request(rate(500), waiting, "")
    life = RunLifecycle(waiting.run, 0)
    life.step(0, {session.name}, 0)
    life.step(60, {session.name}, 0)

    assert ("waiting", 500) == (answer.state, answer.rate)
    assert ("running", 500) == (waiting.run.state, waiting.run.status().rate)


def test_a_rate_survives_a_restart(stream: Stream, tmp_path: Path, clock: StoppedClock) -> None:
    """A rate that was set during a pause applies when another server resumes the run."""
    for wish in (PAUSE, rate(500)):
        apply_request(wish, stream, "")
    stream.run.ledger.close()
    again = Stream(runs(tmp_path, clock, "b", rate=100, records=1000).open_or_continue(), clock)

    assert ("running", 500) == (apply_request(RESUME, again, "").state, again.run.status().rate)
    again.run.ledger.close()


def test_a_pause_before_the_server_resumes(stream: Stream, tmp_path: Path, clock: StoppedClock) -> None:
    """An operator's pause between the start of a server and its resuming keeps the run paused."""
    stream.run.set_rate(None)
    stream.run.ledger.close()
    again = Stream(runs(tmp_path, clock, "b", rate=100, records=1000).open_or_continue(), clock)
    life = RunLifecycle(again.run, 0)
    apply_request(PAUSE, again, "")
    life.step(60, set(), 0)

    assert "paused" == again.run.state
    again.run.ledger.close()


def test_a_request_that_cannot_be_decided_names_the_cause(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an answer of the place where servers decide, the refusal names that; otherwise it names other servers."""
    for problem, why in (
        (OSError("JetStream has not answered"), "JetStream has not answered"),
        (None, "other servers"),
    ):

        def refuse(*_: object, problem: OSError | None = problem, **__: object) -> bool:
            if problem is not None:
                raise problem
            return False

        monkeypatch.setattr(stream.run.agreement._decisions, "decide", refuse)
        monkeypatch.setattr(stream.run.agreement._decisions, "is_required", True)
        with pytest.raises(RequestRefused, match=f"^{why}.*: try again$"):
            apply_request(PAUSE, stream, "127.0.0.1")
    assert "running" == stream.run.state


def test_a_client_is_dropped(stream: Stream) -> None:
    """A dropped client is disconnected with the recorded cause, and the reply lists the others."""
    session, victim = admitted(stream)
    admitted(stream, "client-2")
    answer = apply_request(wire.Control(do="drop", client="client-1"), stream, "")
    session.leave()

    assert ["client-2"] == answer.clients
    assert victim.was_aborted
    assert "dropped" == stream.run.recorded.clients["client-1"].leave_cause


@pytest.mark.parametrize(
    ("wish", "code", "why"),
    [
        (wire.Control(), "malformed", "the request neither sets a rate nor names an action"),
        (wire.Control(do="drop", client="client-9"), "no_client", "no client is named client-9"),
        (wire.Control(do="drop"), "no_client", "drop names no client"),
    ],
)
def test_an_invalid_request_is_refused(stream: Stream, wish: wire.Control, code: str, why: str) -> None:
    """A request without content or for an unknown client is refused and not recorded."""
    with pytest.raises(RequestRefused) as declined:
        apply_request(wish, stream, "")

    assert wire.Error(code=code, detail=why) == declined.value.frame
    assert [] == requests(stream)


@pytest.mark.parametrize("wish", [PAUSE, RESUME])
def test_a_waiting_run_cannot_be_paused(waiting: Stream, wish: wire.Control) -> None:
    """A run that has not started can be neither paused nor resumed."""
    with pytest.raises(RequestRefused, match="has not begun: there is nothing to"):
        apply_request(wish, waiting, "")
    assert [] == requests(waiting)


@pytest.mark.parametrize("wish", [PAUSE, RESUME, rate(1)])
def test_nothing_changes_at_the_end(stream: Stream, clock: StoppedClock, wish: wire.Control) -> None:
    """Once every record is due, and after the end, no rate can be set, and the error states the reason."""
    clock.pass_seconds(10)
    with pytest.raises(RequestRefused, match=r"every record of run .* is due already"):
        apply_request(wish, stream, "")
    stream.run.finish("complete")
    with pytest.raises(RequestRefused, match="is over"):
        apply_request(wish, stream, "")

    assert [] == requests(stream)
    assert ("ended", 1000) == (apply_request(STATUS, stream, "").state, apply_request(STATUS, stream, "").head)


@pytest.fixture
def planned(tmp_path: Path, clock: StoppedClock) -> Stream:
    """Return the stream of a run at the beginning of its rate plan."""
    made = Stream(new_run(tmp_path, clock, rate="10:2s,pause:4s,100"), clock)
    made.run.start()
    clock.us = made.run.recorded.schedule.segments[0].due_us
    return made


def test_a_pause_delays_the_plan(planned: Stream, clock: StoppedClock) -> None:
    """An operator's pause stops the plan's clock, which continues where it was."""
    clock.pass_seconds(1)
    apply_request(PAUSE, planned, "")
    clock.pass_seconds(60)
    answer = apply_request(RESUME, planned, "")
    clock.pass_seconds(0.99)

    assert ("running", 10, 12) == (answer.state, answer.rate, answer.head)
    assert (21, "running") == (planned.run.head(), planned.run.state)
    clock.pass_seconds(0.01)
    assert (21, "paused") == (planned.run.head(), planned.run.state)
    clock.pass_seconds(4.5)
    assert (21 + 51, "running") == (planned.run.head(), planned.run.state)


def test_a_rate_ends_the_plan(planned: Stream, clock: StoppedClock) -> None:
    """A rate that an operator sets applies to the end of the run."""
    clock.pass_seconds(1)
    answer = apply_request(rate(50), planned, "")
    clock.pass_seconds(60)

    assert ("running", 50) == (answer.state, answer.rate)
    assert ("running", 50, 11 + 3001) == (planned.run.state, planned.run.status().rate, planned.run.head())


@pytest.mark.parametrize(("wish", "rate"), [(RESUME, 100), (rate(50), 50)])
def test_a_request_ends_a_planned_pause(planned: Stream, clock: StoppedClock, wish: wire.Control, rate: float) -> None:
    """During a planned pause, resume begins the next stage, and a rate applies at once."""
    clock.pass_seconds(3)
    assert ("paused", 20) == (apply_request(STATUS, planned, "").state, planned.run.head())
    answer = apply_request(wish, planned, "")

    assert ("running", rate) == (answer.state, answer.rate)
    clock.pass_seconds(1)
    assert 20 + rate + 1 == planned.run.head()


def test_a_planned_pause_is_interrupted(planned: Stream, clock: StoppedClock) -> None:
    """An operator's pause interrupts a planned one, whose rest follows it."""
    clock.pass_seconds(3)
    planned.run.head()
    apply_request(PAUSE, planned, "")
    clock.pass_seconds(60)
    assert ("paused", 20, True) == (planned.run.state, planned.run.head(), planned.run.recorded.is_halted)
    apply_request(RESUME, planned, "")
    clock.pass_seconds(2.9)
    assert 20 == planned.run.head()
    clock.pass_seconds(0.1)

    assert (21, "running") == (planned.run.head(), planned.run.state)
