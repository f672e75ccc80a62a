"""The operator's console: sends the commands that are typed, piped or given as arguments, and prints the replies."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from services.contract import wire
from services.runtime.access.tls import ClientTls
from services.runtime.control import token
from services.runtime.control.commands import (
    COMMANDS,
    NOT_CONTROLLABLE,
    ControlRefused,
    NotACommand,
    ServerUnreachable,
    parse,
    status_text,
)
from services.runtime.errors import EXIT_ABORTED, EXIT_BAD_SETTINGS, BadSettings
from services.runtime.output import printable
from services.runtime.settings import BY_NAME, is_external_feed, read

REPLY_SECONDS = 5.0
POLL_SECONDS = 1.0
"""Interval at which the interactive console asks for the state of the run, to show changes by others and its end."""

PROMPT = "> "
VIA = "console"
EXITS = (
    "exit codes: 0 all requests were accepted, 104 one was refused (a typing error, an unknown client, a run in another"
    " state, no token), 105 the server cannot be reached; the first request that fails ends the arguments or the piped"
    " script"
)
HELP = "\n".join([*(f"  {name:<13}{meaning}" for name, meaning in COMMANDS.items()), "  quit         leave"])
UNAUTHORIZED_HINT = (
    " (the token is in ledger/control.token of the server's volumes; in containers use the collector, which has it:"
    " docker compose exec collector python -m services.collector control)"
)


class ControlLink(Protocol):
    """The interface of `services.runtime.control.client.ControlClient` that the console uses."""

    welcome: wire.Welcome | None
    on_event: Callable[[wire.FromServer], None]

    async def request(self, request: wire.Control) -> wire.Controlled:
        """Send a control request; return the state of the run."""

    async def close(self) -> None:
        """Close the connection."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the console's arguments to a command's parser."""
    parser.add_argument("requests", metavar="REQUEST", nargs="*", help=f"{', '.join(COMMANDS)}; none: they are typed")
    parser.add_argument("--url", help="the server; else $SERVER_URL, else the one on this machine")
    parser.add_argument(
        "--token-file", metavar="FILE", type=Path, help="else $CONTROL_TOKEN, else $VOLUMES/ledger/control.token"
    )
    parser.add_argument("--json", action="store_true", help="print the server's frames, one a line, instead of words")


def run(
    chosen: argparse.Namespace,
    environment: Mapping[str, str],
    connect: Callable[[str, str, float, ClientTls], ControlLink],
) -> int:
    """Run the console with its arguments; return the exit code.

    Args:
        chosen: the arguments.
        environment: the settings.
        connect: returns a link to a server, given its address, a token, the time that a reply may take, and what
            verifies the server.

    Raises:
        BadSettings: an argument or a setting is invalid.
    """
    url, token_text = _url(chosen.url, environment), _token(chosen.token_file, environment)
    link = connect(url, token_text, REPLY_SECONDS, _tls(environment))
    output = ConsoleOutput(PROMPT if sys.stdin.isatty() and not chosen.requests else "", as_json=chosen.json)

    async def run_console() -> int:
        # Only if lines are expected: otherwise a script's standard input would be consumed.
        typed = None if chosen.requests else StdinLines(sys.stdin.fileno())
        return await Console(link, output).run(chosen.requests, typed)

    try:
        return asyncio.run(run_console())
    except KeyboardInterrupt:
        return EXIT_ABORTED


def _url(given: str | None, environment: Mapping[str, str]) -> str:
    if given is None:
        if is_external_feed(environment):
            raise BadSettings([f"control: {NOT_CONTROLLABLE}; --url names a server that can be controlled"])
        values = read(environment, ["PORT", "TLS_CERT_FILE"])
        here = f"{'wss' if values['tls_cert_file'] else 'ws'}://127.0.0.1:{values['port']}"
        return str(read({"SERVER_URL": here, **_nonempty(environment)}, ["SERVER_URL"])["server_url"])
    setting = BY_NAME["SERVER_URL"]
    try:
        return str(setting.read(given))
    except ValueError as expected:
        # Without the text if it may contain a password.
        shown = "" if re.search(setting.hidden, given) else f" {given!r}"
        raise BadSettings([f"--url{shown}: expected {expected}"]) from None


def _tls(environment: Mapping[str, str]) -> ClientTls:
    files = read(environment, ["TLS_CA_FILE", "TLS_CERT_FILE"])
    # A certificate that `python -m services.server token` makes is its own issuer.
    return ClientTls(files["tls_ca_file"] or files["tls_cert_file"])


def _token(given: Path | None, environment: Mapping[str, str]) -> str:
    if given is not None:
        try:
            return token.read(given)
        except (OSError, ValueError) as error:
            raise BadSettings([f"--token-file {given}: {getattr(error, 'strerror', None) or error}"]) from error
    known = _nonempty(environment)
    try:
        return known.get("CONTROL_TOKEN") or token.read(Path(known.get("VOLUMES", "volumes"), "ledger", token.NAME))
    except (OSError, ValueError):
        # Loopback needs no token; from elsewhere the server refuses the request and names the token.
        return ""


def _nonempty(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: text.strip() for name, text in environment.items() if text.strip()}


