"""External feeds that number the records of each connection separately."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from tests.integration.processes import Process, free_port

LATE_SECONDS = 2.0


@contextmanager
def feed() -> Iterator[str]:
    """Serve a feed that sends a hundred records a second to each connection, numbered from 0."""
    connections: list[int] = []

    def hold(connection: ServerConnection, _request: Request) -> Response | None:
        connections.append(id(connection))
        if len(connections) == 2:
            time.sleep(LATE_SECONDS)
        return None

    def play(connection: ServerConnection) -> None:
        began = time.monotonic()
        try:
            for number in range(10_000):
                time.sleep(max(0.0, began + number / 100 - time.monotonic()))
                beat = {"now": time.time_ns()} if number % 100 == 99 else {}
                record = {"sequence_num": number, "timestamp": time.time_ns(), "price": number % 7, **beat}
                connection.send(json.dumps(record))
        except ConnectionClosed:
            pass

    with serve(play, "127.0.0.1", 0, process_request=hold) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"


def test_a_connection_that_came_later_lacks_nothing(tmp_path: Path) -> None:
    """Two clients, one of them 200 numbers behind, pass, and the summary reports that they are not compared."""
    with feed() as url, Process(
        "services", CLIENTS=2, VOLUMES=tmp_path / "volumes", PAGE_PORT=free_port(), SERVER_URL=url, FEED_SECONDS=5,
        FEED_SEQ="$.sequence_num", FEED_TIME="$.timestamp",
    ) as run:  # fmt: skip
        code = run.wait(40)
    (found,) = (tmp_path / "volumes" / "summary").glob("2*/summary.json")
    summary = json.loads(found.read_text())

    assert (0, "PASS", 0) == (code, summary["verdict"], summary["totals"]["missing"]), run.text
    assert "numbers of client-1 and client-2 are of their own connections: not compared" in next(
        check["detail"] for check in summary["checks"] if check["name"] == "complete"
    )
