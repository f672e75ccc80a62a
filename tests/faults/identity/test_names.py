"""One name is one process: whatever is started, stopped, killed, doubled and frozen, no file has two writers."""

from __future__ import annotations

import json
import random
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path

from websockets.sync.client import connect
from websockets.typing import Subprotocol

from services.contract import wire
from services.contract.ledger import Receipt, Subscribe
from services.contract.summary import Summary
from services.server.book import RunBook
from services.server.generate import Feed
from tests.faults.identity.names import Claimants, Done
from tests.faults.identity.nursery import Client, Nursery
from tests.faults.identity.writers import Watch, assert_one_writer_each
from tests.faults.tally import Tally
from tests.integration.processes import Process, System
from tests.integration.volumes import Volumes, record_of
from tests.poll import poll_until

NAMES, OPERATIONS = 10, 21
RATE, RECORDS = 40, 6000
FAST = 3000
SETTINGS = {"RATE": RATE, "RECORDS": RECORDS, "CLIENTS": 1, "GRACE_SECONDS": 3, "BLOCK_SECONDS": 1}


def test_no_name_has_two_writers(tmp_path: Path, seed: int, tally: Tally) -> None:
    """Over 200 operations on the processes of ten names leave every file with one writer, every name with its books."""
    with System(tmp_path / "volumes", **SETTINGS) as system:
        system.start("collector")
        server = system.server()
        given = {"SERVER_URL": system.url, "VOLUMES": system.volumes.root, "BLOCK_SECONDS": 1}
        with Nursery(tmp_path / "said", **given) as nursery:
            lanes = [
                Claimants(
                    nursery,
                    partial(superseded, server),
                    f"c{number}",
                    connections_of(number),
                    random.Random(f"{seed}/{number}"),
                )
                for number in range(1, NAMES + 1)
            ]
            with Watch(system.volumes.root / "logs", lambda: [client.pid for client in nursery.living]) as watch:
                with ThreadPoolExecutor(NAMES) as threads:
                    list(threads.map(operate, lanes))
                hurry(system)
                found = poll_until(system.volumes.verdict, "there is a verdict", 60)
                assert found is not None
                for client in nursery.living:
                    assert_closes(watch, client)
                finished = nursery.living
            for client in finished:
                assert client.ends(signal.SIGTERM) == 0
            done = [one for lane in lanes for one in lane.done]
            for one, took in zip(done, recoveries(system.volumes, done), strict=True):
                tally.fault(one.kind, one.name, took, beside=True)
            slowest = sorted((struck.recovery_s or 0.0, struck.kind, struck.place) for struck in tally.faults)[-5:]
            print(f"slowest: {slowest}")
            print(f"{len(done)} operations, {watch.looks} looks at {len(watch.writers)} files")
            hold(system.volumes, found, nursery.clients, finished, tally)
            assert watch.together == []
            assert assert_one_writer_each(system.volumes) > 0
            assert_conflicts_are_named(server, nursery.clients)
            assert_no_flapping(system.volumes)
            assert len(done) >= 200
            assert watch.looks >= 100


def connections_of(number: int) -> int:
    """Return how many clients each process of a name is."""
    return 3 if number % 5 == 0 else 1


def superseded(server: Process, name: str) -> list[float]:
    """Return when, in epoch seconds, the server has said that a silent client was superseded."""
    events = [json.loads(line) for line in server.lines if '"silent client superseded"' in line]
    return [datetime.fromisoformat(event["at"]).timestamp() for event in events if event["client"] == name]


def operate(lane: Claimants) -> None:
    """Do what the seed says to the processes of one name."""
    for _ in range(OPERATIONS):
        lane.operate()
    lane.settle(alive=not lane.name.endswith("3"))


def hurry(system: System) -> None:
    """Play the rest of the run fast."""
    with connect(system.url, proxy=None, compression=None, subprotocols=[Subprotocol(wire.SUBPROTOCOL)]) as operator:
        operator.send(wire.encode(wire.Control(set={"rate": FAST})), text=True)
        poll_until(lambda: '"controlled"' in str(operator.recv(timeout=5)), "the rate is set", 10, 0)


