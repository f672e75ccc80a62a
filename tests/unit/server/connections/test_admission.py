"""Tests of who may subscribe, and under which name."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from services.contract import ledger, wire
from services.server.connections import admission as module
from services.server.connections.admission import LATE_SECONDS, Admission, SubscriptionRefused
from services.server.connections.subscription import Subscription
from services.server.stream import Stream
from tests.unit.server.fakes import FakeConnection, StoppedClock, kinds_of, lines_of, new_run, subscribe


@pytest.fixture
def stream(tmp_path: Path) -> Stream:
    """Return a stream whose run waits for clients."""
    clock = StoppedClock()
    return Stream(new_run(tmp_path, clock), clock)


@pytest.fixture
def admission(stream: Stream) -> Admission:
    """Return who admits to it."""
    return Admission(stream)


async def ask(admission: Admission, name: str = "client-1", **fields: Any) -> tuple[Subscription, FakeConnection]:
    """Subscribe over a connection of its own."""
    connection: Any = FakeConnection()
    return await admission.admit(connection, subscribe(name, **fields)), connection


async def test_a_subscription_is_entered(stream: Stream, admission: Admission) -> None:
    """A subscription is in the ledger with its fence and first record, and the stream serves it."""
    session, _ = await ask(admission, after=40, session=2)
    entry = lines_of(stream.run)[-1]

    assert isinstance(entry, ledger.SubscribeEntry)
    assert ("client-1", 2, "one", 1, 41, 10, False) == (
        *(entry.client, entry.session, entry.instance, entry.fence),
        *(entry.first, entry.block_size, entry.observe),
    )
    assert {"client-1": session} == stream.sessions
    assert 41 == session.cursor


async def test_fences_rise(admission: Admission) -> None:
    """Every subscription of a run has a higher fence than all before it, whoever it is."""
    fences = [(await ask(admission, name))[0].fence for name in ("client-1", "client-2", "client-1")]

    assert [1, 2, 3] == fences


async def test_the_same_process_supersedes_itself(stream: Stream, admission: Admission) -> None:
    """A reconnect of the same instance takes over at once; the old connection is told and closed first."""
    old, connection = await ask(admission)
    new, _ = await ask(admission, after=5)

    assert ([wire.Bye(reason="superseded", retry_ms=0)], wire.CLOSE_SUPERSEDED) == (
        connection.said(),
        connection.closed,
    )
    assert (False, True, new) == (old.open, new.open, stream.sessions["client-1"])
    assert ["open", "subscribe", "leave", "subscribe"] == kinds_of(stream.run)


async def test_a_name_in_use_is_kept(stream: Stream, admission: Admission) -> None:
    """Another process with the name of one that answers is told a free name, and stays connected."""
    holder, connection = await ask(admission)
    with pytest.raises(SubscriptionRefused) as refusal:
        await ask(admission, instance="two")
    frame = refusal.value.frame

    assert isinstance(frame, wire.Error)
    assert ("name_taken", "client-1~2", None) == (frame.code, frame.suggest, refusal.value.code)
    assert (True, [], None) == (holder.open, connection.said(), connection.closed)
    assert ["open", "subscribe"] == kinds_of(stream.run)


async def test_a_suggested_name_is_free(admission: Admission) -> None:
    """The name that is suggested is nobody's, and is made from the name without an earlier suggestion."""
    for name in ("client-1", "client-1~2", "client-1~3"):
        await ask(admission, name)
    for name in ("client-1", "client-1~2"):
        with pytest.raises(SubscriptionRefused) as refusal:
            await ask(admission, name, instance="two")
        assert isinstance(refusal.value.frame, wire.Error)
        assert "client-1~4" == refusal.value.frame.suggest


async def test_a_longest_name_has_a_suggestion_too(admission: Admission) -> None:
    """A name of the greatest length is shortened to make room."""
    await ask(admission, "c" * 63)
    with pytest.raises(SubscriptionRefused) as refusal:
        await ask(admission, "c" * 63, instance="two")

    assert isinstance(refusal.value.frame, wire.Error)
    assert "c" * 58 + "~2" == refusal.value.frame.suggest


@pytest.mark.parametrize("silent", [False, True])
async def test_a_holder_has_a_deadline(silent: bool, admission: Admission, monkeypatch: pytest.MonkeyPatch) -> None:
    """A holder whose answer never comes is silent after the deadline; who was silent before has a shorter one."""
    monkeypatch.setattr(module, "HOLDER_SECONDS", 0.01 if not silent else 60.0)
    monkeypatch.setattr(module, "ASKED_SECONDS", 0.01)
    _, connection = await ask(admission)
    connection.heard = asyncio.get_running_loop().time() - (120 if silent else 0)

    async def never() -> Any:
        return asyncio.get_running_loop().create_future()

    monkeypatch.setattr(connection, "ping", never)
    async with asyncio.timeout(10):
        new, _ = await ask(admission, instance="two")

    assert new.open


