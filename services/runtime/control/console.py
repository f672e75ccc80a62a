"""The operator's console: wishes typed by hand, given as arguments or piped, and what the server says back in words.

It subscribes to nothing, so the books do not know of it, but for the wishes themselves.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from services.contract import wire
from services.runtime.control import token
from services.runtime.control.commands import (
    COMMANDS,
    NOT_OURS,
    ControlRefused,
    NotACommand,
    ServerUnreachable,
    parse,
    standing,
)
from services.runtime.errors import EXIT_ABORTED, EXIT_BAD_SETTINGS, BadSettings
from services.runtime.settings import BY_NAME, is_foreign, read


class StdinLines:
    """The lines of a descriptor: a terminal, a pipe or a file."""

    def __init__(self, descriptor: int) -> None:
        """Begin to read; an event loop is running."""
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        # A thread, since no event loop waits for a plain file; and one that nobody waits for at the end, since it may
        # be waiting for a line that never comes. It reads the descriptor itself: a stream would stay locked.
        threading.Thread(target=self._read, args=(descriptor,), daemon=True).start()

    async def line(self, seconds: float | None = None) -> str | None:
        """Return the next line without its end and without white space around it, None when there is no more.

        Raises:
            TimeoutError: none came within so many seconds.
        """
        async with asyncio.timeout(seconds):
            return await self._lines.get()

    def _read(self, descriptor: int) -> None:
        rest = b""
        with suppress(OSError):
            while piece := os.read(descriptor, 4096):
                *lines, rest = (rest + piece).split(b"\n")
                self._give(*lines)
        self._give(*([rest] if rest else []))
        self._give(None)

    def _give(self, *lines: bytes | None) -> None:
        # The loop may be closed by now, and nobody listens.
        with suppress(RuntimeError):
            for line in lines:
                text = line if line is None else line.decode(errors="replace").strip()
                self._loop.call_soon_threadsafe(self._lines.put_nowait, text)


ANSWER_SECONDS = 5.0
LOOK_SECONDS = 1.0
"""How often the run is looked at while nothing is typed, for what others do to it, and for its end."""

PROMPT = "> "
VIA = "console"
EXITS = (
    "exit codes: 0 all that was wished is granted, 104 a wish is not (a slip, nobody of that name, not now, no token),"
    " 105 the server cannot be reached; the first wish that is not granted ends what was given or piped"
)
HELP = "\n".join([*(f"  {name:<13}{meaning}" for name, meaning in COMMANDS.items()), "  quit         leave"])
WHERE_IT_IS = (
    " (the token is in ledger/control.token of the server's volumes; in containers the collector's has it:"
    " docker compose exec collector python -m services.collector control)"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the console's arguments to a command's parser."""
    parser.add_argument("wishes", metavar="WISH", nargs="*", help=f"{', '.join(COMMANDS)}; none: they are typed")
    parser.add_argument("--url", help="the server; else $SERVER_URL, else the one on this machine")
    parser.add_argument(
        "--token-file", metavar="FILE", type=Path, help="else $CONTROL_TOKEN, else $VOLUMES/ledger/control.token"
    )
    parser.add_argument("--json", action="store_true", help="print the server's frames, one a line, instead of words")


def run(
    chosen: argparse.Namespace, environment: Mapping[str, str], connect: Callable[[str, str, float], ControlLink]
) -> int:
    """Do what the arguments say; return the exit code.

    Args:
        chosen: the arguments.
        environment: where settings come from.
        connect: makes a line to a server, of its address, a token and how long an answer may take.

    Raises:
        BadSettings: an argument or a setting cannot be used.
    """
    line = connect(_url(chosen.url, environment), _token(chosen.token_file, environment), ANSWER_SECONDS)
    screen = ConsoleOutput(PROMPT if sys.stdin.isatty() and not chosen.wishes else "", as_json=chosen.json)

    async def work() -> int:
        typed = None if chosen.wishes else StdinLines(sys.stdin.fileno())
        return await Console(line, screen).work(chosen.wishes, typed)

    try:
        return asyncio.run(work())
    except KeyboardInterrupt:
        return EXIT_ABORTED


def _url(given: str | None, environment: Mapping[str, str]) -> str:
    if given is None:
        if is_foreign(environment):
            raise BadSettings([f"control: {NOT_OURS}; --url names a server that is"])
        here = f"ws://127.0.0.1:{read(environment, ['PORT'])['port']}"
        return str(read({"SERVER_URL": here, **_set(environment)}, ["SERVER_URL"])["server_url"])
    try:
        return str(BY_NAME["SERVER_URL"].read(given))
    except ValueError as expected:
        raise BadSettings([f"--url {given!r}: expected {expected}"]) from None


def _token(given: Path | None, environment: Mapping[str, str]) -> str:
    if given is not None:
        try:
            return token.read(given)
        except (OSError, ValueError) as problem:
            raise BadSettings([f"--token-file {given}: {getattr(problem, 'strerror', None) or problem}"]) from problem
    known = _set(environment)
    try:
        return known.get("CONTROL_TOKEN") or token.read(Path(known.get("VOLUMES", "volumes"), "ledger", token.NAME))
    except (OSError, ValueError):
        # On loopback none is needed; from elsewhere the server says that one is.
        return ""


