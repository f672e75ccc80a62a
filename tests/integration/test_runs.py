"""A server plays several bounded runs, each with its own ledger, logs and verdict."""

from __future__ import annotations

from pathlib import Path

from tests.integration.processes import play


def test_two_runs_have_two_verdicts(tmp_path: Path) -> None:
    """RUNS=2 plays two runs on the same connections: two folders, two verdicts, one exit code."""
    code, run = play(tmp_path, CLIENTS=2, RECORDS=500, RATE=0, RUNS=2)
    assert 0 == code, run.text
    assert 2 == len(run.volumes.runs())
    assert 2 == len([line for line in run.lines if "PASS" in line])
    for name in run.volumes.runs():
        summary = run.volumes.summary(name)
        assert summary is not None
        assert (name, "PASS", "closed") == (summary.run, summary.verdict, summary.state)
        for client in ("client-1", "client-2"):
            assert list(range(1, 501)) == [message.seq for message in run.volumes.messages(client, name)]
    newest = tmp_path / "summary" / "summary.json"
    assert newest.read_bytes() == (tmp_path / "summary" / run.volumes.newest() / "summary.json").read_bytes()