class StdinLines:
    """Reads lines from a terminal, a pipe or a file without blocking the event loop."""

    def __init__(self, descriptor: int) -> None:
        """Start reading; an event loop must be running."""
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        # A thread, because event loops cannot wait for regular files. A daemon thread, because it may still wait for a
        # line when the process ends. It reads the descriptor instead of `sys.stdin`, which would stay locked.
        threading.Thread(target=self._read, args=(descriptor,), daemon=True).start()

    async def line(self, seconds: float | None = None) -> str | None:
        """Return the next line, stripped; None at the end.

        Raises:
            TimeoutError: there was no line within ``seconds``.
        """
        async with asyncio.timeout(seconds):
            return await self._lines.get()

    def _read(self, descriptor: int) -> None:
        rest = b""
        with suppress(OSError):
            while piece := os.read(descriptor, 4096):
                *lines, rest = (rest + piece).split(b"\n")
                self._put(*lines)
        self._put(*([rest] if rest else []))
        self._put(None)

    def _put(self, *lines: bytes | None) -> None:
        # RuntimeError: the loop has been closed, so the lines are not needed any more.
        with suppress(RuntimeError):
            for line in lines:
                text = line if line is None else line.decode(errors="replace").strip()
                self._loop.call_soon_threadsafe(self._lines.put_nowait, text)


class ConsoleOutput:
    """Prints replies as text or, with ``as_json``, as frames; keeps the prompt below everything that is printed.

    Args:
        prompt: empty for none.
        as_json: print the server's frames.
    """

    def __init__(self, prompt: str, *, as_json: bool) -> None:
        self.prompt, self.as_json = prompt, as_json
        self._prompt_is_shown = False

    def show_prompt(self) -> None:
        """Print the prompt."""
        self._prompt_is_shown = bool(self.prompt)
        print(self.prompt, end="", flush=True)

    def line_was_typed(self) -> None:
        """Record that the operator has typed a line, which ends the line of the prompt."""
        self._prompt_is_shown = False

    def print_frame(self, frame: wire.Frame, text: str) -> None:
        """Print a frame of the server, or the text that describes it."""
        self.print(printable.json_text(wire.encode(frame).decode()) if self.as_json else text)

    def print(self, text: str) -> None:
        """Print a text; a prompt that is shown moves to the line below it."""
        # Carriage return, and erase the line.
        text = printable.lines(text)
        print(f"\r\x1b[K{text}\n{self.prompt}" if self._prompt_is_shown else f"{text}\n", end="", flush=True)

    def print_error(self, text: str) -> None:
        """Print an error: in place of a shown prompt, otherwise on standard error."""
        if self._prompt_is_shown:
            self.print(text)
        else:
            print(f"error: {printable.lines(text)}", file=sys.stderr, flush=True)


class Console:
    """Sends control requests over a link and prints the replies."""

    def __init__(self, link: ControlLink, output: ConsoleOutput) -> None:
        self._link, self._output = link, output
        self._latest: wire.Controlled | None = None
        self._is_unreachable = False
        link.on_event = self._print_event

    async def run(self, requests: list[str], typed: StdinLines | None) -> int:
        """Send the given requests or, if there are lines to read, those; return the exit code."""
        try:
            if typed is None:
                return await self._execute(" ".join(requests))
            return await self._interactive(typed) if self._output.prompt else await self._script(typed)
        finally:
            await self._link.close()

    async def _script(self, typed: StdinLines) -> int:
        while (text := await typed.line()) not in (None, "quit"):
            if code := await self._execute(text or ""):
                return code
        return 0

    async def _interactive(self, typed: StdinLines) -> int:
        self._output.print(HELP)
        await self._poll()
        code = 0
        while True:
            self._output.show_prompt()
            text = await self._next_line(typed)
            if text in (None, "quit"):
                return code
            code = await self._execute(text or "")

    async def _next_line(self, typed: StdinLines) -> str | None:
        while True:
            try:
                text = await typed.line(POLL_SECONDS)
            except TimeoutError:
                await self._poll()
            else:
                self._output.line_was_typed()
                return text

    async def _execute(self, text: str) -> int:
        if text == "help":
            self._output.print(HELP)
            return 0
        try:
            for request in parse([text], VIA):
                self._print_status(await self._link.request(request))
        except NotACommand as error:
            self._output.print_error(str(error))
        except ControlRefused as refusal:
            self._print_refusal(refusal)
        except ServerUnreachable as error:
            self._output.print_error(str(error))
            return EXIT_ABORTED
        else:
            return 0
        return EXIT_BAD_SETTINGS

    def _print_refusal(self, refusal: ControlRefused) -> None:
        if self._output.as_json:
            self._output.print_frame(wire.Error(code=refusal.code, detail=str(refusal)), "")
        else:
            hint = UNAUTHORIZED_HINT if refusal.code == "unauthorized" else ""
            self._output.print_error(f"refused: {refusal}{hint}")

    def _print_status(self, reply: wire.Controlled) -> None:
        self._latest, self._is_unreachable = reply, False
        total = self._link.welcome.total if self._link.welcome is not None else reply.head
        self._output.print_frame(reply, status_text(reply, total))

    async def _poll(self) -> None:
        """Ask for the state of the run, and print it if it has changed since it was last printed."""
        try:
            reply = await self._link.request(wire.Control(do="status", via=VIA))
        except (ControlRefused, ServerUnreachable) as error:
            if not self._is_unreachable:
                self._output.print_error(str(error))
            self._is_unreachable = True
            return
        latest = self._latest
        is_news = latest is None or (latest.run, latest.state, latest.rate) != (reply.run, reply.state, reply.rate)
        if self._is_unreachable or is_news:
            self._print_status(reply)

    def _print_event(self, frame: wire.FromServer) -> None:
        match frame:
            case wire.Welcome():
                self._output.print_frame(frame, f"{frame.run} is the next run: {frame.total:,} records")
            case wire.Bye():
                self._output.print_frame(frame, f"the server disconnects: {frame.reason}")
