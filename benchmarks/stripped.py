"""Runs a service without parts of its evidence: ``python -m benchmarks.stripped sync,chain services.server``.

Only a benchmark does so, to measure what each part costs: the product has no such switch, and a run without one of the
parts proves nothing.
"""

from __future__ import annotations

import importlib
import runpy
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

PARTS = ("sync", "chain", "receipts", "ledger")
"""The parts in the order in which they are taken away: each needs those after it, and none before it."""

_NO_DIGEST = "x00000000"


class _NoHash:
    """Takes the place of the SHA-256 of a file."""

    def update(self, data: bytes) -> None:
        """Ignore the data."""

    def hexdigest(self) -> str:
        """Return a digest of nothing."""
        return "0" * 64

    def copy(self) -> _NoHash:
        """Return itself: it has no state."""
        return self


def _without_sync(_: str) -> None:
    """Lines are written, and not forced to the disk."""
    _replace("services.runtime.durable_file", "LineFile", "sync", lambda _: None)


def _without_chain(service: str) -> None:
    """Lines have no checksum of their own, none of the line before, and files no digest."""

    def seal(content: bytes | bytearray, prev: str) -> tuple[bytes, str]:
        return b"".join((b'{"crc":"x00000000","prev":"x00000000",', memoryview(content)[1:], b"\n")), prev

    _replace("services.contract.jsonl", "", "seal", seal)
    if service == "services.client":
        _replace("services.client.block_log", "", "seal", seal)
        _replace("services.client.block_log", "hashlib", "sha256", _NoHash)


def _without_receipts(service: str) -> None:
    """The client computes no digest of a block and sends no receipt, so the server neither checks nor confirms one."""
    if service != "services.client":
        return

    async def ignore(_subscriber: object, session: Any) -> None:
        receipts: AsyncIterator[object] = session.receipts()
        async for _ in receipts:
            pass

    _replace("services.client.subscriber", "Subscriber", "_send_receipts", ignore)
    _replace("services.client.block_encoder", "", "records_digest", lambda _: _NO_DIGEST)


def _without_ledger(service: str) -> None:
    """The server keeps its state in memory only."""
    if service == "services.server":
        _replace("services.server.runs.ledger_writer", "LedgerWriter", "_write", lambda *_: True)


_WITHOUT: dict[str, Callable[[str], None]] = {
    "sync": _without_sync,
    "chain": _without_chain,
    "receipts": _without_receipts,
    "ledger": _without_ledger,
}


def _replace(module: str, owner: str, name: str, value: object) -> None:
    """Replace an attribute of a module, or of something in it; it must exist, or the benchmark measures nothing."""
    place = importlib.import_module(module)
    for part in filter(None, owner.split(".")):
        place = getattr(place, part)
    getattr(place, name)
    setattr(place, name, value)


def main() -> None:
    """Take the parts away, and run the service."""
    parts, service = sys.argv[1:3]
    for part in filter(None, parts.split(",")):
        _WITHOUT[part](service)
    sys.argv = [service]
    runpy.run_module(service, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
