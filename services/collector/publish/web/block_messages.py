"""What the page shows of one block: its messages with their records, read from the block log when somebody asks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from services.collector import formatting
from services.collector.log_reader import MessageFilter, SkippedLine, messages
from services.collector.scan import find_runs, log_clients
from services.contract.blocklog import Message

MOST_MESSAGES, MOST_BYTES, MOST_PASSED = 1_000, 1024 * 1024, 3
"""A block may hold a hundred thousand messages; nobody reads that many in a browser."""

_NUMBER = re.compile(r"[1-9][0-9]{0,15}")


class Reply(NamedTuple):
    """A status of HTTP and a JSON object: ``note`` and ``messages``, or ``error``."""

    status: int
    text: bytes


def answer(volumes: Path, query: Mapping[str, str]) -> Reply:
    """Return a block as the page shows it: the texts of seq, time, latency, transit and record of each message.

    Args:
        volumes: the volumes folder.
        query: ``run``, ``client``, ``session`` and ``block``.
    """
    run, client = query.get("run", ""), query.get("client", "")
    session, number = (query.get(name, "") for name in ("session", "block"))
    if not (_NUMBER.fullmatch(session) and _NUMBER.fullmatch(number)):
        return _error(400, "session and block are numbers from 1 on")
    # Both are parts of a path: only what a folder is called is taken for one.
    if run not in find_runs(volumes) or client not in log_clients(volumes, run):
        return _error(404, f"there is no log of {client!r} in run {run!r}")
    passed: list[SkippedLine] = []
    wanted = MessageFilter(clients=(client,), session=int(session), block=int(number))
    found = messages(volumes, run, wanted, passed.append)
    rows, is_cut = _rows(logged.message for logged in found)
    if not rows:
        left = "".join(f"; {one.file}:{one.line}: {one.detail}" for one in passed[:MOST_PASSED])
        return _error(404, f"the log of {client} holds no block {number} of session {session}{left}")
    note = f"{formatting.several(len(rows), 'message')}, as the log has them, in the order in which they came"
    return Reply(200, msgspec.json.encode({"note": f"the first {note}" if is_cut else note, "messages": rows}))


def _error(status: int, text: str) -> Reply:
    return Reply(status, msgspec.json.encode({"error": text}))


def _rows(messages: Iterable[Message]) -> tuple[list[list[str]], bool]:
    """Return the rows, and whether there would be more."""
    rows, room = list[list[str]](), MOST_BYTES
    for message in messages:
        if len(rows) == MOST_MESSAGES or room <= 0:
            return rows, True
        rows.append(_row(message))
        room -= len(rows[-1][-1])
    return rows, False


def _row(message: Message) -> list[str]:
    return [
        "-" if message.seq is None else f"{message.seq:,}",
        message.received_at[11:].rstrip("Z"),
        formatting.duration(message.latency_ns),
        formatting.duration(message.transit_ns),
        bytes(message.record).decode(errors="replace"),
    ]
