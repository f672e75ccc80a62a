"""Tests of the operator's console."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.contract import wire
from services.runtime.control import console, token
from services.runtime.control.commands import ControlRefused, ServerUnreachable
from services.runtime.control.console import Console, ConsoleOutput
from services.runtime.errors import BadSettings

RUN, NEXT = "20261122T073000Z", "20261122T073500Z"
PAUSED = f"{RUN} paused: 7 of 100 due; 1 client: client-1\n"
RUNNING = f"{RUN} running at 200 records/s: 7 of 100 due; 1 client: client-1\n"


def standing(**changed: Any) -> wire.Controlled:
    """Return how a run stands."""
    values = {"run": RUN, "state": "running", "rate": 200, "head": 7, "clients": ["client-1"]}
    return wire.Controlled(**{**values, **changed})


def welcome(run: str = RUN) -> wire.Welcome:
    """Return what a server says of a run of 100 records."""
    return wire.Welcome(
        run=run, feed="f", state="running", total=100, rate=200, start_us=None, boot="b", now_us=1
    )  # fmt: skip


class FakeLine:
    """A line to a server that pauses, resumes, and knows no client but client-1."""

    def __init__(self) -> None:
        self.welcome: wire.Welcome | None = None
        self.unasked: Callable[[wire.FromServer], None] = lambda _: None
        self.wishes: list[wire.Control] = []
        self.stands = standing()
        self.gone = self.closed = False
        self.before: wire.FromServer | None = None

    async def ask(self, wish: wire.Control) -> wire.Controlled:
        """Grant a wish."""
        self.wishes.append(wish)
        self.welcome = welcome()
        if self.before is not None:
            self.unasked(self.before)
        if self.gone:
            raise ServerUnreachable("ws://x: nobody listens there")
        if wish.client == "client-9":
            raise ControlRefused("no_client", "nobody is client-9")
        if wish.client == "client-0":
            raise ControlRefused("unauthorized", "control is for the holder of the token")
        if wish.do in ("pause", "resume"):
            running = wish.do == "resume"
            self.stands = standing(state="running" if running else "paused", rate=200 if running else None)
        return self.stands

    async def close(self) -> None:
        """Hang up."""
        self.closed = True


class Hands:
    """Stands for somebody who types: lines, and between them moments in which something else happens."""

    def __init__(self, *typed: str | Callable[[], object]) -> None:
        self._typed = list(typed)

    async def line(self, _seconds: float | None = None) -> str | None:
        """Return the next line, None at the end."""
        if not self._typed:
            return None
        said = self._typed.pop(0)
        if isinstance(said, str):
            return said
        said()
        raise TimeoutError


async def piped(line: FakeLine, *lines: str, as_json: bool = False) -> int:
    """Pipe lines into a console; return the exit code."""
    hands: Any = Hands(*lines)
    return await Console(line, ConsoleOutput("", as_json=as_json)).work([], hands)


async def by_hand(line: FakeLine, *typed: str | Callable[[], object]) -> int:
    """Type at a console; return the exit code."""
    hands: Any = Hands(*typed)
    return await Console(line, ConsoleOutput("> ", as_json=False)).work([], hands)


async def test_a_wish_is_answered_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    """Wishes given as arguments are said one after the other, each with how the run stands then."""
    line = FakeLine()

    assert 0 == await Console(line, ConsoleOutput("", as_json=False)).work(["pause", "status"], None)
    assert (PAUSED * 2, "") == capsys.readouterr()
    assert [("pause", "console"), ("status", "console")] == [(wish.do, wish.via) for wish in line.wishes]
    assert line.closed


async def test_a_wish_is_answered_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """For a program the server's frames are printed as they are, errors among them."""
    assert 104 == await piped(FakeLine(), "status", "drop client-9", as_json=True)
    said = [json.loads(text) for text in capsys.readouterr().out.splitlines()]

    assert [("controlled", 7), ("error", None)] == [(one["type"], one.get("head")) for one in said]
    assert ("no_client", "nobody is client-9") == (said[1]["code"], said[1]["detail"])


