"""`messages`: prints logged messages one a line, as JSON for ``jq`` or in columns, also from damaged logs."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import IO

import msgspec

from services.collector import formatting
from services.collector.commands.run_loader import VolumesNotFound, runs_of
from services.collector.log_reader import LoggedMessage, MessageFilter, SkippedLine, messages
from services.collector.results.client_result import client_order
from services.collector.scan import log_clients
from services.collector.verdict.threshold_parser import nanoseconds
from services.contract.sequence_text import seq_text
from services.contract.summary import EXIT_CODES
from services.runtime.cli import Commands, suggest
from services.runtime.errors import BadSettings
from services.runtime.output import printable

EXITS = "exit codes: 0 every line was read, 99 a damaged line was skipped (stderr says which), 104 bad configuration"
MAX_REPORTED = 20
"""Skipped lines of a file that are printed one by one; further ones are counted."""

_SPAN = re.compile(r"(\d*)-(\d*)|(\d+)")


class MessageLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message as it is printed: where it was logged, then its fields."""

    client: str
    session: int
    block: int
    seq: int | str | None
    received_at: str
    latency_ns: int | None
    transit_ns: int | None
    record: msgspec.Raw
    key: str | None = None
    form: str | None = None


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = commands.add(
        "messages",
        "show logged messages, one to a line",
        run,
        {
            "messages volumes --text --slower-than 50ms": "late messages, in columns",
            "messages volumes --client client-3 --block 7": "the messages of one block, as JSON lines",
            "messages volumes --seq 4102-4115 | jq .record.name": "the same records as each client received them",
        },
        EXITS,
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="the folder that holds logs/")
    parser.add_argument("--run", help="the run; the newest if none is named")
    parser.add_argument(
        "--client", metavar="NAME", action="append", default=[], help="only of this client; may be repeated"
    )
    parser.add_argument("--session", metavar="N", type=int, help="only of this session")
    parser.add_argument("--block", metavar="N", type=int, help="only of blocks with this number")
    parser.add_argument(
        "--seq", metavar="A-B", type=_span, default=(None, None), help="only with these seqs: 10-20, 10-, -20, 10"
    )
    parser.add_argument(
        "--slower-than", metavar="TIME", type=_duration, help="only with a longer latency from the due time: 50ms, 1.5s"
    )
    parser.add_argument("--limit", metavar="N", type=_count, help="at most N messages")
    parser.add_argument("--text", action="store_true", help="columns instead of JSON lines")


def run(chosen: argparse.Namespace, _environment: Mapping[str, str]) -> int:
    """Print the chosen messages; return the exit code."""
    runs = runs_of(chosen.folder, chosen.run)
    if not runs:
        raise VolumesNotFound(f"{chosen.folder}: no run")
    # `runs_of` returns the chosen run alone, or all runs, oldest first.
    name = runs[-1]
    clients = _clients(chosen.folder, name, chosen.client)
    first, last = chosen.seq
    wanted = MessageFilter(tuple(clients), chosen.session, chosen.block, first, last, chosen.slower_than)
    skipped = _SkippedLines(sys.stderr)
    logged = islice(messages(chosen.folder, name, wanted, skipped.report), chosen.limit)
    lines = _columns(logged, clients) if chosen.text else map(_json, logged)
    count = _write_lines(lines, sys.stdout.buffer)
    skipped.print_rest()
    if not count and not skipped.count:
        print(f"run {name}: no such message", file=sys.stderr)
    return EXIT_CODES["FAIL" if skipped.count else "PASS"]


class _SkippedLines:
    """Prints and counts the lines that were skipped."""

    def __init__(self, stream: IO[str]) -> None:
        self.count = 0
        self._stream, self._file, self._more = stream, "", 0

    def report(self, line: SkippedLine) -> None:
        self.count += 1
        if line.file != self._file:
            self.print_rest()
            self._file, self._more = line.file, -MAX_REPORTED
        self._more += 1
        if self._more <= 0:
            where = f"{line.file}:{line.line}" if line.line else line.file
            print(printable.one_line(f"{where}: skipped: {line.detail}"), file=self._stream)

    def print_rest(self) -> None:
        if self._more > 0:
            print(f"{self._file}: and {formatting.several(self._more, 'more line')}", file=self._stream)
        self._more = 0


def _write_lines(lines: Iterable[bytes], stream: IO[bytes]) -> int:
    """Write the lines; return how many were written until the end or until the reader closed the pipe."""
    count = 0
    try:
        for line in lines:
            count += 1
            stream.write(line)
        stream.flush()
    except BrokenPipeError:
        # Otherwise Python would print an error when it flushes the rest at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return count


def _json(logged: LoggedMessage) -> bytes:
    return printable.json_text(msgspec.json.encode(_line(logged)).decode()).encode() + b"\n"


def _line(logged: LoggedMessage) -> MessageLine:
    message = logged.message
    return MessageLine(
        client=logged.client,
        session=logged.session,
        block=logged.block,
        # A number from 2^53 on is printed as a text, since readers of JSON may not keep it exact.
        seq=None if message.seq is None else seq_text(message.seq),
        received_at=message.received_at,
        latency_ns=message.latency_ns,
        transit_ns=message.transit_ns,
        record=message.record,
        key=message.key,
        form=message.form,
    )


def _columns(logged_messages: Iterable[LoggedMessage], clients: Iterable[str]) -> Iterator[bytes]:
    width = max([len("client"), *map(len, clients)])
    screen = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    heads = f"{'client':<{width}}  {'block':>9}  {'seq':>9}  {'received':<15}  {'latency':>9}  {'transit':>9}  record"
    for logged in logged_messages:
        if heads:
            yield heads.encode() + b"\n"
            # Only with the first message, so that nothing is printed where none matches.
            heads = ""
        line = _line(logged)
        key = None if line.key is None else formatting.displayable(line.key)
        seq = " ".join(str(part) for part in (key, line.seq) if part is not None) or "-"
        text = (
            f"{logged.client:<{width}}  {f'{logged.session}/{logged.block}':>9}  {seq:>9}  "
            f"{line.received_at[11:26]}  {formatting.duration(line.latency_ns):>9}  "
            f"{formatting.duration(line.transit_ns):>9}  "
            f"{printable.one_line(bytes(line.record).decode(errors='replace'))}"
        )
        # Lines of a terminal are cut to its width; a pipe or a file gets the whole record.
        yield text[:screen].encode(errors="replace") + b"\n"


def _clients(volumes: Path, run: str, names: list[str]) -> list[str]:
    known = sorted(log_clients(volumes, run), key=client_order)
    problems = []
    for name in names:
        if name not in known:
            hint = suggest(name, known) or f"there are: {formatting.names(known) or 'none'}"
            problems.append(f"--client {name}: no such client in run {run}; {hint}")
    if problems:
        raise BadSettings(problems)
    # A name that is given twice must not print its messages twice.
    return list(dict.fromkeys(names)) or known


def _span(text: str) -> tuple[int | None, int | None]:
    # Commas are allowed, since reports print seqs with them.
    match = _SPAN.fullmatch(text.replace(",", ""))
    if match is None or text == "-":
        raise argparse.ArgumentTypeError(f"expected seqs such as 10-20, 10-, -20 or 10, found {text!r}")
    if match[3]:
        return int(match[3]), int(match[3])
    return int(match[1]) if match[1] else None, int(match[2]) if match[2] else None


def _duration(text: str) -> int:
    try:
        return nanoseconds(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a number, found {text!r}")
    return int(text)
