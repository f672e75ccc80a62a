"""What must hold after every fault, read from the volumes alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime

from services.contract.ledger import Receipt
from services.contract.ranges import Ranges
from services.contract.summary import Summary
from services.server.book import RunBook
from services.server.generate import Feed
from tests.integration.volumes import Volumes, record_of
from tests.poll import poll_until

LATE = "the server did not keep its schedule"
"""The one thing that may be held against a run whose server was away: it is true."""


def head_at(volumes: Volumes, total: int, now_s: float) -> int:
    """Return the last seq that was due at a time, as the ledger of the newest run has it."""
    book = RunBook(total)
    for entry in volumes.ledger():
        book.apply(entry)
    return book.schedule.head(int(now_s * 1_000_000))


def recovery_seconds(volumes: Volumes, total: int, names: Sequence[str], deadline: float) -> dict[str, float]:
    """Wait until each client has receipted a record that was not due when this was called; return how long it took."""
    healed = time.time()
    head = head_at(volumes, total, healed)
    at: dict[str, float] = {}

    def all_fresh() -> bool:
        for entry in volumes.ledger():
            if isinstance(entry, Receipt) and entry.last > head and entry.client in names:
                at.setdefault(entry.client, datetime.fromisoformat(entry.at).timestamp())
        return len(at) == len(names)

    try:
        poll_until(all_fresh, f"{', '.join(names)} have receipted beyond {head}", deadline, 0.2)
    except AssertionError as problem:
        problem.add_note(f"only {sorted(at)} have")
        raise
    return {name: round(moment - healed, 3) for name, moment in at.items()}


def assert_delivered(volumes: Volumes, name: str, expected: list[bytes], run: str | None = None) -> None:
    """Hold a client's log to the feed: every record, each once, in order, byte for byte."""
    messages = volumes.messages(name, run)
    assert list(range(1, len(expected) + 1)) == [message.seq for message in messages], name
    assert expected == [record_of(message) for message in messages], name


def assert_receipted_is_on_disk(volumes: Volumes, run: str | None = None) -> None:
    """Hold every receipt to the logs."""
    for name in {entry.client for entry in volumes.ledger(run) if isinstance(entry, Receipt)}:
        held = volumes.held(name, run)
        for entry in volumes.ledger(run):
            if isinstance(entry, Receipt) and entry.client == name:
                said = Ranges([(entry.first, entry.last)]) - Ranges(entry.missing)
                assert not said - held, (name, entry)
                assert entry.match, (name, entry)


def assert_nothing_missing(found: Summary) -> None:
    """Hold a summary to a run in which faults were injected and nothing was lost."""
    sums = found.totals
    lacking = (sums.missing, sums.duplicates, sums.reordered, sums.corrupt, sums.residual)
    assert (0, 0, 0, 0, 0) == lacking, found.reasons
    assert [] == [fault for fault in found.faults if fault.kind != "torn"]
    assert "PASS" == found.verdict or all(LATE in reason for reason in found.reasons), found.reasons


def assert_all_held(volumes: Volumes, total: int, names: Sequence[str]) -> Summary:
    """Hold the newest run to everything at once: both sides of the books, disk and summary."""
    found = poll_until(volumes.verdict, "the verdict is on disk", 30)
    assert found is not None
    assert_nothing_missing(found)
    expected = Feed("person", "en_US", 42).records(1, total)
    for name in names:
        assert_delivered(volumes, name, expected)
    for client in found.clients:
        assert_delivered(volumes, client.client, expected[: client.received])
        assert client.expected == client.received, client
    assert_receipted_is_on_disk(volumes)
    return found
