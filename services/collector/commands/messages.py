"""Shows messages one to a line, out of good logs and damaged ones: for ``jq``, ``grep``, and eyes."""

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
from services.contract.blocklog import ExternalMessage
from services.contract.summary import EXIT_CODES
from services.runtime.cli import Commands, suggest
from services.runtime.errors import BadSettings

EXITS = (
    "exit codes: 0 every line was read, 99 a damaged line was passed over (stderr says which), 104 bad configuration"
)
TOLD = 20
"""Of each file so many lines that were passed over are told, and then how many more."""

_SPAN = re.compile(r"(\d*)-(\d*)|(\d+)")


class MessageLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message as it is shown: the place where it was logged, then the message as it stands there."""

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
    """Add the command."""
    parser = commands.add(
        "messages",
        "show logged messages, one to a line",
        run,
        {
            "messages volumes --text --slower-than 50ms": "the late ones, in columns",
            "messages volumes --client client-3 --block 7": "what is in one block, as JSON lines",
            "messages volumes --seq 4102-4115 | jq .record.name": "the same records as every client got them",
        },
        EXITS,
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="the folder that holds logs/")
    parser.add_argument("--run", help="of this run; without it of the newest")
    parser.add_argument("--client", metavar="NAME", action="append", default=[], help="of this one; may be repeated")
    parser.add_argument("--session", metavar="N", type=int, help="of this session of a client")
    parser.add_argument("--block", metavar="N", type=int, help="of the blocks with this number")
    parser.add_argument(
        "--seq", metavar="A-B", type=_span, default=(None, None), help="of these seqs: 10-20, 10-, -20, 10"
    )
    parser.add_argument(
        "--slower-than", metavar="TIME", type=_duration, help="with a longer latency from the due time: 50ms, 1.5s"
    )
    parser.add_argument("--limit", metavar="N", type=_count, help="no more than so many")
    parser.add_argument("--text", action="store_true", help="columns for eyes; without it JSON lines")


def run(chosen: argparse.Namespace, _environment: Mapping[str, str]) -> int:
    """Show the messages that were chosen; return the exit code."""
    runs = runs_of(chosen.folder, chosen.run)
    if not runs:
        raise VolumesNotFound(f"{chosen.folder}: no run")
    name = runs[-1]
    clients = _clients(chosen.folder, name, chosen.client)
    first, last = chosen.seq
    wanted = MessageFilter(tuple(clients), chosen.session, chosen.block, first, last, chosen.slower_than)
    told = _Told(sys.stderr)
    found = islice(messages(chosen.folder, name, wanted, told.tell), chosen.limit)
    lines = _columns(found, clients) if chosen.text else map(_json, found)
    shown = _show(lines, sys.stdout.buffer)
    told.rest()
    if not shown and not told.count:
        print(f"run {name}: no such message", file=sys.stderr)
    return EXIT_CODES["FAIL" if told.count else "PASS"]


class _Told:
    """Tells what was passed over, and counts it."""

    def __init__(self, stream: IO[str]) -> None:
        self.count = 0
        self._stream, self._file, self._more = stream, "", 0

    def tell(self, passed: SkippedLine) -> None:
        self.count += 1
        if passed.file != self._file:
            self.rest()
            self._file, self._more = passed.file, -TOLD
        self._more += 1
        if self._more <= 0:
            where = f"{passed.file}:{passed.line}" if passed.line else passed.file
            print(f"{where}: passed over: {passed.detail}", file=self._stream)

    def rest(self) -> None:
        if self._more > 0:
            print(f"{self._file}: and {formatting.several(self._more, 'more line')}", file=self._stream)
        self._more = 0


def _show(lines: Iterable[bytes], stream: IO[bytes]) -> int:
    """Write the lines; return how many. Whoever reads them may go away at any time: then there is no more to do."""
    count = 0
    try:
        for line in lines:
            count += 1
            stream.write(line)
        stream.flush()
    except BrokenPipeError:
        # Or Python would complain at its end that it cannot write what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return count


def _json(logged: LoggedMessage) -> bytes:
    return msgspec.json.encode(_line(logged)) + b"\n"


def _line(logged: LoggedMessage) -> MessageLine:
    one = logged.message
    place = logged.client, logged.session, logged.block
    if isinstance(one, ExternalMessage):
        return MessageLine(*place, one.seq, one.received_at, one.latency_ns, None, one.record, one.key, one.form)
    return MessageLine(*place, one.seq, one.received_at, one.latency_ns, one.transit_ns, one.record)


def _columns(found: Iterable[LoggedMessage], clients: Iterable[str]) -> Iterator[bytes]:
    width = max([len("client"), *map(len, clients)])
    screen = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    heads = f"{'client':<{width}}  {'block':>9}  {'seq':>9}  {'received':<15}  {'latency':>9}  {'transit':>9}  record"
    for logged in found:
        if heads:
            yield heads.encode() + b"\n"
            heads = ""
        one = _line(logged)
        seq = " ".join(str(part) for part in (one.key, one.seq) if part is not None) or "-"
        text = (
            f"{logged.client:<{width}}  {f'{logged.session}/{logged.block}':>9}  {seq:>9}  "
            f"{one.received_at[11:26]}  {formatting.duration(one.latency_ns):>9}  "
            f"{formatting.duration(one.transit_ns):>9}  "
            f"{bytes(one.record).decode(errors='replace')}"
        )
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
    return list(dict.fromkeys(names)) or known


def _span(text: str) -> tuple[int | None, int | None]:
    found = _SPAN.fullmatch(text.replace(",", ""))
    if found is None or text == "-":
        raise argparse.ArgumentTypeError(f"expected seqs such as 10-20, 10-, -20 or 10, found {text!r}")
    if found[3]:
        return int(found[3]), int(found[3])
    return int(found[1]) if found[1] else None, int(found[2]) if found[2] else None


def _duration(text: str) -> int:
    try:
        return nanoseconds(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a number, found {text!r}")
    return int(text)
