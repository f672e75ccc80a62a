"""Tests of the operator's console: requests, replies, the prompt, and reading lines."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from services.contract import wire
from services.runtime.access.tls import ClientTls
from services.runtime.control import console, token
from services.runtime.control.commands import ControlRefused, ServerUnreachable
from services.runtime.control.console import Console, ConsoleOutput, StdinLines
from services.runtime.errors import BadSettings

RUN, NEXT = "20261122T073000Z", "20261122T073500Z"
PAUSED = f"{RUN} paused: 7 of 100 due; 1 client: client-1\n"
RUNNING = f"{RUN} running at 200 records/s: 7 of 100 due; 1 client: client-1\n"


def state(**changed: Any) -> wire.Controlled:
    """Return the state of a run."""
    values = {"run": RUN, "state": "running", "rate": 200, "head": 7, "clients": ["client-1"]}
    return wire.Controlled(**{**values, **changed})


def welcome(run: str = RUN) -> wire.Welcome:
    """Return the welcome to a run of 100 records."""
    return wire.Welcome(
        run=run, feed="f", state="running", total=100, rate=200, start_us=None, boot="b", now_us=1
    )  # fmt: skip


class FakeLink:
    """A link to a server that pauses and resumes, and has one client, client-1."""

    def __init__(self) -> None:
        self.welcome: wire.Welcome | None = None
        self.on_event: Callable[[wire.FromServer], None] = lambda _: None
        self.requests: list[wire.Control] = []
        self.state = state()
        self.is_gone = self.is_closed = False
        self.event: wire.FromServer | None = None

    async def request(self, request: wire.Control) -> wire.Controlled:
        """Carry out a request."""
        self.requests.append(request)
        self.welcome = welcome()
        if self.event is not None:
            self.on_event(self.event)
        if self.is_gone:
            raise ServerUnreachable("ws://x: nothing listens there")
        if request.client == "client-9":
            raise ControlRefused("no_client", "no client is named client-9")
        if request.client == "client-0":
            raise ControlRefused("unauthorized", "control is for the holder of the token")
        if request.do in ("pause", "resume"):
            running = request.do == "resume"
            self.state = state(state="running" if running else "paused", rate=200 if running else None)
        return self.state

    async def close(self) -> None:
        """Record the end."""
        self.is_closed = True


class FakeInput:
    """Typed lines; a function in their place is called and then counts as a time without input."""

    def __init__(self, *typed: str | Callable[[], object]) -> None:
        self._typed = list(typed)

    async def line(self, _seconds: float | None = None) -> str | None:
        """Return the next line; None at the end."""
        if not self._typed:
            return None
        item = self._typed.pop(0)
        if isinstance(item, str):
            return item
        item()
        raise TimeoutError


async def piped(link: FakeLink, *lines: str, as_json: bool = False) -> int:
    """Run a console on piped lines; return the exit code."""
    lines_in: Any = FakeInput(*lines)
    return await Console(link, ConsoleOutput("", as_json=as_json)).run([], lines_in)


async def typed_at_prompt(link: FakeLink, *typed: str | Callable[[], object]) -> int:
    """Run a console with a prompt on typed lines; return the exit code."""
    lines_in: Any = FakeInput(*typed)
    return await Console(link, ConsoleOutput("> ", as_json=False)).run([], lines_in)


async def test_replies_are_printed_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    """Requests given as arguments are sent in order, and the state of the run is printed after each."""
    link = FakeLink()

    assert 0 == await Console(link, ConsoleOutput("", as_json=False)).run(["pause", "status"], None)
    assert (PAUSED * 2, "") == capsys.readouterr()
    assert [("pause", "console"), ("status", "console")] == [(request.do, request.via) for request in link.requests]
    assert link.is_closed


async def test_replies_are_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """With --json the frames of the server are printed unchanged, including errors."""
    assert 104 == await piped(FakeLink(), "status", "drop client-9", as_json=True)
    frames = [json.loads(text) for text in capsys.readouterr().out.splitlines()]

    assert [("controlled", 7), ("error", None)] == [(item["type"], item.get("head")) for item in frames]
    assert ("no_client", "no client is named client-9") == (frames[1]["code"], frames[1]["detail"])


@pytest.mark.parametrize(
    ("text", "gone", "code", "why"),
    [
        ("drop client-9", False, 104, "refused: no client is named client-9"),
        ("drop client-0", False, 104, "refused: control is for the holder of the token (the token is in ledger/"),
        ("puase", False, 104, "'puase' is no command; there are:"),
        ("status", True, 105, "ws://x: nothing listens there"),
    ],
)
async def test_a_failed_request_ends_a_script(
    text: str, gone: bool, code: int, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first request that fails is printed on standard error, and the following ones are not sent."""
    link = FakeLink()
    link.is_gone = gone

    assert code == await piped(link, text, "pause")
    assert capsys.readouterr().err.startswith(f"error: {why}")
    assert "pause" not in [request.do for request in link.requests]


