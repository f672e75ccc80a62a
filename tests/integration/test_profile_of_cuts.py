"""The benchmark that cuts clients of several servers in the same way puts every delivery into exactly one class."""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.profile import plan, report
from benchmarks.profile.deliveries import Arrival, Classes, Connection, Log, Published, classes, contradictions
from benchmarks.profile.measurement import Outcome, Spread, run_profile
from benchmarks.profile.protocols import FrameMeaning, Ours, SocketIo, WebSocket
from benchmarks.profile.servers import Candidate, npm_server, own_server
from benchmarks.profile.suite import Results
from benchmarks.scale.sizes import Profile
from services.contract import wire
from services.contract.scalars import digest, digest_text

MESSAGES = 8
PROFILE = Profile(20, 10, 30, 1.2, 0.5)
SENT: Published = [(number, number * 100) for number in range(1, MESSAGES + 1)]
STAYED = [Connection(0, 10)]
CUT = [Connection(0, 10, 350), Connection(560, 590)]
"""Disconnected during messages 4 and 5; confirmed just before message 6."""

FAULTY = """
import asyncio, json, sys, time
from websockets.asyncio.server import broadcast, serve

async def main(port, pool, total, rate):
    async def converse(connection):
        await connection.wait_closed()
    async with serve(converse, "127.0.0.1", int(port)) as server:
        start_us = int(await asyncio.to_thread(sys.stdin.readline))
        for seq in range(1, int(total) + 1):
            await asyncio.sleep(max(start_us / 1e6 + (seq - 1) / float(rate) - time.time(), 0))
            if seq == 3:
                continue
            sent_us = time.time_ns() // 1000
            for _ in range({5: 2, 7: 0, int(total): 0}.get(seq, 1)):
                broadcast(server.connections, json.dumps({"seq": seq, "sent_us": sent_us}))
            print(seq, sent_us, flush=True)
        await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""
"""Never resumes a client, skips message 3, sends message 5 twice, and does not send 7 and the last."""


def log(connections: list[Connection], *deliveries: tuple[int, int]) -> Log:
    """Return a client's log of these messages, each with its connection."""
    return Log(1, connections, [Arrival(number, number * 100, number * 100 + 5, over) for number, over in deliveries])


def over(connection: int, *numbers: int) -> list[tuple[int, int]]:
    """Return messages received over a connection."""
    return [(number, connection) for number in numbers]


@pytest.mark.parametrize(
    ("written", "published", "found"),
    [
        pytest.param(log(STAYED, *over(0, *range(1, 9))), SENT, Classes(live=8), id="all"),
        pytest.param(
            log(STAYED, *over(0, 1, 2, 2, 3, 4, 5, 6, 7, 8, 1)), SENT, Classes(live=8, duplicates=2), id="again"
        ),
        pytest.param(
            log(CUT, *over(0, 1, 2, 3), *over(1, 6, 7, 8)), SENT, Classes(live=6, lost_away=2), id="not resumed"
        ),
        pytest.param(
            log(CUT, *over(0, 1, 2, 3), *over(1, 4, 5, 6, 7, 8)), SENT, Classes(live=6, replayed=2), id="resumed"
        ),
        pytest.param(
            log(CUT, *over(0, 1, 2), *over(1, 6, 7, 8)),
            SENT,
            Classes(live=5, lost_away=2, lost_connected=1),
            id="on its way when the cut deliveries",
        ),
        pytest.param(
            log(CUT, *over(0, 1, 2, 3)), SENT, Classes(live=3, lost_at_the_tail=5), id="nothing after the cut"
        ),
        pytest.param(
            log(STAYED, *over(0, 1, 2, 3)), SENT[:5], Classes(live=3, lost_at_the_tail=2, unpublished=3), id="stopped"
        ),
        pytest.param(log(STAYED), SENT, Classes(lost_at_the_tail=8), id="nothing"),
    ],
)
def test_a_delivery_is_put_where_it_belongs(written: Log, published: Published, found: Classes) -> None:
    """Deliveries live, by replay and repeated are distinguished, and so are the places of losses."""
    assert found == classes(written, published, MESSAGES)
    assert 0 == found.residual(MESSAGES)


@st.composite
def random_runs(draw: st.DrawFn) -> tuple[Log, Published]:
    """Return the publisher's and a client's log of a random run."""
    published = [(number, number * 100) for number in sorted(draw(st.sets(st.integers(1, MESSAGES))))]
    times = sorted(draw(st.sets(st.integers(0, 900), min_size=3, max_size=9)))
    threes = list(zip(times[::3], times[1::3], times[2::3], strict=False))
    connections = [Connection(*three) for three in threes]
    deliveries = (
        draw(st.lists(st.tuples(st.sampled_from(published), st.integers(0, len(threes) - 1)))) if published else []
    )
    return log(connections, *((message[0], over) for message, over in deliveries)), published


