"""A process without a free file descriptor logs that sparingly, stays alive, and goes on when one is free."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.integration.processes import Process, System
from tests.poll import poll_until


@contextlib.contextmanager
def no_descriptor_left(process: Process) -> Iterator[None]:
    """Let a process open no further file while the block runs."""
    soft, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    used = [int(name) for name in os.listdir(f"/proc/{process.pid}/fd")]
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (max(used) + 1, hard))
    # Numbers that are free below the highest one are still given out.
    try:
        yield
    finally:
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (soft, hard))


def answers(port: int) -> bool:
    """Return whether the page answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as reply:
            return bool(reply.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def test_a_collector_without_descriptors_survives(tmp_path: Path) -> None:
    """While it can open nothing the collector logs each kind of failure once; afterwards its page answers again."""
    with System(tmp_path / "volumes") as system:
        (tmp_path / "volumes").mkdir()
        collector = system.start("collector")
        collector.wait_for_line('"ready"')
        poll_until(lambda: answers(system.page_port), "the page answers", 20)
        with contextlib.ExitStack() as held, no_descriptor_left(collector):
            for _ in range(60):
                peer = held.enter_context(socket.socket())
                peer.setblocking(False)
                # Those that do not fit into the backlog stay unanswered.
                peer.connect_ex(("127.0.0.1", system.page_port))
            collector.wait_for_line("cannot", 20)
            poll_until(lambda: not answers(system.page_port), "the page has no descriptor", 20)
            before = len(collector.lines)
        poll_until(lambda: answers(system.page_port), "the page answers again", 30)
        assert collector.code is None
        assert len(collector.lines) - before < 20, collector.text
        assert "Traceback" not in collector.text


def test_a_client_without_descriptors_survives(tmp_path: Path) -> None:
    """A client that can open neither socket nor log says so once, goes on when it can, and the run passes."""
    with System(tmp_path / "volumes", CLIENTS=1, RATE=200, RECORDS=2000, RESUME_SECONDS=60) as system:
        (tmp_path / "volumes").mkdir()
        system.start("collector").wait_for_line('"ready"')
        server, client = system.server(), system.client("client-1")
        client.wait_for_line('"subscribed"')
        with contextlib.ExitStack() as limit:
            server.stop()
            client.wait_for_line("not connected")
            limit.enter_context(no_descriptor_left(client))
            system.server()
            client.wait_for_line("Too many open files", 20)
        assert 0 == system.wait()[0]
        assert 1 == client.text.count("Too many open files")
        assert "Traceback" not in client.text