async def test_a_script_may_leave_and_ask_for_help(capsys: pytest.CaptureFixture[str]) -> None:
    """A script may print the help and contain empty lines; nothing after quit is sent."""
    link = FakeLink()

    assert 0 == await piped(link, "help", "", "quit", "pause")
    assert console.HELP + "\n" == capsys.readouterr().out
    assert [] == link.requests


async def test_the_prompt_continues_after_a_refusal(capsys: pytest.CaptureFixture[str]) -> None:
    """The interactive console starts with the help and the state of the run, and continues after a refusal."""
    link = FakeLink()

    assert 0 == await typed_at_prompt(link, "drop client-9", "pause", "quit")
    out, err = capsys.readouterr()
    assert f"{console.HELP}\n{RUNNING}> > {PAUSED}> " == out
    assert "error: refused: no client is named client-9\n" == err


async def test_changes_by_others_are_printed_at_the_prompt(capsys: pytest.CaptureFixture[str]) -> None:
    """A change of state is printed in place of the prompt; an unchanged state is not printed again."""
    link = FakeLink()

    def end() -> None:
        link.state = state(state="ended", head=100)

    await typed_at_prompt(link, lambda: None, end, lambda: None)

    ended = f"\r\x1b[K{RUN} ended: 100 of 100 due; 1 client: client-1\n> "
    assert f"{console.HELP}\n{RUNNING}> {ended}" == capsys.readouterr().out