def class_of(number: int, written: Log, published: Published) -> str:
    """Return the class of a single delivery."""
    times = dict(published)
    first = next((arrival for arrival in written.arrivals if arrival.number == number), None)
    if first is not None:
        return "replayed" if times[number] < written.connections[first.connection].begun_us else "live"
    if number not in times:
        return "unpublished"
    if all(arrival.number < number for arrival in written.arrivals):
        return "lost_at_the_tail"
    connected = [one for one in written.connections if (one.ready_us or 0) <= times[number] < (one.ended_us or 0)]
    return "lost_connected" if connected else "lost_away"


@given(random_runs())
def test_every_delivery_is_in_exactly_one_class(story: tuple[Log, Published]) -> None:
    """For every run the classes equal those of the single deliveries, and the residual is 0."""
    found = classes(*story, MESSAGES)
    alone = [class_of(number, *story) for number in range(1, MESSAGES + 1)]

    assert {name: alone.count(name) for name in Classes._fields[:-1]} == {
        name: value for name, value in found._asdict().items() if name != "duplicates"
    }
    assert len(story[0].arrivals) == found.received + found.duplicates
    assert 0 == found.residual(MESSAGES)


@given(random_runs())
def test_run_cannot_end_by_accident(story: tuple[Log, Published]) -> None:
    """A missing or repeated line of the publisher leaves a residual, and so does a lost client."""
    written, published = story
    held = {arrival.number for arrival in written.arrivals}
    for line in published:
        changed = [one for one in published if one != line] if line[0] in held else [*published, line]
        assert -1 == classes(written, changed, MESSAGES).residual(MESSAGES)

    assert MESSAGES == classes(written, published, MESSAGES).residual(2 * MESSAGES)


def test_what_was_never_to_come_leaves_a_residual() -> None:
    """A message beyond the last is an unexpected delivery."""
    assert -1 == classes(log(STAYED, *over(0, *range(1, 10))), SENT, MESSAGES).residual(MESSAGES)


def test_differing_times_of_one_message_are_reported() -> None:
    """A message whose time differs from the publisher's log is reported with both times."""
    assert not contradictions(log(STAYED, (1, 0)), SENT)
    assert ["client 1 received message 1 as sent at 100; published at 101"] == contradictions(
        log(STAYED, (1, 0)), [(1, 101)]
    )


def test_the_seed_decides_who_is_cut_when() -> None:
    """The same seed gives the same cuts; each client's cuts differ and leave time to reconnect."""
    profile = Profile(100, 2, 120, 15, 2)
    planned = [plan.cuts(profile, 42, number) for number in range(profile.clients)]

    assert planned == [plan.cuts(profile, 42, number) for number in range(profile.clients)]
    assert planned != [plan.cuts(profile, 43, number) for number in range(profile.clients)]
    assert 1 <= min(min(one) for one in planned)
    assert 60 > max(max(one) for one in planned)
    steps = [later - sooner for one in planned for sooner, later in pairwise(one)]
    assert 12 <= min(steps) < 13
    assert 17 < max(steps) <= 18


def test_who_never_returns_cannot_be_cut() -> None:
    """A profile in which clients would be cut while they are away is refused."""
    with pytest.raises(ValueError, match="never returns"):
        plan.cuts(Profile(1, 2, 120, 2, 2), 42, 0)


def test_socketio_resumes_by_session_and_offset() -> None:
    """The hello has no session at first, and the last offset after a cut; pings are answered."""
    speaker = SocketIo(0, MESSAGES)
    assert FrameMeaning(replies=(b"40",)) == speaker.receive(b'0{"sid":"a"}')
    assert FrameMeaning(ready=True) == speaker.receive(b'40{"sid":"b","pid":"p"}')
    assert FrameMeaning(messages=((1, 100),)) == speaker.receive(b'42["message",{"seq":1,"sent_us":100},"offset-1"]')
    assert FrameMeaning(replies=(b"3",)) == speaker.receive(b"2")
    assert FrameMeaning(replies=(b'40{"pid":"p","offset":"offset-1"}',)) == speaker.receive(b'0{"sid":"c"}')


def test_socketio_without_recovery_is_greeted_anew() -> None:
    """If the server sends neither session nor offsets, a reconnect is like a first connection."""
    speaker = SocketIo(0, MESSAGES)
    assert FrameMeaning(ready=True) == speaker.receive(b'40{"sid":"b"}')
    assert FrameMeaning(messages=((1, 100),)) == speaker.receive(b'42["message",{"seq":1,"sent_us":100}]')
    assert FrameMeaning(replies=(b"40",)) == speaker.receive(b'0{"sid":"c"}')


