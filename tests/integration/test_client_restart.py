"""A client that was stopped and restarted ends with the same log and result as one that was not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.contract.blocklog import EndLine, OpenLine
from services.contract.summary import ClientSummary
from tests.integration.stack import Stack, docker
from tests.poll import poll_until
from tests.readers import Volumes, record_of

pytestmark = [pytest.mark.containers, pytest.mark.slow]

RATE = 200
RECORDS = 2600


@pytest.fixture(scope="module")
def restarted(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Volumes]:
    """A run in which client-2 was stopped for five seconds and client-3 was killed, and in which client-1 was not."""
    folder = tmp_path_factory.mktemp("restarted") / "volumes"
    folder.mkdir()
    with Stack(folder, RECORDS=RECORDS, RATE=RATE, CLIENTS=3) as stack:
        stack.up(clients=3)
        stack.receipted(300, "client-2")
        stack.receipted(300, "client-3")
        docker("stop", stack.container("client", 2))
        stack.kill("client", 3)
        stopped_at = stack.volumes.head("client-1")
        # Five seconds of records.
        stack.receipted(stopped_at + 5 * RATE, "client-1")
        docker("start", stack.container("client", 2))
        code, text = stack.wait()
        assert 0 == code, text
        assert "1" == docker("inspect", "--format", "{{.RestartCount}}", stack.container("client", 3))
        poll_until(stack.volumes.verdict, "the verdict is on disk", 5)
        yield stack.volumes


def client_of(volumes: Volumes, name: str) -> ClientSummary:
    """Return a client's part of the summary."""
    summary = volumes.summary()
    assert summary is not None
    return next(client for client in summary.clients if client.client == name)


def assert_equals_client_1(volumes: Volumes, name: str) -> None:
    """Assert that a client's log and result equal those of client-1, which was not stopped."""
    mine, reference = volumes.messages(name), volumes.messages("client-1")
    assert [message.seq for message in reference] == [message.seq for message in mine]
    assert [record_of(message) for message in reference] == [record_of(message) for message in mine]
    assert RECORDS == len(mine)
    client = client_of(volumes, name)
    assert ("finished", RECORDS, 0, 0, 0) == (
        client.state,
        client.received,
        client.missing,
        client.duplicates,
        client.residual,
    )
    assert 2 == client.sessions


def test_a_client_that_was_stopped_has_the_same_evidence(restarted: Volumes) -> None:
    """Stopped for five seconds in the middle, a client holds every record once: it sealed, and resumed after that."""
    assert_equals_client_1(restarted, "client-2")
    ends = [entry.reason for entry in restarted.log("client-2") if isinstance(entry, EndLine)]
    assert ["shutdown", "finished"] == ends
    first, second = [entry for entry in restarted.log("client-2") if isinstance(entry, OpenLine)]
    assert (0, 1, 2) == (first.after, first.session, second.session)
    assert 300 <= second.after


def test_a_client_that_was_killed_has_the_same_evidence(restarted: Volumes) -> None:
    """Killed in the middle, a client resumes after its last durable record, and nothing is lost or logged twice."""
    assert_equals_client_1(restarted, "client-3")
    # The killed session has no ``end`` line; only the second was closed properly.
    assert ["finished"] == [entry.reason for entry in restarted.log("client-3") if isinstance(entry, EndLine)]
    _, second = [entry for entry in restarted.log("client-3") if isinstance(entry, OpenLine)]
    assert (2, True) == (second.session, second.after >= 300)


def test_a_client_that_stayed_noticed_nothing(restarted: Volumes) -> None:
    """The other clients have one session and every record."""
    client = client_of(restarted, "client-1")
    assert (1, RECORDS, "finished") == (client.sessions, client.received, client.state)