def _set(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: text.strip() for name, text in environment.items() if text.strip()}


class ControlLink(Protocol):
    """A line to the server: `services.runtime.control.client.ControlLink`."""

    welcome: wire.Welcome | None
    unasked: Callable[[wire.FromServer], None]

    async def ask(self, wish: wire.Control) -> wire.Controlled:
        """Say a wish; return how the run stands then."""

    async def close(self) -> None:
        """Hang up."""


class ConsoleOutput:
    """Where the console speaks: words, or with ``as_json`` the frames; behind a prompt when somebody is there."""

    def __init__(self, prompt: str, *, as_json: bool) -> None:
        """Take the prompt, empty for none."""
        self.prompt, self.as_json = prompt, as_json
        self._asking = False

    def ask(self) -> None:
        """Show the prompt."""
        self._asking = bool(self.prompt)
        print(self.prompt, end="", flush=True)

    def heard(self) -> None:
        """Note that a line was typed: the prompt is used up."""
        self._asking = False

    def frame(self, frame: wire.Frame, words: str) -> None:
        """Show a frame of the server."""
        self.say(wire.encode(frame).decode() if self.as_json else words)

    def say(self, text: str) -> None:
        """Show a text; what comes while somebody is asked takes the prompt's place, which moves below."""
        # Back to the beginning of the line, and erase it.
        print(f"\r\x1b[K{text}\n{self.prompt}" if self._asking else f"{text}\n", end="", flush=True)

    def fault(self, text: str) -> None:
        """Tell what is wrong, apart from what is said."""
        if self._asking:
            self.say(text)
        else:
            print(f"error: {text}", file=sys.stderr, flush=True)


class Console:
    """Says wishes over a line, and shows what comes back."""

    def __init__(self, line: ControlLink, screen: ConsoleOutput) -> None:
        self._line, self._screen = line, screen
        self._stood: wire.Controlled | None = None
        self._gone = False
        line.unasked = self._unasked

    async def work(self, wishes: list[str], typed: StdinLines | None) -> int:
        """Say what is given, and what is typed until the end; return the exit code."""
        try:
            if typed is None:
                return await self._do(" ".join(wishes))
            return await self._by_hand(typed) if self._screen.prompt else await self._piped(typed)
        finally:
            await self._line.close()

    async def _piped(self, typed: StdinLines) -> int:
        while (text := await typed.line()) not in (None, "quit"):
            if code := await self._do(text or ""):
                return code
        return 0

    async def _by_hand(self, typed: StdinLines) -> int:
        self._screen.say(HELP)
        await self._look()
        code = 0
        while True:
            self._screen.ask()
            text = await self._next(typed)
            if text in (None, "quit"):
                return code
            code = await self._do(text or "")

    async def _next(self, typed: StdinLines) -> str | None:
        while True:
            try:
                text = await typed.line(LOOK_SECONDS)
            except TimeoutError:
                await self._look()
            else:
                self._screen.heard()
                return text

    async def _do(self, text: str) -> int:
        if text == "help":
            self._screen.say(HELP)
            return 0
        try:
            for wish in parse([text], VIA):
                self._granted(await self._line.ask(wish))
        except NotACommand as slip:
            self._screen.fault(str(slip))
        except ControlRefused as declined:
            self._declined(declined)
        except ServerUnreachable as problem:
            self._screen.fault(str(problem))
            return EXIT_ABORTED
        else:
            return 0
        return EXIT_BAD_SETTINGS

    def _declined(self, declined: ControlRefused) -> None:
        if self._screen.as_json:
            self._screen.frame(wire.Error(code=declined.code, detail=str(declined)), "")
        else:
            hint = WHERE_IT_IS if declined.code == "unauthorized" else ""
            self._screen.fault(f"not granted: {declined}{hint}")

    def _granted(self, said: wire.Controlled) -> None:
        self._stood, self._gone = said, False
        total = self._line.welcome.total if self._line.welcome is not None else said.head
        self._screen.frame(said, standing(said, total))

    async def _look(self) -> None:
        """Look at the run; show it when others have changed it, or when it is over."""
        try:
            said = await self._line.ask(wire.Control(do="status", via=VIA))
        except (ControlRefused, ServerUnreachable) as problem:
            if not self._gone:
                self._screen.fault(str(problem))
            self._gone = True
            return
        known = self._stood
        if self._gone or known is None or (known.run, known.state, known.rate) != (said.run, said.state, said.rate):
            self._granted(said)

    def _unasked(self, frame: wire.FromServer) -> None:
        match frame:
            case wire.Welcome():
                self._screen.frame(frame, f"{frame.run} is the next run: {frame.total:,} records")
            case wire.Bye():
                self._screen.frame(frame, f"the server says goodbye: {frame.reason}")
