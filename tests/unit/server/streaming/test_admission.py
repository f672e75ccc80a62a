"""Tests of admission: which client may subscribe under which name."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from services.contract import ledger, wire
from services.server.streaming.admission import Admission, AdmissionLimits, SubscriptionRefused
from services.server.streaming.stream import Stream
from services.server.streaming.subscription import Subscription
from tests.unit.server.fakes import FakeConnection, StoppedClock, kinds_of, lines_of, new_run, runs, subscribe


@pytest.fixture
def stream(tmp_path: Path) -> Stream:
    """Return a stream whose run waits for clients."""
    clock = StoppedClock()
    return Stream(new_run(tmp_path, clock), clock)


@pytest.fixture
def admission(stream: Stream) -> Admission:
    """Return the admission to the stream."""
    return Admission(stream)


async def ask(admission: Admission, name: str = "client-1", **fields: Any) -> tuple[Subscription, FakeConnection]:
    """Ask for a subscription over a new connection."""
    connection: Any = FakeConnection()
    return await admission.admit(connection, subscribe(name, **fields)), connection


async def test_a_subscription_is_recorded(stream: Stream, admission: Admission) -> None:
    """A subscription is recorded with its fence and first record, and the stream serves it."""
    session, _ = await ask(admission, after=40, session=2)
    entry = lines_of(stream.run)[-1]

    assert isinstance(entry, ledger.SubscribeEntry)
    assert ("client-1", 2, "one", 1, 41, 10, False) == (
        *(entry.client, entry.session, entry.instance, entry.fence),
        *(entry.first, entry.block_size, entry.observe),
    )
    assert {"client-1": session} == stream.subscriptions
    assert 41 == session.cursor


async def test_fences_rise(admission: Admission) -> None:
    """Every subscription of a run has a higher fence than all before it."""
    fences = [(await ask(admission, name))[0].fence for name in ("client-1", "client-2", "client-1")]

    assert [1, 2, 3] == fences


async def test_the_same_process_supersedes_itself(stream: Stream, admission: Admission) -> None:
    """A new connection of the same process takes over at once, and the old one is closed with a reason."""
    old, connection = await ask(admission)
    new, _ = await ask(admission, after=5)

    assert ([wire.Bye(reason="superseded", retry_ms=0)], wire.CLOSE_SUPERSEDED) == (
        connection.received(),
        connection.close_code,
    )
    assert (False, True, new) == (old.is_open, new.is_open, stream.subscriptions["client-1"])
    assert ["open", "subscribe", "leave", "subscribe"] == kinds_of(stream.run)


async def test_a_name_in_use_is_kept(stream: Stream, admission: Admission) -> None:
    """A process that asks for the name of a live one gets a free name suggested and stays connected."""
    holder, connection = await ask(admission)
    with pytest.raises(SubscriptionRefused) as refusal:
        await ask(admission, instance="two")
    frame = refusal.value.frame

    assert isinstance(frame, wire.Error)
    assert ("name_taken", "client-1~2", None) == (frame.code, frame.suggest, refusal.value.code)
    assert (True, [], None) == (holder.is_open, connection.received(), connection.close_code)
    assert ["open", "subscribe"] == kinds_of(stream.run)


async def test_two_answering_processes_without_instance_differ(admission: Admission) -> None:
    """A process without instance does not supersede a holder without one that answers."""
    holder, _ = await ask(admission, instance="")
    with pytest.raises(SubscriptionRefused, match="another process answers"):
        await ask(admission, instance="")

    assert holder.is_open


async def test_a_holder_that_leaves_while_it_is_asked(admission: Admission, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name is free for another process if its holder answers the ping but leaves meanwhile."""
    holder, connection = await ask(admission)

    async def leave_and_answer() -> Any:
        holder.leave("lost")
        return asyncio.sleep(0)

    monkeypatch.setattr(connection, "ping", leave_and_answer)
    new, _ = await ask(admission, instance="two")

    assert ("lost", True) == (holder.cause, new.is_open)


