"""A client that vanishes is reported by name, and is expected to have the whole run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.asserts import known
from tests.integration.stack import Stack, docker

FAIL = 99


@pytest.mark.containers
@pytest.mark.slow
def test_a_client_that_never_returns_is_lost(folder: Path, engine: None) -> None:
    """A client that is killed and does not return makes the run FAIL after the grace period, named as lost."""
    with Stack(folder, RECORDS=1200, RATE=200, GRACE_SECONDS=2, CLIENTS=2) as stack:
        stack.up(clients=2)
        stack.receipted(200, "client-2")
        docker("update", "--restart=no", stack.container("client", 2))
        stack.kill("client", 2)
        code, text = stack.wait()
        assert FAIL == code, text
        summary = stack.volumes.summary()
        assert summary is not None
        assert ("FAIL", 0) == (summary.verdict, summary.totals.residual)
        here, lost = summary.clients
        assert ("client-1", "finished", 1200, 0) == (here.client, here.state, here.received, here.missing)
        assert ("client-2", "lost", 1200) == (lost.client, lost.state, lost.expected)
        held = stack.volumes.held("client-2").count
        assert (held, 1200 - held, [(held + 1, 1200)]) == (lost.received, lost.missing, lost.missing_ranges)
        assert 200 <= held < 1200
        causes = lost.missing_by_cause
        assert known(lost.missing) == known(causes.never_sent) + known(causes.sent_not_logged) + known(
            causes.receipted_not_logged
        )
        assert 0 == causes.receipted_not_logged
        assert summary.headline.startswith("client-2 is lost")
        assert {"present": False, "complete": False} == {
            check.name: check.ok for check in summary.checks if check.name in ("present", "complete")
        }