@pytest.mark.parametrize("instances", [("one", "two"), ("", "")])
async def test_a_silent_holder_is_superseded(admission: Admission, instances: tuple[str, str]) -> None:
    """A holder that does not answer loses its name to another process; nameless instances are never the same."""
    old, connection = await ask(admission, instance=instances[0])
    connection.answers = False
    new, _ = await ask(admission, instance=instances[1])

    assert ("superseded", False, True) == (old.cause, old.open, new.open)
    assert wire.CLOSE_SUPERSEDED == connection.closed


async def test_newcomers_are_judged_one_after_the_other(stream: Stream, admission: Admission) -> None:
    """Of several processes that come at once with one name, one gets it and the others are told."""
    found = await asyncio.gather(*(ask(admission, instance=str(n)) for n in range(5)), return_exceptions=True)

    assert 4 == len([it for it in found if isinstance(it, SubscriptionRefused)])
    assert ["open", "subscribe"] == kinds_of(stream.run)


async def test_who_has_gone_holds_nothing(admission: Admission) -> None:
    """A name whose connection is over is free for any process."""
    old, _ = await ask(admission)
    old.leave()

    assert (await ask(admission, instance="two"))[0].open


async def test_who_lost_a_name_does_not_get_it_back(admission: Admission) -> None:
    """A process whose name another one had since is told a free name, though nobody has it now."""
    old, connection = await ask(admission)
    connection.answers = False
    new, _ = await ask(admission, instance="two")
    new.leave()
    with pytest.raises(SubscriptionRefused) as refusal:
        await ask(admission)

    assert isinstance(refusal.value.frame, wire.Error)
    assert ("name_taken", "client-1~2") == (refusal.value.frame.code, refusal.value.frame.suggest)
    assert (False, True) == (old.open, (await ask(admission, instance="two"))[0].open)


async def test_nobody_is_beyond_the_end(stream: Stream, admission: Admission) -> None:
    """Who claims to hold more than the run has is refused; who holds exactly all of it is not."""
    with pytest.raises(SubscriptionRefused) as refusal:
        await ask(admission, after=6001)

    assert isinstance(refusal.value.frame, wire.Error)
    assert ("bad_after", wire.CLOSE_PROTOCOL) == (refusal.value.frame.code, refusal.value.code)
    assert 6001 == (await ask(admission, after=6000))[0].cursor
    assert ["open", "subscribe"] == kinds_of(stream.run)


async def test_after_the_end_only_those_who_were_there(stream: Stream, admission: Admission) -> None:
    """When a run is over nobody new is admitted, but one that returns is."""
    await ask(admission)
    stream.run.finish("complete")
    with pytest.raises(SubscriptionRefused) as refusal:
        await ask(admission, "client-2")

    assert (wire.Bye(reason="ended", retry_ms=2000), wire.CLOSE_LATER) == (refusal.value.frame, refusal.value.code)
    assert (await ask(admission, after=3))[0].open


def late(stream: Stream) -> list[tuple[str, str]]:
    """Return the clients that the ledger calls late, with the process of each."""
    return [(entry.client, entry.instance) for entry in lines_of(stream.run) if isinstance(entry, ledger.LateEntry)]


async def test_a_client_that_comes_just_too_late_is_entered_once(stream: Stream, admission: Admission) -> None:
    """A client that asks to take part within a second after the end is refused, and entered once per name."""
    await ask(admission)
    stream.run.finish("complete")
    for name, instance in (("client-2", "two"), ("client-2", "again"), ("client-3", "three")):
        with pytest.raises(SubscriptionRefused):
            await ask(admission, name, instance=instance)

    assert [("client-2", "two"), ("client-3", "three")] == late(stream)
    assert {"client-1"} == stream.run.book.clients.keys()


async def test_after_the_end_a_name_without_logs_does_not_come_back(stream: Stream, admission: Admission) -> None:
    """A client that has no session in a run that is over is refused, also under the name of one that took part."""
    session, _ = await ask(admission, session=1)
    session.leave()
    stream.run.finish("complete")
    with pytest.raises(SubscriptionRefused) as refusal:
        await ask(admission, session=0)

    assert wire.Bye(reason="ended", retry_ms=2000) == refusal.value.frame
    assert [] == late(stream)
    assert (await ask(admission, session=2))[0].open


