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

from chaos.identity.forked_clients import Client, Nursery
from chaos.identity.invariants import assert_no_flapping, at, hold, recoveries
from chaos.identity.names import Claimants
from chaos.identity.writers import Watch, assert_one_writer_each
from chaos.tally import Tally
from services.contract import wire
from services.contract.ledger import SubscribeEntry
from tests.integration.processes import Process, System
from tests.poll import poll_until
from tests.readers import Volumes

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
            # The run waits for its clients; from here on records flow, and to this one undisturbed.
            anchor = nursery.start("anchor")
            poll_until(lambda: system.volumes.head("anchor"), "the run is under way", 20)
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
            for one, took in zip(done, recoveries(system.volumes.ledger(), RECORDS, done), strict=True):
                tally.fault(one.kind, one.name, took, beside=True)
            print(f"{len(done)} operations, {watch.looks} looks at {len(watch.writers)} files; {slowest(tally)}")
            endings = partial(endings_of, last_grants(system.volumes), nursery.clients, finished)
            hold(system.volumes, found, RECORDS, endings, tally)
            assert anchor in finished
            assert list(range(1, RECORDS + 1)) == [message.seq for message in system.volumes.messages("anchor")]
            assert {"finished", "lost"} <= {book.state for book in found.clients}
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


def slowest(tally: Tally) -> str:
    """Return in words how long the way back took."""
    took = sorted((struck.recovery_s, struck.kind, struck.place) for struck in tally.faults if struck.recovery_s)
    return f"back after (s): {len(took)} measured, slowest {took[-5:]}"


def last_grants(volumes: Volumes) -> dict[str, float]:
    """Return when each name was granted for the last time, in epoch seconds."""
    return {entry.client: at(entry) for entry in volumes.ledger() if isinstance(entry, SubscribeEntry)}


def endings_of(grants: dict[str, float], clients: list[Client], finished: list[Client], name: str) -> set[str]:
    """Return what must have become of a name, by how the last process that was admitted under it has ended."""
    admitted = [(max(client.when("subscribed", client=name), default=0.0), client) for client in clients]
    moment, last = max(admitted, key=lambda one: one[0])
    if moment < grants.get(name, 0.0):
        # It ended before it had heard of the grant.
        return {"lost"}
    if last in finished:
        return {"finished"}
    return {"lost" if last.code == -signal.SIGKILL else "left"}


def assert_conflicts_are_named(server: Process, clients: list[Client]) -> None:
    """Hold the server's log to the clients': each conflict is in both."""
    told = sum(len(client.when("name is taken")) for client in clients)
    assert told == len([line for line in server.lines if '"name taken"' in line])
    assert told > 0
    assert len([line for line in server.lines if '"silent client superseded"' in line]) > 0
