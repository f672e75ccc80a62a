"""``/messages``: the messages of one block with their records, read from the block log on request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from services.collector import formatting
from services.collector.log_reader import MessageFilter, SkippedLine, messages
from services.collector.scan import find_runs, log_clients
from services.contract.blocklog import Message

_NUMBER = re.compile(r"[1-9][0-9]{0,15}")


@dataclass(frozen=True)
class ReplyLimits:
    """Bounds of a reply. A block may hold a hundred thousand messages, more than can be read in a browser.

    Attributes:
        messages: number of messages.
        record_bytes: a reply ends with the message at which its records exceed this many characters.
        skipped_lines: damaged lines that an error names.
    """

    messages: int = 1_000
    record_bytes: int = 1024 * 1024
    skipped_lines: int = 3


class BlockReply(NamedTuple):
    """An HTTP status and a JSON object: ``note`` and ``messages``, or ``error``."""

    status: int
    body: bytes


def block_reply(volumes: Path, query: Mapping[str, str], limits: ReplyLimits = ReplyLimits()) -> BlockReply:
    """Return a block as the page shows it: the texts of seq, time, latency, transit and record of each message.

    Args:
        volumes: the volumes folder.
        query: ``run``, ``client``, ``session`` and ``block``.
        limits: the bounds of the reply.
    """
    run, client = query.get("run", ""), query.get("client", "")
    session, number = (query.get(name, "") for name in ("session", "block"))
    if not (_NUMBER.fullmatch(session) and _NUMBER.fullmatch(number)):
        return _error(400, "session and block are numbers from 1 on")
    # Both become parts of a path, so only names of folders that exist are accepted.
    if run not in find_runs(volumes) or client not in log_clients(volumes, run):
        return _error(404, f"there is no log of {client!r} in run {run!r}")
    skipped: list[SkippedLine] = []
    block = MessageFilter(clients=(client,), session=int(session), block=int(number))
    logged = messages(volumes, run, block, skipped.append)
    rows, is_cut = _rows((item.message for item in logged), limits)
    if not rows:
        damaged = "".join(f"; {line.file}:{line.line}: {line.detail}" for line in skipped[: limits.skipped_lines])
        return _error(404, f"the log of {client} holds no block {number} of session {session}{damaged}")
    note = f"{formatting.several(len(rows), 'message')}, as logged, in the order of arrival"
    return BlockReply(200, msgspec.json.encode({"note": f"the first {note}" if is_cut else note, "messages": rows}))


def _error(status: int, text: str) -> BlockReply:
    return BlockReply(status, msgspec.json.encode({"error": text}))


def _rows(messages: Iterable[Message], limits: ReplyLimits) -> tuple[list[list[str]], bool]:
    """Return the rows, and whether more messages were left out."""
    rows, room = list[list[str]](), limits.record_bytes
    for message in messages:
        if len(rows) == limits.messages or room <= 0:
            return rows, True
        rows.append(_row(message))
        # The record is the only text of a row that may be long.
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
