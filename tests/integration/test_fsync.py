"""Runs pass with every setting of FSYNC, and the log records the setting."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.contract import blocklog
from tests.integration.processes import play


@pytest.mark.parametrize("fsync", ["none", "interval", "block"])
def test_every_way_to_sync_passes(fsync: str, tmp_path: Path) -> None:
    """FSYNC none, interval and block all end in PASS, with every message receipted."""
    code, run = play(tmp_path, CLIENTS=2, RECORDS=1000, RATE=0, FSYNC=fsync)
    assert 0 == code, run.text
    summary = run.volumes.summary()
    assert summary is not None
    assert (2000, 0, 0) == (summary.totals.received, summary.totals.residual, summary.totals.logged_not_receipted)
    openings = [entry for entry in run.volumes.log("client-1") if isinstance(entry, blocklog.OpenLine)]
    assert [fsync] == [opening.fsync for opening in openings]
