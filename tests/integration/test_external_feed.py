"""External feeds: servers from packages, unchanged and with faults injected on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.external.servers import FROM_PYTHON, Foreign, Play
from chaos.external.verification import EACH, HARMED, judge
from tests.integration.processes import Process, free_port

every_server = pytest.mark.parametrize("server", FROM_PYTHON, ids=lambda server: server.name)


@every_server
def test_a_good_feed_passes(server: Foreign) -> None:
    """For a server that delivers everything no fault is reported; figures that need a ledger are null."""
    judged = judge(server, harm=False)

    assert ("PASS", (0, 0, 0)) == (judged.summary["verdict"], judged.reported)
    assert "one-sided" == judged.summary["books"]
    assert judged.summary["totals"]["residual"] is None
    assert 900 == judged.summary["totals"]["received"]


@every_server
def test_exactly_what_was_harmed_is_reported(server: Foreign) -> None:
    """Exactly the injected drops, duplicates and swaps of one client are reported, for that client alone."""
    judged = judge(server, harm=True)

    assert (EACH, EACH, EACH) == judged.injected == judged.reported
    assert (0, 0, 0) == judged.others
    assert "FAIL" == judged.summary["verdict"]
    assert judged.summary["headline"].startswith(f"{HARMED}: {EACH} messages missing")
    assert {"sent_not_logged": EACH, "not_seen": 0} == {
        cause: judged.summary["missing_by_cause"][cause] for cause in ("sent_not_logged", "not_seen")
    }


def test_a_local_run_ends_with_the_verdict(tmp_path: Path) -> None:
    """The supervisor starts no server for an external feed and ends with the verdict."""
    with FROM_PYTHON[0].start(Play(2, 100, 100), tmp_path) as playing, Process(
        "services", CLIENTS=2, VOLUMES=tmp_path / "volumes", PAGE_PORT=free_port(), SERVER_URL=playing.url,
        FEED_SECONDS=4, **playing.settings,
    ) as run:  # fmt: skip
        code = run.wait(30)

    assert 0 == code, run.text
    assert "the feed is not ours" in run.text
    assert [] == list((tmp_path / "volumes" / "ledger").glob("2*"))