def assert_closes(watch: Watch, client: Client) -> None:
    """Hold a client to closing the files of a run that is over."""
    try:
        poll_until(lambda: not watch.look_at(client.pid), f"{client} has closed its files", 20, 0.05)
    except AssertionError as problem:
        problem.add_note(f"open: {watch.look_at(client.pid)}, having said {client.events}")
        raise


def at(entry: Receipt | Subscribe) -> float:
    """Return when a line was entered, in epoch seconds."""
    return datetime.fromisoformat(entry.at).timestamp()


def recoveries(volumes: Volumes, done: list[Done]) -> list[float | None]:
    """Return how long after each operation a record was receipted that was not due when it ended.

    None where the next operation on the name struck first, or nobody had the name.
    """
    book, receipts = RunBook(RECORDS), dict[str, list[tuple[float, int]]]()
    for entry in volumes.ledger():
        book.apply(entry)
        if isinstance(entry, Receipt):
            receipts.setdefault(entry.client, []).append((at(entry), entry.last))
    took: list[float | None] = []
    for one in done:
        head = book.schedule.head(int(one.ended * 1e6))
        strikes = min(
            (other.began for other in done if other.name == one.name and other.began > one.began), default=1e12
        )
        fresh = [moment for moment, last in receipts.get(one.name, []) if last > head and one.ended < moment < strikes]
        took.append(round(min(fresh) - one.ended, 3) if fresh else None)
    return took


def hold(volumes: Volumes, found: Summary, clients: list[Client], finished: list[Client], tally: Tally) -> None:
    """Hold every name's log to the feed, and the summary to the logs."""
    feed = Feed("person", "en_US", 42).records(1, RECORDS)
    books = {client.client: client for client in found.clients}
    checked, lost, duplicated, wrong = 0, 0, 0, []
    for name in volumes.clients():
        messages = volumes.messages(name)
        if not messages:
            continue
        book, seqs = books[name], [message.seq for message in messages]
        checked += len(messages)
        twice = len(seqs) - len(set(seqs))
        gone = len(set(range(1, max(seqs) + 1)) - set(seqs))
        lost, duplicated = lost + gone, duplicated + twice
        if twice or gone or seqs != sorted(seqs):
            wrong.append(f"{name}: {gone} gone, {twice} twice")
        assert all(feed[message.seq - 1] == record_of(message) for message in messages), name
        if (max(seqs), len(set(seqs)), twice) != (book.received, book.received, book.duplicates):
            wrong.append(f"{name}: summary has {book.received} of {book.expected}, {book.duplicates} twice")
        ending = ending_of(name, clients, finished)
        if ending != book.state:
            wrong.append(f"{name}: {book.state}, its last process {ending}")
        if book.state != "lost" and book.expected != book.received:
            wrong.append(f"{name}: {book.state} with {book.received} of {book.expected}")
    tally.held(checked, lost=lost, duplicated=duplicated)
    assert wrong == [], "; ".join(wrong)
    assert (found.totals.residual, found.totals.duplicates, found.faults) == (0, 0, []), found.reasons
    assert {"finished", "lost"} <= {book.state for book in found.clients}


def ending_of(name: str, clients: list[Client], finished: list[Client]) -> str:
    """Return what must have become of a name, by how the last process that was admitted under it has ended."""
    admitted = [(max(client.when("subscribed", client=name), default=0.0), client) for client in clients]
    moment, last = max(admitted, key=lambda one: one[0])
    assert moment, f"nobody was admitted as {name}"
    if last in finished:
        return "finished"
    return "lost" if last.code == -signal.SIGKILL else "left"


def assert_conflicts_are_named(server: Process, clients: list[Client]) -> None:
    """Hold the server's log to the clients': each conflict is in both."""
    told = sum(len(client.when("name is taken")) for client in clients)
    assert told == len([line for line in server.lines if '"name taken"' in line])
    assert told > 0
    assert len([line for line in server.lines if '"silent client superseded"' in line]) > 0


def assert_no_flapping(volumes: Volumes) -> None:
    """Hold the ledger to this: who has had a name and lost it never has it again."""
    holders: dict[str, list[str]] = {}
    for entry in volumes.ledger():
        if isinstance(entry, Subscribe):
            had = holders.setdefault(entry.client, [])
            if had[-1:] != [entry.instance]:
                assert entry.instance not in had, f"{entry.client} went back to a process that had lost it"
                had.append(entry.instance)
