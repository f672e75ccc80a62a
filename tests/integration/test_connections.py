"""One client process can be several clients: each has a name, a log and a block size of its own."""

from __future__ import annotations

from pathlib import Path

from tests.integration.processes import play


def test_four_connections_are_four_clients(tmp_path: Path) -> None:
    """CONNECTIONS=4 in two processes gives eight names, eight logs, and block sizes that run on."""
    code, run = play(tmp_path, CLIENTS=2, CONNECTIONS=4, RECORDS=1000, RATE=0)
    assert 0 == code, run.text
    names = [f"client-{process}.{number}" for process in (1, 2) for number in (1, 2, 3, 4)]
    assert names == run.volumes.clients()
    for name in names:
        assert list(range(1, 1001)) == [message.seq for message in run.volumes.messages(name)]
    summary = run.volumes.summary()
    assert summary is not None
    sizes = {client.client: client.block_size for client in summary.clients}
    assert dict(zip(names, [10, 25, 50, 100, 250, 10, 25, 50], strict=True)) == sizes
