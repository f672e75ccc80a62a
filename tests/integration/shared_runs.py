"""What the ledgers of one run with several servers have in common, and control requests to one of the servers."""

from __future__ import annotations

import json

from websockets.sync.client import connect

from services.contract import ledger, wire
from tests.readers import Volumes, lines_of

Segment = tuple[int, int, float | None]
"""First record, its due time in epoch microseconds, and records per second."""


def ledgers(volumes: Volumes, run: str) -> list[list[ledger.Entry]]:
    """Return the entries of each ledger of a run."""
    return [[ledger.codec.decode(line)[1] for line in lines_of(path)] for path in volumes.ledger_files(run)]


def schedules(volumes: Volumes, run: str) -> set[tuple[Segment, ...]]:
    """Return the different schedules that the ledgers of a run have, without those that are a part of another one.

    A server that was killed has entered a beginning of the schedule, and one that joined later the rest of it.
    """
    found = {
        tuple((entry.first, entry.due_us, entry.rate) for entry in entries if isinstance(entry, ledger.PaceEntry))
        for entries in ledgers(volumes, run)
    }
    return {one for one in found if not any(one != other and set(one) <= set(other) for other in found)}


def ask(url: str, **request: object) -> wire.Controlled:
    """Send a control request over a new connection; return the reply.

    Raises:
        AssertionError: the server refuses it.
    """
    with connect(url, proxy=None) as connection:
        connection.recv()
        connection.send(json.dumps({"type": "control", **request}))
        while True:
            frame, _ = wire.decode_from_server(connection.recv(decode=False))
            assert not isinstance(frame, wire.Error), f"{url} refuses {request}: {frame}"
            if isinstance(frame, wire.Controlled):
                return frame