async def test_an_unreachable_server_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    """An unreachable server is printed once, and the state of the run when it is reachable again."""
    link = FakeLink()

    def go(away: bool) -> Callable[[], None]:
        return lambda: setattr(link, "is_gone", away)

    await typed_at_prompt(link, go(True), go(True), go(False), go(False))

    away, back = "\r\x1b[Kws://x: nothing listens there\n> ", f"\r\x1b[K{RUNNING}> "
    assert f"{console.HELP}\n{RUNNING}> {away}{back}" == capsys.readouterr().out


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (welcome(NEXT), f"{NEXT} is the next run: 100 records"),
        (wire.Bye(reason="draining", retry_ms=500), "the server disconnects: draining"),
        (wire.Idle(next=1, now_us=1), None),
    ],
)
async def test_events_of_the_server_are_printed(
    frame: wire.FromServer, words: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """The next run and the end of the server are printed, other frames are not."""
    link = FakeLink()
    link.event = frame
    await piped(link, "status")

    assert (f"{words}\n" if words else "") + RUNNING == capsys.readouterr().out


def arguments(*given: str) -> argparse.Namespace:
    """Return parsed arguments."""
    parser = argparse.ArgumentParser()
    console.add_arguments(parser)
    return parser.parse_args(given)


def connected(*given: str, **environment: str) -> tuple[str, str]:
    """Return the address and the token with which the console connects."""
    connections: list[tuple[str, str]] = []

    def connect(url: str, shown: str, _seconds: float, _tls: ClientTls) -> FakeLink:
        connections.append((url, shown))
        return FakeLink()

    assert 0 == console.run(arguments(*given, "status"), environment, connect)
    return connections[0]


def test_the_address_of_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address in the arguments has precedence over the setting; without both it is loopback."""
    monkeypatch.chdir(tmp_path)

    assert "ws://127.0.0.1:8765" == connected(SERVER_URL="")[0]
    assert "ws://127.0.0.1:9000" == connected(PORT="9000")[0]
    assert "ws://a:1" == connected(SERVER_URL="ws://a:1")[0]
    assert "ws://b:2" == connected("--url", "ws://b:2", SERVER_URL="ws://a:1")[0]


def test_the_source_of_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in the arguments has precedence over the setting, which has precedence over the file in the volumes."""
    monkeypatch.chdir(tmp_path)
    assert "" == connected()[1]
    (tmp_path / "volumes" / "ledger").mkdir(parents=True)
    drawn = token.draw(tmp_path / "volumes" / "ledger")
    (tmp_path / "mine").write_text("sesame\n")

    assert drawn == connected()[1] == connected(VOLUMES=str(tmp_path / "volumes"))[1]
    assert "word" == connected(CONTROL_TOKEN="word")[1]
    assert "sesame" == connected("--token-file", str(tmp_path / "mine"), CONTROL_TOKEN="word")[1]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (("--url", "http://x"), "--url 'http://x': expected a WebSocket address like ws://server:8765"),
        (("--token-file", "/nowhere"), "--token-file /nowhere: No such file or directory"),
    ],
)
def test_an_invalid_argument_is_an_error(given: tuple[str, ...], why: str) -> None:
    """The error about an invalid argument has the argument and the expected form."""
    with pytest.raises(BadSettings) as raised:
        connected(*given)

    assert (why,) == raised.value.problems


def test_an_external_feed_cannot_be_controlled() -> None:
    """The console does not connect to the server of an external feed; another server may be named."""
    with pytest.raises(BadSettings, match="control: not available: the feed is an external one"):
        connected(SERVER_URL="ws://a:1", FEED_SEQ="$.seq")

    assert "ws://b:2" == connected("--url", "ws://b:2", SERVER_URL="ws://a:1", FEED_SEQ="$.seq")[0]


def test_an_interrupt_exits_with_105(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends the console without a traceback and with the exit code of an aborted command."""

    def interrupted(work: Any) -> int:
        work.close()
        raise KeyboardInterrupt

    monkeypatch.setattr(asyncio, "run", interrupted)

    assert 105 == console.run(arguments("status"), {}, lambda *_: FakeLink())


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Return the read end and the write end of a pipe."""
    ends = os.pipe()
    yield ends
    os.close(ends[0])


async def test_a_line_is_returned_when_it_is_complete(pipe: tuple[int, int]) -> None:
    """A line is returned as soon as it is complete; the last line may lack its newline."""
    typed = StdinLines(pipe[0])
    os.write(pipe[1], b" pause \nrate")
    assert "pause" == await typed.line(5)
    os.write(pipe[1], b" 500\n\nstatus")
    assert ["rate 500", ""] == [await typed.line(5) for _ in range(2)]
    os.close(pipe[1])

    assert ["status", None] == [await typed.line(5) for _ in range(2)]


async def test_reading_a_line_can_time_out(pipe: tuple[int, int]) -> None:
    """Reading a line times out while nothing is typed, and loses no later line."""
    typed = StdinLines(pipe[0])
    with pytest.raises(TimeoutError):
        await typed.line(0.01)
    os.write(pipe[1], b"status\n")
    os.close(pipe[1])

    assert ["status", None] == [await typed.line(5) for _ in range(2)]


async def test_lines_are_read_from_a_file(tmp_path: Path) -> None:
    """Lines are read from a regular file, and invalid UTF-8 is replaced."""
    path = tmp_path / "script"
    path.write_bytes(b"pause\n\xff\n")
    with path.open("rb") as file:
        typed = StdinLines(file.fileno())

        assert ["pause", "�", None] == [await typed.line(5) for _ in range(3)]