def test_ours_resumes_after_the_last_record() -> None:
    """A client subscribes from its last intact record; a record damaged on the way does not count."""
    speaker = Ours(0, MESSAGES)
    welcome = wire.Welcome(
        run="20261122T073000Z", feed="f", state="running", total=MESSAGES, rate=2, start_us=0, boot="b", now_us=0
    )
    body = b'{"id":1}\n{"id":2}\n'
    header = wire.Records(first=1, count=2, due_us=1_000_000, rate=2, sent_us=0, crc=digest_text(digest(body)))
    damaged = wire.Records(first=3, count=2, due_us=2_000_000, rate=2, sent_us=0, crc="x00000000")

    assert FrameMeaning(messages=((1, 1_000_000), (2, 1_500_000))) == speaker.receive(wire.records_head(header) + body)
    assert FrameMeaning() == speaker.receive(wire.records_head(damaged) + body)
    answered = wire.decode_from_client(speaker.receive(wire.encode(welcome)).replies[0])
    assert isinstance(answered, wire.Subscribe)
    assert 2 == answered.after


def test_a_plain_websocket_is_ready_when_open() -> None:
    """A plain server needs no hello and cannot resume: every frame is a message."""
    assert WebSocket.ready_when_open
    assert FrameMeaning(messages=((1, 100),)) == WebSocket(0, MESSAGES).receive(
        json.dumps({"seq": 1, "sent_us": 100}).encode()
    )


def outcome(server: str, found: Classes, against: list[str]) -> Outcome:
    """Return a server's result for a hundred deliveries."""
    none, some = Spread(0, 0, 0, 0), Spread(9, 0.002, 1.25, 2)
    return Outcome(
        server, "", 100, found, found.residual(100), against, none, none, some, some, 0, 0, 0, 1.5, 40_000_000
    )


def test_the_table_has_a_column_a_server(capsys: pytest.CaptureFixture[str]) -> None:
    """The table shows received, lost and residual; runs with a residual and missing servers are named."""
    good = outcome("good", Classes(live=90, replayed=10), [])
    bad = outcome("bad", Classes(live=50, lost_away=30, duplicates=4), ["says two things"])
    results = Results(PROFILE, 42, [good, bad], {"npm ws": "there is no Node.js"})
    report.print_report(results)
    printed = capsys.readouterr()
    cells = [[cell.strip() for cell in line.split("|")] for line in printed.out.splitlines()]
    rows = {row[1]: row[2:4] for row in cells if len(row) > 3}

    assert ["good", "bad"] == rows[""]
    assert ["**100.00 %**", "**50.00 %**"] == rows["**received**"]
    assert ["0", "30"] == rows["lost while away"]
    assert ["**0**", "**20**"] == rows["**residual**: in no class, or in two"]
    assert ["–", "–"] == rows["replay, from the return: p99"]
    assert ["1.25 s", "1.25 s"] == rows["live, from the sending: p99"]
    assert "not here: there is no Node.js" == rows["npm ws"][0]
    assert ["error: bad: residual 20", "error: bad: says two things"] == printed.err.splitlines()
    assert not results.is_consistent


@pytest.mark.slow
def test_our_server_loses_nothing(tmp_path: Path) -> None:
    """Clients that are cut repeatedly receive everything once, partly by replay, and the ledger agrees."""
    found = run_profile(own_server(), tmp_path / "ours", PROFILE, 42)

    assert found.is_consistent, found
    assert 600 == found.classes.received
    assert 0 == found.classes.duplicates
    assert 0 < found.classes.replayed == found.replay.number
    assert 0 < found.cuts.number


@pytest.mark.slow
def test_what_a_server_does_wrong_is_found(tmp_path: Path) -> None:
    """Messages skipped, withheld, sent twice and not resumed are counted in their classes."""
    faulty = Candidate("faulty", "", "websocket", npm_server(sys.executable, "-c", FAULTY))
    calm = run_profile(faulty, tmp_path / "calm", PROFILE._replace(every=10_000), 42)
    cut = run_profile(faulty, tmp_path / "cut", PROFILE, 42)

    assert Classes(540, 0, 0, 20, 20, 20, 20) == calm.classes
    assert calm.is_consistent, calm
    assert cut.is_consistent, cut
    assert 20 == cut.classes.unpublished
    assert 20 <= cut.classes.lost_at_the_tail
    assert 100 < cut.classes.lost_away
    assert 0 == cut.classes.replayed