@pytest.mark.parametrize(
    ("wish", "gone", "code", "why"),
    [
        ("drop client-9", False, 104, "not granted: nobody is client-9"),
        ("drop client-0", False, 104, "not granted: control is for the holder of the token (the token is in ledger/"),
        ("puase", False, 104, "'puase' is no command; there are:"),
        ("status", True, 105, "ws://x: nobody listens there"),
    ],
)
async def test_what_is_not_granted_ends_a_script(
    wish: str, gone: bool, code: int, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first wish that is not granted is told on standard error, and what follows it is not said."""
    line = FakeLine()
    line.gone = gone

    assert code == await piped(line, wish, "pause")
    assert capsys.readouterr().err.startswith(f"error: {why}")
    assert "pause" not in [said.do for said in line.wishes]


async def test_a_script_may_leave_and_ask_for_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Help is printed, empty lines are passed over, and nothing is done after quit."""
    line = FakeLine()

    assert 0 == await piped(line, "help", "", "quit", "pause")
    assert console.HELP + "\n" == capsys.readouterr().out
    assert [] == line.wishes


async def test_a_slip_at_the_prompt_is_forgiven(capsys: pytest.CaptureFixture[str]) -> None:
    """By hand one goes on after what was not granted; at the beginning one is told what there is, and how it stands."""
    line = FakeLine()

    assert 0 == await by_hand(line, "drop client-9", "pause", "quit")
    out, err = capsys.readouterr()
    assert f"{console.HELP}\n{RUNNING}> > {PAUSED}> " == out
    assert "error: not granted: nobody is client-9\n" == err


async def test_what_others_do_is_told_at_the_prompt(capsys: pytest.CaptureFixture[str]) -> None:
    """A change that somebody else made, and the end of the run, take the prompt's place; what stays is not repeated."""
    line = FakeLine()

    def end() -> None:
        line.stands = standing(state="ended", head=100)

    await by_hand(line, lambda: None, end, lambda: None)

    ended = f"\r\x1b[K{RUN} ended: 100 of 100 due; 1 client: client-1\n> "
    assert f"{console.HELP}\n{RUNNING}> {ended}" == capsys.readouterr().out


async def test_a_server_that_goes_and_comes_back_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    """While it is away that is said once; when it is back, how the run stands."""
    line = FakeLine()

    def go(away: bool) -> Callable[[], None]:
        return lambda: setattr(line, "gone", away)

    await by_hand(line, go(True), go(True), go(False), go(False))

    away, back = "\r\x1b[Kws://x: nobody listens there\n> ", f"\r\x1b[K{RUNNING}> "
    assert f"{console.HELP}\n{RUNNING}> {away}{back}" == capsys.readouterr().out


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (welcome(NEXT), f"{NEXT} is the next run: 100 records"),
        (wire.Bye(reason="draining", retry_ms=500), "the server says goodbye: draining"),
        (wire.Idle(next=1, now_us=1), None),
    ],
)
async def test_what_the_server_says_unasked_is_told(
    frame: wire.FromServer, words: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """The next run and the server's goodbye are told; what says nothing about the run is not."""
    line = FakeLine()
    line.before = frame
    await piped(line, "status")

    assert (f"{words}\n" if words else "") + RUNNING == capsys.readouterr().out


def arguments(*given: str) -> argparse.Namespace:
    """Return what was given on a command line."""
    parser = argparse.ArgumentParser()
    console.add_arguments(parser)
    return parser.parse_args(given)


def connected(*given: str, **environment: str) -> tuple[str, str]:
    """Return the address and the token with which a line is made."""
    made: list[tuple[str, str]] = []

    def connect(url: str, shown: str, _seconds: float) -> FakeLine:
        made.append((url, shown))
        return FakeLine()

    assert 0 == console.run(arguments(*given, "status"), environment, connect)
    return made[0]


def test_where_the_server_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address given counts before the setting, and without either it is this machine's."""
    monkeypatch.chdir(tmp_path)

    assert "ws://127.0.0.1:8765" == connected(SERVER_URL="")[0]
    assert "ws://127.0.0.1:9000" == connected(PORT="9000")[0]
    assert "ws://a:1" == connected(SERVER_URL="ws://a:1")[0]
    assert "ws://b:2" == connected("--url", "ws://b:2", SERVER_URL="ws://a:1")[0]


def test_where_the_token_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file given counts before the setting, that before the file of the volumes; without any there is none."""
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
def test_what_cannot_be_used_is_said(given: tuple[str, ...], why: str) -> None:
    """An argument that is no address, or no file, is named with what was expected."""
    with pytest.raises(BadSettings) as found:
        connected(*given)

    assert (why,) == found.value.problems


def test_a_feed_that_is_not_ours_is_not_controlled() -> None:
    """A foreign server is not even connected to; one of ours may be named beside it."""
    with pytest.raises(BadSettings, match="control: not available: the feed is not ours"):
        connected(SERVER_URL="ws://a:1", FEED_SEQ="$.seq")

    assert "ws://b:2" == connected("--url", "ws://b:2", SERVER_URL="ws://a:1", FEED_SEQ="$.seq")[0]


def test_an_interrupt_aborts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C leaves without a traceback, and not as if all had been granted."""

    def interrupted(work: Any) -> int:
        work.close()
        raise KeyboardInterrupt

    monkeypatch.setattr(asyncio, "run", interrupted)

    assert 105 == console.run(arguments("status"), {}, lambda *_: FakeLine())
