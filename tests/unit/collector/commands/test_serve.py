"""Tests of services/collector/commands/serve.py."""

from __future__ import annotations

import asyncio
import socket
import urllib.request
from pathlib import Path

import pytest

from services.collector.__main__ import PROGRAM
from services.collector.commands import serve
from services.collector.settings import NodeSettings
from services.runtime import cli
from tests.poll import poll_until


def test_it_never_starts_without_a_token(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the file of the token the command is one line and exit code 104."""
    # It would write to the output of this test for the rest of the process.
    monkeypatch.setattr("services.runtime.jsonlogs.configure", lambda _service: None)
    parser, commands = cli.parser(PROGRAM, "Tests.", "exit codes: 0", "1.0", serve.run)
    serve.add(commands)
    chosen = parser.parse_args(["serve"])

    assert 104 == chosen.command(chosen, {"VOLUMES": str(tmp_path)})
    assert capsys.readouterr().err.startswith("error: NODE_TOKEN_FILE: expected a file with a token")


def answers(port: int) -> bool:
    """Return whether a node answers its probe at a port."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


async def test_it_serves_until_it_is_stopped(tmp_path: Path) -> None:
    """The command answers at its port, and ends when it is stopped."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    stop = asyncio.Event()
    task = asyncio.create_task(serve.serve(NodeSettings(tmp_path, ("127.0.0.1",), port, "secret"), stop))
    await asyncio.to_thread(poll_until, lambda: answers(port), "it answers", 20)
    stop.set()

    assert 0 == await task
    assert not await asyncio.to_thread(answers, port)