async def test_a_suggested_name_is_free(admission: Admission) -> None:
    """A suggested name is not in use, and is made from the name without an earlier suggestion."""
    for name in ("client-1", "client-1~2", "client-1~3"):
        await ask(admission, name)
    for name in ("client-1", "client-1~2"):
        with pytest.raises(SubscriptionRefused) as refusal:
            await ask(admission, name, instance="two")
        assert isinstance(refusal.value.frame, wire.Error)
        assert "client-1~4" == refusal.value.frame.suggest


async def test_a_suggestion_for_the_longest_name(admission: Admission) -> None:
    """A name of the greatest length is shortened for its suggestion."""
    await ask(admission, "c" * 63)
    with pytest.raises(SubscriptionRefused) as refusal:
        await ask(admission, "c" * 63, instance="two")

    assert isinstance(refusal.value.frame, wire.Error)
    assert "c" * 58 + "~2" == refusal.value.frame.suggest


@pytest.mark.parametrize("silent", [False, True])
async def test_a_holder_has_a_deadline(silent: bool, stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    """A holder that does not answer loses its name after the deadline, earlier if it was silent before."""
    limits = AdmissionLimits(holder_seconds=60.0 if silent else 0.01, min_answer_seconds=0.01)
    admission = Admission(stream, limits)
    _, connection = await ask(admission)
    connection.last_received = asyncio.get_running_loop().time() - (120 if silent else 0)

    async def never() -> Any:
        return asyncio.get_running_loop().create_future()

    monkeypatch.setattr(connection, "ping", never)
    async with asyncio.timeout(10):
        new, _ = await ask(admission, instance="two")

    assert new.is_open


@pytest.mark.parametrize("instances", [("one", "two"), ("", "")])
async def test_a_silent_holder_is_superseded(admission: Admission, instances: tuple[str, str]) -> None:
    """A holder that does not answer loses its name to another process; processes without instance always differ."""
    old, connection = await ask(admission, instance=instances[0])
    connection.answers_pings = False
    new, _ = await ask(admission, instance=instances[1])

    assert ("superseded", False, True) == (old.cause, old.is_open, new.is_open)
    assert wire.CLOSE_SUPERSEDED == connection.close_code


async def test_simultaneous_clients_are_judged_in_turn(stream: Stream, admission: Admission) -> None:
    """Of several processes that ask for one name at once, one gets it."""
    found = await asyncio.gather(*(ask(admission, instance=str(n)) for n in range(5)), return_exceptions=True)

    assert 4 == len([it for it in found if isinstance(it, SubscriptionRefused)])
    assert ["open", "subscribe"] == kinds_of(stream.run)


async def test_silent_rivals_are_not_asked_one_after_another(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of processes that wait for the name of a silent one the first gets it, and the others are answered at once."""
    admission, asked = Admission(stream), list[Any]()
    _, holder = await ask(admission)

    async def ping() -> Any:
        asked.append(holder)
        await asyncio.sleep(0)
        raise TimeoutError

    monkeypatch.setattr(holder, "ping", ping)
    found = await asyncio.gather(*(ask(admission, instance=str(n)) for n in range(10)), return_exceptions=True)

    assert 9 == len([it for it in found if isinstance(it, SubscriptionRefused)])
    assert [holder] == asked
    assert not isinstance(found[0], BaseException)


async def test_a_rival_that_has_hung_up_is_passed_over(stream: Stream) -> None:
    """A process that has closed its connection while it waited for a name does not get it."""
    admission, (_, holder) = Admission(stream), await ask(Admission(stream))
    holder.answers_pings = False
    gone: Any = FakeConnection()
    gone.has_hung_up = True
    first, second = await asyncio.gather(
        admission.admit(gone, subscribe(instance="gone")), ask(admission, instance="two"), return_exceptions=True
    )

    assert isinstance(first, SubscriptionRefused)
    assert not isinstance(second, BaseException)
    assert second[0].is_open


async def test_a_name_is_free_after_a_leave(admission: Admission) -> None:
    """Any process may have a name whose subscription has ended."""
    old, _ = await ask(admission)
    old.leave()

    assert (await ask(admission, instance="two"))[0].is_open


async def test_a_former_instance_does_not_get_its_name_back(admission: Admission) -> None:
    """A process that lost its name to another one does not get it again, even if it is free."""
    old, connection = await ask(admission)
    connection.answers_pings = False
    new, _ = await ask(admission, instance="two")
    new.leave()
    with pytest.raises(SubscriptionRefused) as refusal:
        await ask(admission)

    assert isinstance(refusal.value.frame, wire.Error)
    assert ("name_taken", "client-1~2") == (refusal.value.frame.code, refusal.value.frame.suggest)
    assert (False, True) == (old.is_open, (await ask(admission, instance="two"))[0].is_open)


async def test_a_position_beyond_the_end_is_refused(stream: Stream, admission: Admission) -> None:
    """A client that claims more records than the run has is refused; one that claims all is not."""
    with pytest.raises(SubscriptionRefused) as refusal:
        await ask(admission, after=6001)

    assert isinstance(refusal.value.frame, wire.Error)
    assert ("bad_after", wire.CLOSE_PROTOCOL) == (refusal.value.frame.code, refusal.value.code)
    assert 6001 == (await ask(admission, after=6000))[0].cursor
    assert ["open", "subscribe"] == kinds_of(stream.run)


async def test_after_the_end_only_known_clients_are_admitted(stream: Stream, admission: Admission) -> None:
    """After the end a new client is refused, and one that took part is admitted."""
    await ask(admission)
    stream.run.finish("complete")
    with pytest.raises(SubscriptionRefused) as refusal:
        await ask(admission, "client-2")

    assert (wire.Bye(reason="ended", retry_ms=2000), wire.CLOSE_LATER) == (refusal.value.frame, refusal.value.code)
    assert (await ask(admission, after=3))[0].is_open


def late(stream: Stream) -> list[tuple[str, str]]:
    """Return the clients recorded as late, with the process of each."""
    return [(entry.client, entry.instance) for entry in lines_of(stream.run) if isinstance(entry, ledger.LateEntry)]


async def test_a_late_client_is_recorded_once(stream: Stream, admission: Admission) -> None:
    """A client that asks within a second after the end is refused, and recorded once per name."""
    await ask(admission)
    stream.run.finish("complete")
    for name, instance in (("client-2", "two"), ("client-2", "again"), ("client-3", "three")):
        with pytest.raises(SubscriptionRefused):
            await ask(admission, name, instance=instance)

    assert [("client-2", "two"), ("client-3", "three")] == late(stream)
    assert {"client-1"} == stream.run.recorded.clients.keys()


async def test_after_the_end_a_client_without_session_is_refused(stream: Stream, admission: Admission) -> None:
    """After the end a client without a session in the run is refused, even under a known name."""
    session, _ = await ask(admission, session=1)
    session.leave()
    stream.run.finish("complete")
    with pytest.raises(SubscriptionRefused) as refusal:
        await ask(admission, session=0)

    assert wire.Bye(reason="ended", retry_ms=2000) == refusal.value.frame
    assert [] == late(stream)
    assert (await ask(admission, session=2))[0].is_open


async def test_the_late_window_has_a_fixed_length(tmp_path: Path) -> None:
    """A client that asks exactly a second after the end is late, and one that asks later is not."""
    clock = StoppedClock()
    stream = Stream(new_run(tmp_path, clock), clock)
    admission = Admission(stream)
    stream.run.finish("complete")
    for name, seconds in (("client-1", AdmissionLimits().late_seconds), ("client-2", 0.000_001)):
        clock.pass_seconds(seconds)
        with pytest.raises(SubscriptionRefused):
            await ask(admission, name)

    assert [("client-1", "one")] == late(stream)


async def test_neither_observers_nor_returning_clients_are_late(stream: Stream, admission: Admission) -> None:
    """Neither an observer nor a client that took part is recorded as late."""
    await ask(admission)
    stream.run.finish("complete")
    await ask(admission, "watcher", observe=True)
    await ask(admission, after=3)

    assert [] == late(stream)


async def test_a_run_that_ends_during_admission(
    stream: Stream, admission: Admission, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that asked to resume one run is not subscribed to the next at the same position."""
    _, connection = await ask(admission)

    async def meanwhile(*_: object) -> None:
        stream.switch_to(new_run(tmp_path, StoppedClock()))

    monkeypatch.setattr(connection, "close_within", meanwhile)
    with pytest.raises(SubscriptionRefused) as refusal:
        await ask(admission, after=500)

    assert wire.CLOSE_LATER == refusal.value.code
    assert {} == stream.subscriptions


async def test_observers_are_not_recorded(stream: Stream, admission: Admission) -> None:
    """An observer may have any name, supersedes no client and is not in the ledger."""
    await ask(admission)
    session, _ = await ask(admission, observe=True, instance="two")

    assert ([session], 0) == (stream.observers, session.fence)
    assert ["open", "subscribe"] == kinds_of(stream.run)


async def test_a_run_has_a_limit_of_names(stream: Stream) -> None:
    """Beyond the limit of names a new one is refused, to try again later; known names are admitted."""
    admission = Admission(stream, AdmissionLimits(max_names=lambda _: 4))
    for number in range(4):
        await ask(admission, f"client-{number}")
    with pytest.raises(SubscriptionRefused) as refusal:
        await ask(admission, "client-4")
    frame = refusal.value.frame

    assert isinstance(frame, wire.Error)
    assert ("too_many", wire.CLOSE_LATER) == (frame.code, refusal.value.code)
    await ask(admission, "client-1")
    await ask(admission, "watcher", observe=True)
    assert 4 == len(stream.run.recorded.clients)


async def test_the_limit_of_names_rises_with_the_expected_clients(tmp_path: Path) -> None:
    """A run that expects several clients may have four times as many names, if that is more than the usual limit."""
    clock = StoppedClock()
    limits = AdmissionLimits(max_names=lambda clients: max(4, 4 * clients))
    admission = Admission(Stream(new_run(tmp_path, clock, clients=2), clock), limits)
    for number in range(8):
        await ask(admission, f"client-{number}")

    with pytest.raises(SubscriptionRefused, match="8 names"):
        await ask(admission, "client-8")


async def test_no_queue_remains_for_a_judged_name(admission: Admission) -> None:
    """No queue of a name remains after it was granted or refused."""
    await ask(admission)
    with pytest.raises(SubscriptionRefused):
        await ask(admission, "client-2", after=10**9)

    assert {} == admission._queues


async def test_the_clients_that_wait_for_a_name_are_limited(stream: Stream) -> None:
    """If the queue of a name is full, the next client gets a free name suggested at once."""
    admission = Admission(stream, AdmissionLimits(max_waiting=1))
    first: Any = FakeConnection()
    async with admission._turn(first, "client-1"):
        assert first.is_reading
        with pytest.raises(SubscriptionRefused) as refusal:
            await ask(admission)

    assert isinstance(refusal.value.frame, wire.Error)
    assert ("name_taken", None) == (refusal.value.frame.code, refusal.value.code)


async def test_a_waiting_client_is_not_read(admission: Admission) -> None:
    """The connection of a client that waits for a name is not read until it is judged."""
    _, holder = await ask(admission)
    peer: Any = FakeConnection()
    reading: list[bool] = []

    async def ping() -> Any:
        reading.append(peer.is_reading)
        return await FakeConnection().ping()

    holder.ping = ping  # type: ignore[method-assign]
    with pytest.raises(SubscriptionRefused):
        await admission.admit(peer, subscribe(instance="two"))

    assert ([False], True) == (reading, peer.is_reading)


async def test_an_observer_beyond_the_end_is_refused(admission: Admission) -> None:
    """An observer whose position is beyond the end is refused."""
    with pytest.raises(SubscriptionRefused) as refusal:
        await ask(admission, "watcher", observe=True, after=2**53 - 1)

    assert isinstance(refusal.value.frame, wire.Error)
    assert "bad_after" == refusal.value.frame.code


@pytest.mark.parametrize(("carried", "granted"), [(None, 1), (0, 1), (7, 8), (10**15, 1_000_001)])
async def test_a_fence_is_above_the_one_that_the_client_carries(
    admission: Admission, carried: int | None, granted: int
) -> None:
    """A client that was granted a fence by another server is granted a higher one, within a bound."""
    fields: dict[str, Any] = {} if carried is None else {"fence": carried}
    subscription, _ = await ask(admission, **fields)

    assert granted == subscription.fence


class TwoServers:
    """Two servers of one run, each with its stream and its admission."""

    def __init__(self, folder: Path) -> None:
        clock = StoppedClock()
        stores = [runs(folder, clock, name) for name in "ab"]
        for store in stores:
            store._process = None
        self.streams = [Stream(store.open_or_continue(), clock) for store in stores]
        for stream in self.streams:
            # As every 50 ms.
            stream.run.follow()
        limits = AdmissionLimits(holder_seconds=0.3)
        self.admissions = [Admission(stream, limits) for stream in self.streams]


@pytest.fixture
def two(tmp_path: Path) -> TwoServers:
    """Return two servers of one run."""
    return TwoServers(tmp_path)


async def test_a_client_that_moves_has_one_subscription(two: TwoServers) -> None:
    """A client that subscribes at another server is granted a higher fence there, and its subscription here ends."""
    first, connection = await ask(two.admissions[0])
    second, _ = await ask(two.admissions[1], after=5)
    two.streams[0].run.follow()
    await asyncio.sleep(0)

    assert [1, 2] == [first.fence, second.fence]
    assert [False, True] == [first.is_open, second.is_open]
    assert wire.CLOSE_SUPERSEDED == connection.close_code
    assert isinstance(lines_of(two.streams[0].run)[-1], ledger.LeaveEntry)
    again, _ = await ask(two.admissions[0], after=6)
    two.streams[1].run.follow()
    assert (3, False) == (again.fence, second.is_open)


async def test_another_process_with_a_name_elsewhere_is_refused(two: TwoServers) -> None:
    """A name that another process has at another server is refused with a free one, and granted once that has left."""
    holder, _ = await ask(two.admissions[0])
    with pytest.raises(SubscriptionRefused) as refused:
        await ask(two.admissions[1], instance="two")
    assert wire.Error(
        code="name_taken", detail="another process has the name client-1 at a server", suggest="client-1~2"
    ) == (refused.value.frame)
    asking = asyncio.create_task(ask(two.admissions[1], instance="two"))
    await asyncio.sleep(0)
    holder.leave("lost")
    subscription, _ = await asking

    assert 2 == subscription.fence
    with pytest.raises(SubscriptionRefused):
        await ask(two.admissions[0], instance="one")


async def test_a_client_that_moves_need_not_send_its_receipts_again(two: TwoServers) -> None:
    """What one server has recorded of a client is known to the others when it subscribes there."""
    holder, _ = await ask(two.admissions[0])
    run = two.streams[0].run
    run.append(
        ledger.ReceiptEntry(
            at=run.at(), client="client-1", session=1, fence=holder.fence, block=1, first=1, last=10, count=10,
            digest="x00000000", match=True,
        )
    )  # fmt: skip
    await ask(two.admissions[1], after=10)

    assert 10 == two.streams[1].run.recorded.clients["client-1"].receipted


@pytest.mark.parametrize(
    ("fence", "beside", "receipted"), [(7, True, 10), (None, True, 0), (0, True, 0), (7, False, 0)]
)
async def test_receipts_at_a_server_whose_ledger_is_not_seen_yet_are_carried(
    two: TwoServers, tmp_path: Path, fence: int | None, receipted: int, *, beside: bool
) -> None:
    """A server relies on ``recorded`` beside others, if the client was granted a fence that no ledger has."""
    if not beside:
        two.streams[1].run.ledger.path.rename(tmp_path / "elsewhere")
        two.streams[0].run.follow()
    fields: dict[str, Any] = {} if fence is None else {"fence": fence}
    await ask(two.admissions[0], after=10, recorded=12, **fields)

    assert receipted == two.streams[0].run.recorded.clients["client-1"].receipted
