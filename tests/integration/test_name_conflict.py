"""A name belongs to one process: a second process that claims it gets another name, and the run passes."""

from __future__ import annotations

from pathlib import Path

from tests.integration.processes import System
from tests.readers import is_sealed


def test_the_second_of_two_becomes_another(tmp_path: Path) -> None:
    """Two live processes that are both client-1 log as client-1 and client-1~2, each the whole run."""
    names = ["client-1", "client-1~2"]
    with System(tmp_path, RECORDS=600, RATE=300, CLIENTS=2) as system:
        system.start("collector")
        system.server()
        system.client("client-1").wait_for_line('"event": "subscribed"')
        second = system.client("client-1")
        second.wait_for_line('"event": "name is taken"')
        code, text = system.wait()
        assert 0 == code, text
        assert names == system.volumes.clients()
        for name in names:
            assert list(range(1, 601)) == [message.seq for message in system.volumes.messages(name)]
            # The file that the second process had claimed under the first one's name is removed.
            assert ["0001-0001.jsonl"] == [path.name for path in system.volumes.files(name)]
            assert all(is_sealed(path) for path in system.volumes.files(name))
        summary = system.volumes.summary()
        assert summary is not None
        assert ("PASS", names) == (summary.verdict, [client.client for client in summary.clients])
        assert 0 == summary.totals.residual
