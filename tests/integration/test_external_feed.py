"""External feeds: servers from packages, unchanged and with faults injected on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.external.servers import FROM_PYTHON, ExternalServer, FeedSize
from chaos.external.verification import FAULTS_OF_EACH_KIND, FAULTY_CLIENT, verify_server
from tests.integration.processes import Process, free_port

every_server = pytest.mark.parametrize("server", FROM_PYTHON, ids=lambda server: server.name)


@every_server
def test_a_good_feed_passes(server: ExternalServer) -> None:
    """For a server that delivers everything no fault is reported; figures that need a ledger are null."""
    run = verify_server(server, inject=False)

    assert ("PASS", (0, 0, 0)) == (run.summary["verdict"], run.reported)
    assert "one-sided" == run.summary["books"]
    assert run.summary["totals"]["residual"] is None
    assert 900 == run.summary["totals"]["received"]


@every_server
def test_exactly_what_was_harmed_is_reported(server: ExternalServer) -> None:
    """Exactly the injected drops, duplicates and swaps of one client are reported, for that client alone."""
    run = verify_server(server, inject=True)

    assert (FAULTS_OF_EACH_KIND, FAULTS_OF_EACH_KIND, FAULTS_OF_EACH_KIND) == run.injected == run.reported
    assert (0, 0, 0) == run.others
    assert "FAIL" == run.summary["verdict"]
    assert run.summary["headline"].startswith(f"{FAULTY_CLIENT}: {FAULTS_OF_EACH_KIND} messages missing")
    assert {"sent_not_logged": FAULTS_OF_EACH_KIND, "not_seen": 0} == {
        cause: run.summary["missing_by_cause"][cause] for cause in ("sent_not_logged", "not_seen")
    }


def test_a_local_run_ends_with_the_verdict(tmp_path: Path) -> None:
    """The supervisor starts no server for an external feed and ends with the verdict."""
    with FROM_PYTHON[0].start(FeedSize(2, 100, 100), tmp_path) as playing, Process(
        "services", CLIENTS=2, VOLUMES=tmp_path / "volumes", PAGE_PORT=free_port(), SERVER_URL=playing.url,
        FEED_SECONDS=4, **playing.settings,
    ) as run:  # fmt: skip
        code = run.wait(30)

    assert 0 == code, run.text
    assert "external feed" in run.text
    assert [] == list((tmp_path / "volumes" / "ledger").glob("2*"))
