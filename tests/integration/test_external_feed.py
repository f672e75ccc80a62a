"""External feeds: servers from packages, unchanged and with faults injected on the way."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chaos.external.conditions import ALL_FAULTS, FAULTS_OF_EACH_KIND, HEALTHY, SIZE, Faults
from chaos.external.packaged_servers import FROM_PYTHON
from chaos.external.servers import ExternalServer, FeedSize
from chaos.external.verification import verify_server
from tests.integration.processes import Process, free_port

every_server = pytest.mark.parametrize("server", FROM_PYTHON, ids=lambda server: server.name)


@every_server
def test_a_good_feed_passes(server: ExternalServer) -> None:
    """For a server that delivers everything no fault is reported; figures that need a ledger are null."""
    run = verify_server(server, HEALTHY)

    assert ("PASS", Faults(), Faults()) == (run.verdict, run.reported, run.others)
    assert "one-sided" == run.summary["books"]
    assert run.summary["totals"]["residual"] is None
    assert SIZE.clients * SIZE.records == run.summary["totals"]["received"]


@every_server
def test_exactly_what_was_harmed_is_reported(server: ExternalServer) -> None:
    """Exactly the injected drops, duplicates and swaps of one client are reported, for that client alone."""
    run = verify_server(server, ALL_FAULTS)

    assert ALL_FAULTS.faults == run.injected == run.reported
    assert Faults() == run.others
    assert "FAIL" == run.verdict
    assert re.match(rf"client\.[12]: {FAULTS_OF_EACH_KIND} messages missing", run.summary["headline"])
    assert {"sent_not_logged": FAULTS_OF_EACH_KIND, "not_seen": 0} == {
        cause: run.summary["missing_by_cause"][cause] for cause in ("sent_not_logged", "not_seen")
    }


def test_a_local_run_ends_with_the_verdict(tmp_path: Path) -> None:
    """The supervisor starts no server for an external feed and ends with the verdict."""
    with FROM_PYTHON[0].start(FeedSize(2, 100, 100), tmp_path) as playing, Process(
        "services", CLIENTS=2, VOLUMES=tmp_path / "volumes", PAGE_PORT=free_port(), SERVER_URL=playing.url,
        FEED_SECONDS=4, **FROM_PYTHON[0].settings,
    ) as run:  # fmt: skip
        code = run.wait(30)

    assert 0 == code, run.text
    assert "external feed" in run.text
    assert [] == list((tmp_path / "volumes" / "ledger").glob("2*"))
