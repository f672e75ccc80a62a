"""A stop leaves sealed logs, a ledger with the reason, and a run that the next ``up`` continues."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from services.contract import ledger
from services.contract.blocklog import EndLine
from tests.integration.stack import Stack, docker
from tests.poll import poll_until
from tests.readers import Volumes, is_sealed

pytestmark = [pytest.mark.containers, pytest.mark.slow]

CLIENTS = 3
RECORDS = 3000


@dataclass
class Stopped:
    """State after one client was stopped, and then everything with Ctrl-C."""

    volumes: Volumes
    stop_seconds: float = 0.0
    stop_code: str = ""
    sealed: tuple[bool, ...] = ()
    reasons: tuple[str, ...] = ()
    entries: tuple[ledger.Entry, ...] = ()
    last_words: str = ""
    continued: int = -1


@pytest.fixture(scope="module")
def stopped(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stopped]:
    """Stop a client of a run in the foreground, press Ctrl-C, record the state, then continue with another ``up``."""
    folder = tmp_path_factory.mktemp("stopped") / "volumes"
    folder.mkdir()
    found = Stopped(Volumes(folder))
    with Stack(folder, RECORDS=RECORDS, RATE=300, CLIENTS=CLIENTS) as stack:
        with stack.up_in_foreground(clients=CLIENTS) as terminal:
            stack.receipted(500, "client-3", timeout=300)
            one = stack.container("client", 3)
            began = time.monotonic()
            docker("stop", one)
            found.stop_seconds = time.monotonic() - began
            found.stop_code = docker("inspect", "--format", "{{.State.ExitCode}}", one)
            stack.receipted(stack.volumes.head("client-1") + 100)
            terminal.ctrl_c()
        clients = [f"client-{number}" for number in range(1, CLIENTS + 1)]
        logs = [entry for client in clients for entry in stack.volumes.log(client)]
        found.sealed = tuple(is_sealed(path) for client in clients for path in stack.volumes.files(client))
        found.reasons = tuple(entry.reason for entry in logs if isinstance(entry, EndLine))
        found.entries = tuple(stack.volumes.ledger())
        found.last_words = stack.logs("collector")
        stack.up(clients=CLIENTS)
        found.continued, text = stack.wait()
        assert 0 == found.continued, text
        poll_until(stack.volumes.verdict, "the verdict is on disk", 5)
        yield found


def test_sigterm_ends_a_client_within_five_seconds(stopped: Stopped) -> None:
    """A client seals its log on SIGTERM and exits within five seconds, with code 0."""
    assert 5.0 > stopped.stop_seconds
    assert "0" == stopped.stop_code


def test_ctrl_c_leaves_sealed_logs(stopped: Stopped) -> None:
    """After Ctrl-C every log file ends with an ``end`` line that says ``shutdown``."""
    assert CLIENTS * (True,) == stopped.sealed
    assert CLIENTS * ("shutdown",) == stopped.reasons


def test_ctrl_c_leaves_a_ledger_that_shows_all(stopped: Stopped) -> None:
    """Clients leave with a ``bye`` first, then the server pauses the run: the ledger ends with a pause, not an end."""
    leaves = [entry for entry in stopped.entries if isinstance(entry, ledger.LeaveEntry)]
    assert {f"client-{number}": "bye" for number in range(1, CLIENTS + 1)} == {
        leave.client: leave.cause for leave in leaves
    }
    paces = [entry for entry in stopped.entries if isinstance(entry, ledger.PaceEntry)]
    assert (300, None) == (paces[0].rate, paces[-1].rate)
    assert not any(isinstance(entry, ledger.EndEntry) for entry in stopped.entries)


def test_ctrl_c_shows_how_far_it_came(stopped: Stopped) -> None:
    """The collector stops last and prints the provisional summary, without a verdict."""
    last = stopped.last_words.split("DELIVERY")
    assert 2 == len(last), stopped.last_words
    assert "residual" in last[1]
    assert not any(verdict in stopped.last_words for verdict in ("PASS", "FAIL", "INVALID"))


def test_the_next_up_continues_the_run(stopped: Stopped) -> None:
    """``up`` after Ctrl-C continues the same run, and every client ends with every record once."""
    assert 0 == stopped.continued
    assert 1 == len(stopped.volumes.runs())
    for number in range(1, CLIENTS + 1):
        seqs = [message.seq for message in stopped.volumes.messages(f"client-{number}")]
        assert list(range(1, RECORDS + 1)) == seqs