async def test_the_window_of_the_late_is_fixed(tmp_path: Path) -> None:
    """A client that asks a second after the end is late, and one that asks a microsecond later is not."""
    clock = StoppedClock()
    stream = Stream(new_run(tmp_path, clock), clock)
    admission = Admission(stream)
    stream.run.finish("complete")
    for name, seconds in (("client-1", LATE_SECONDS), ("client-2", 0.000_001)):
        clock.pass_seconds(seconds)
        with pytest.raises(SubscriptionRefused):
            await ask(admission, name)

    assert [("client-1", "one")] == late(stream)


async def test_neither_observers_nor_returning_clients_are_late(stream: Stream, admission: Admission) -> None:
    """An observer that comes after the end is no client, and one that returns has been there."""
    await ask(admission)
    stream.run.finish("complete")
    await ask(admission, "watcher", observe=True)
    await ask(admission, after=3)

    assert [] == late(stream)


async def test_a_run_may_end_while_a_name_is_settled(
    stream: Stream, admission: Admission, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asked to resume one run is not subscribed to the next with the place it had in the first."""
    _, connection = await ask(admission)

    async def meanwhile(*_: object) -> None:
        stream.begin(new_run(tmp_path, StoppedClock()))

    monkeypatch.setattr(connection, "end", meanwhile)
    with pytest.raises(SubscriptionRefused) as refusal:
        await ask(admission, after=500)

    assert wire.CLOSE_LATER == refusal.value.code
    assert {} == stream.sessions


async def test_observers_stand_outside_the_books(stream: Stream, admission: Admission) -> None:
    """An observer may have any name, takes nobody's place and is not in the ledger."""
    await ask(admission)
    session, _ = await ask(admission, observe=True, instance="two")

    assert ([session], 0) == (stream.observers, session.fence)
    assert ["open", "subscribe"] == kinds_of(stream.run)


async def test_a_run_takes_so_many_names(stream: Stream, admission: Admission, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the most names a new one is told to come later; one that the run knows comes back as before."""
    monkeypatch.setattr(module, "MOST_NAMES", 4)
    for number in range(4):
        await ask(admission, f"client-{number}")
    with pytest.raises(SubscriptionRefused) as refusal:
        await ask(admission, "client-4")
    frame = refusal.value.frame

    assert isinstance(frame, wire.Error)
    assert ("too_many", wire.CLOSE_LATER) == (frame.code, refusal.value.code)
    await ask(admission, "client-1")
    await ask(admission, "watcher", observe=True)
    assert 4 == len(stream.run.book.clients)


async def test_nothing_is_kept_of_a_name_that_is_settled(admission: Admission) -> None:
    """A name that was judged, granted or refused leaves nothing behind."""
    await ask(admission)
    with pytest.raises(SubscriptionRefused):
        await ask(admission, "client-2", after=10**9)

    assert {} == admission._settling


async def test_so_many_wait_for_a_name(admission: Admission, monkeypatch: pytest.MonkeyPatch) -> None:
    """While as many as may wait for a name do, the next one is told a free name at once."""
    monkeypatch.setattr(module, "MOST_RIVALS", 1)
    first: Any = FakeConnection()
    async with admission._turn(first, "client-1"):
        assert first.reading
        with pytest.raises(SubscriptionRefused) as refusal:
            await ask(admission)

    assert isinstance(refusal.value.frame, wire.Error)
    assert ("name_taken", None) == (refusal.value.frame.code, refusal.value.code)


async def test_who_waits_for_a_name_is_not_read(admission: Admission) -> None:
    """While a name is in doubt nothing more of the newcomer's is taken into memory, and afterwards it is read again."""
    _, holder = await ask(admission)
    peer: Any = FakeConnection()
    reading: list[bool] = []

    async def ping() -> Any:
        reading.append(peer.reading)
        return await FakeConnection().ping()

    holder.ping = ping  # type: ignore[method-assign]
    with pytest.raises(SubscriptionRefused):
        await admission.admit(peer, subscribe(instance="two"))

    assert ([False], True) == (reading, peer.reading)


async def test_an_observer_begins_within_the_run(admission: Admission) -> None:
    """An observer that asks for what comes after the end is refused as a client is."""
    with pytest.raises(SubscriptionRefused) as refusal:
        await ask(admission, "watcher", observe=True, after=2**53 - 1)

    assert isinstance(refusal.value.frame, wire.Error)
    assert "bad_after" == refusal.value.frame.code
