"""The intact run that the tests damage: several clients, sessions and segments, encoded in memory."""

from __future__ import annotations

from io import BytesIO

from services.collector.scan import Source
from tests.builders import runs as factory

SECTOR = 512
"""Unit that a disk writes atomically."""


def sessions(total: int, size: int) -> list[factory.Session]:
    """Return the sessions of a client with segments, one that was stopped and restarted, and one that crashed."""
    third = total // (3 * size) * size
    blocks = factory.blocks_of
    return [
        factory.Session("client-1", 1, 1, 0, blocks(1, total, size), size, cuts={2, 4}),
        factory.Session("client-2", 1, 2, 0, blocks(1, third, size), size, reason="shutdown", later_us=300),
        factory.Session("client-2", 2, 3, third, blocks(third + 1, total, size), size, cuts={1}, later_us=300),
        factory.Session("client-3", 1, 4, 0, blocks(1, third, size), size, reason=None, later_us=700),
        factory.Session("client-3", 2, 5, third, blocks(third + 1, total, size), size, later_us=700),
    ]


def run_files(sessions_of_run: list[factory.Session], total: int) -> factory.Files:
    """Return the ledger and the block logs of a run without losses."""
    ledger = factory.good_ledger(sessions_of_run, total)
    ledger.put(factory.end(total))
    files: factory.Files = {factory.ledger_source(): ledger.lines}
    for session in sessions_of_run:
        files.update(factory.log_files(session))
    return files


def split(data: bytes) -> tuple[list[bytes], int]:
    """Return a file's complete lines and the size of the torn tail after them, as the collector's scan does."""
    lines = BytesIO(data).readlines()
    tail = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
    return lines, len(tail)


def texts(files: factory.Files) -> dict[Source, bytes]:
    """Return the files as the bytes on disk."""
    return {source: b"".join(lines) for source, lines in files.items()}
