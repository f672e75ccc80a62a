"""An operator controls a run by hand: from a shell, by a script, at a terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from services.contract import ledger
from services.runtime.control import token
from tests.integration.processes import ROOT, Process, System, environment
from tests.integration.test_two_way import own_address
from tests.poll import poll_until


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    """A server during a long run, with one client."""
    with System(tmp_path, RECORDS=100_000, RATE=500, HOST="*", EXPOSURE="internal") as made:
        made.server()
        made.client("client-1")
        poll_until(lambda: made.volumes.head("client-1"), "the client has receipted something", 15)
        yield made


def console(system: System, *arguments: str) -> tuple[int, str]:
    """Run the console with these arguments; return its exit code and output."""
    with Process("services.client", "console", *arguments, SERVER_URL=system.url) as process:
        return process.wait(), process.text


def requests_in_ledger(system: System) -> list[tuple[str, float | str | None, str | None]]:
    """Return the control requests in the ledger: command, argument and origin."""
    entries = [entry for entry in system.volumes.ledger() if isinstance(entry, ledger.ControlEntry)]
    return [(entry.request, entry.value or entry.client, entry.via) for entry in entries]


def test_from_a_shell(system: System) -> None:
    """A request is an argument, its reply one line, and the exit code reports whether it was accepted."""
    code, text = console(system, "rate", "1000", "pause")
    assert 0 == code, text
    faster, paused = text.splitlines()
    assert " running at 1,000 records/s: " in faster
    assert " paused: " in paused
    assert paused.endswith("1 client: client-1")

    assert (104, "error: refused: no client is named client-9") == console(system, "drop", "client-9")
    assert (105, "error: ws://127.0.0.1:1: nothing listens there") == console(
        system, "--url", "ws://127.0.0.1:1", "status"
    )
    assert [("rate", 1000, "console"), ("pause", None, "console")] == requests_in_ledger(system)


def test_by_a_script(system: System) -> None:
    """Requests are piped, one a line; the first refused one ends the script with its exit code."""
    with Process("services.client", "console", "--json", SERVER_URL=system.url) as script:
        for line in ("pause", "drop client-9", "resume"):
            script.enter(line)
        assert 104 == script.wait()
    paused, refused = map(json.loads, script.lines)

    assert ("controlled", "paused", ["client-1"]) == (paused["type"], paused["state"], paused["clients"])
    assert ("error", "no_client") == (refused["type"], refused["code"])
    assert [("pause", None, "console")] == requests_in_ledger(system)


def test_from_afar(system: System) -> None:
    """A request from another address needs the server's token, which is in a file beside the ledger."""
    url = f"ws://{own_address()}:{system.port}"
    code, text = console(system, "--url", url, "pause")
    assert 104 == code
    assert text.startswith("error: refused: control is for loopback or the holder of the token")

    file = system.volumes.root / "ledger" / token.NAME
    code, text = console(system, "--url", url, "--token-file", str(file), "pause")
    assert 0 == code, text
    assert [("pause", None, "console")] == requests_in_ledger(system)


@contextmanager
def terminal(system: System) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Run the console at a pseudo-terminal; yield the user's end of it and the process."""
    hands, seat = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "services.client", "console"],
        cwd=ROOT,
        env=environment({"SERVER_URL": system.url}),
        stdin=seat,
        stdout=seat,
        stderr=seat,
        start_new_session=True,
    )
    os.close(seat)
    os.set_blocking(hands, False)
    try:
        yield hands, process
    finally:
        process.kill()
        process.wait()
        os.close(hands)


def test_at_a_terminal(system: System) -> None:
    """The interactive console has a prompt, prints replies, and shows changes that others make to the run."""
    with terminal(system) as (hands, process):
        screen: list[str] = []

        def sees(text: str) -> None:
            def seen() -> bool:
                with suppress(BlockingIOError):
                    screen.append(os.read(hands, 65536).decode(errors="replace"))
                return text in "".join(screen)

            poll_until(seen, f"the terminal shows {text!r}; it shows {''.join(screen)!r}", 15, 0.02)
            screen.clear()

        sees("> ")
        os.write(hands, b"rate 700\n")
        sees(" running at 700 records/s: ")
        assert 0 == console(system, "pause")[0]
        sees(" paused: ")
        os.write(hands, b"rate fast\n")
        sees("rate 'fast': expected 0 or a number")
        os.write(hands, b"resume\nquit\n")
        assert 0 == process.wait(15)

    assert [("rate", 700, "console"), ("pause", None, "console"), ("resume", None, "console")] == requests_in_ledger(
        system
    )
