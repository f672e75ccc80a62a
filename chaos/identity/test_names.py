"""Starts, stops, kills, duplicates and freezes processes with the same name: no file has two writers."""

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

from chaos.identity.forked_clients import Client, ClientForker
from chaos.identity.invariants import assert_no_flapping, at, check_names, recoveries
from chaos.identity.names import Claimants
from chaos.identity.writers import WriterWatch, assert_one_writer_each
from chaos.tally import Tally
from services.contract import wire
from services.contract.ledger import SubscribeEntry
from tests.integration.processes import Process, System
from tests.poll import poll_until
from tests.readers import Volumes

NAMES, OPERATIONS = 10, 21
RATE, RECORDS = 40, 6000
FINAL_RATE = 3000
SETTINGS = {"RATE": RATE, "RECORDS": RECORDS, "CLIENTS": 1, "GRACE_SECONDS": 3, "BLOCK_SECONDS": 1}


def test_no_name_has_two_writers(tmp_path: Path, seed: int, tally: Tally) -> None:
    """After 200 operations on the processes of ten names, every file had one writer, and every log is right."""
    with System(tmp_path / "volumes", **SETTINGS) as system:
        system.start("collector")
        server = system.server()
        client_settings = {"SERVER_URL": system.url, "VOLUMES": system.volumes.root, "BLOCK_SECONDS": 1}
        with ClientForker(tmp_path / "reported", **client_settings) as forker:
            claimants = [
                Claimants(
                    forker,
                    partial(superseded_times, server),
                    f"c{number}",
                    connections_of(number),
                    random.Random(f"{seed}/{number}"),
                )
                for number in range(1, NAMES + 1)
            ]
            # The run begins with its first client; this one stays undisturbed to the end.
            anchor = forker.start("anchor")
            poll_until(lambda: system.volumes.head("anchor"), "the run is under way", 20)
            with WriterWatch(system.volumes.root / "logs", lambda: [client.pid for client in forker.running]) as watch:
                with ThreadPoolExecutor(NAMES) as threads:
                    list(threads.map(operate, claimants))
                set_rate(system)
                summary = poll_until(system.volumes.verdict, "there is a verdict", 60)
                assert summary is not None
                for client in forker.running:
                    assert_closes_files(watch, client)
                finished = forker.running
            for client in finished:
                assert client.end(signal.SIGTERM) == 0
            done = [operation for claimants_of_name in claimants for operation in claimants_of_name.done]
            for operation, recovery_s in zip(done, recoveries(system.volumes.ledger(), RECORDS, done), strict=True):
                tally.add_fault(operation.kind, operation.name, recovery_s, beside=True)
            print(
                f"{len(done)} operations, {watch.samples} samples of {len(watch.writers)} files; {slowest_text(tally)}"
            )
            endings = partial(endings_of, last_grants(system.volumes), forker.clients, finished)
            check_names(system.volumes, summary, RECORDS, endings, tally)
            assert anchor in finished
            assert list(range(1, RECORDS + 1)) == [message.seq for message in system.volumes.messages("anchor")]
            assert {"finished", "lost"} <= {book.state for book in summary.clients}
            assert watch.shared == []
            assert assert_one_writer_each(system.volumes) > 0
            assert_conflicts_are_named(server, forker.clients)
            assert_no_flapping(system.volumes)
            assert len(done) >= 200
            assert watch.samples >= 100


def connections_of(number: int) -> int:
    """Return the number of connections of each process of a name."""
    return 3 if number % 5 == 0 else 1


def superseded_times(server: Process, name: str) -> list[float]:
    """Return when (epoch seconds) the server logged that a silent client with this name was superseded."""
    events = [json.loads(line) for line in server.lines if '"silent client superseded"' in line]
    return [datetime.fromisoformat(event["at"]).timestamp() for event in events if event["client"] == name]


def operate(claimants_of_name: Claimants) -> None:
    """Perform the operations on one name."""
    for _ in range(OPERATIONS):
        claimants_of_name.operate()
    claimants_of_name.finish_with(with_process=not claimants_of_name.name.endswith("3"))


def set_rate(system: System) -> None:
    """Send the rest of the run at a high rate."""
    with connect(system.url, proxy=None, compression=None, subprotocols=[Subprotocol(wire.SUBPROTOCOL)]) as operator:
        operator.send(wire.encode(wire.Control(set={"rate": FINAL_RATE})), text=True)
        poll_until(lambda: '"controlled"' in str(operator.recv(timeout=5)), "the rate is set", 10, 0)


def assert_closes_files(watch: WriterWatch, client: Client) -> None:
    """Check that a client closes its files after the end of the run."""
    try:
        poll_until(lambda: not watch.open_files(client.pid), f"{client} has closed its files", 20, 0.05)
    except AssertionError as problem:
        problem.add_note(f"open: {watch.open_files(client.pid)}, logged: {client.events}")
        raise


def slowest_text(tally: Tally) -> str:
    """Return the slowest recoveries as text."""
    recovery_s = sorted((fault.recovery_s, fault.kind, fault.place) for fault in tally.faults if fault.recovery_s)
    return f"recovery in s: {len(recovery_s)} measured, slowest {recovery_s[-5:]}"


def last_grants(volumes: Volumes) -> dict[str, float]:
    """Return when each name was last granted to a process, in epoch seconds."""
    return {entry.client: at(entry) for entry in volumes.ledger() if isinstance(entry, SubscribeEntry)}


def endings_of(grants: dict[str, float], clients: list[Client], finished: list[Client], name: str) -> set[str]:
    """Return the state that a name must have, from the end of the last process that was admitted under it."""
    admitted = [(max(client.when("subscribed", client=name), default=0.0), client) for client in clients]
    admitted_at, last = max(admitted, key=lambda item: item[0])
    if admitted_at < grants.get(name, 0.0):
        # The last holder ended before the server's grant reached it.
        return {"lost"}
    if last in finished:
        return {"finished"}
    return {"lost" if last.code == -signal.SIGKILL else "left"}


def assert_conflicts_are_named(server: Process, clients: list[Client]) -> None:
    """Check that each conflict is in the logs of both server and client."""
    conflicts = sum(len(client.when("name is taken")) for client in clients)
    assert conflicts == len([line for line in server.lines if '"name taken"' in line])
    assert conflicts > 0
    assert len([line for line in server.lines if '"silent client superseded"' in line]) > 0
