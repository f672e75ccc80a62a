"""A server that starts in another container knows at once whether the one before it has ended, however it ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.stack import Stack

pytestmark = [pytest.mark.containers, pytest.mark.slow]

LOOK = """
from pathlib import Path
from services.runtime.errors import AnotherServer
from services.server.runs.other_servers import ensure_alone
try:
    print("alone after", ensure_alone(Path("/volumes/ledger"), watch_seconds=3600).run)
except AnotherServer as other:
    print("beside", other.run)
"""


def look(stack: Stack) -> str:
    """Look at the folder as a server in a new container does, but with a watch of an hour; return what it finds."""
    done = stack.compose("run", "--rm", "--no-deps", "-T", "server", "python", "-c", LOOK, timeout=120)
    # Some versions of Compose print here that they build the image, too.
    return done.stdout.strip().splitlines()[-1]


def test_a_killed_server_is_not_watched_from_another_container(folder: Path, engine: None) -> None:
    """A server whose run has ended is found while it lives; once it is killed, its ledger needs no watch."""
    with Stack(folder, RECORDS=200, RATE=400) as stack:
        stack.up()
        code, text = stack.wait()
        assert 0 == code, text
        run = stack.volumes.newest()

        assert f"beside {run}" == look(stack)

        # Unlike after the end of its process, the engine does not start it again.
        stack.compose("kill", "server")

        assert f"alone after {run}" == look(stack)
