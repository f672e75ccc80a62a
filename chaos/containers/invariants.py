"""What must hold after every fault, read from the volumes alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.contract.ledger import ReceiptEntry
from services.contract.rangeset import RangeSet
from services.contract.summary import Summary
from services.server.feed.generator import FeedGenerator
from services.server.runs.run_state import RecordedRun
from tests.asserts import known
from tests.poll import poll_until
from tests.readers import Volumes, record_of

LATE = ("the server did not keep its schedule", "'s event loop was ")
"""What may be held against a run whose processes were away, or frozen again and again: it is true."""


@dataclass(frozen=True)
class Held:
    """What the logs of a run hold, counted from them alone.

    Attributes:
        checked: messages that were read.
        lost: records that a client should have and has not.
        duplicated: messages that stand in a client's logs for a second time.
        undetected: lost or duplicated ones that the summary does not count.
    """

    checked: int
    lost: int
    duplicated: int
    undetected: int


def head_at(volumes: Volumes, total: int, now_s: float) -> int:
    """Return the last seq that was due at a time, as the ledger of the newest run has it."""
    book = RecordedRun(total)
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
            if isinstance(entry, ReceiptEntry) and entry.last > head and entry.client in names:
                at.setdefault(entry.client, datetime.fromisoformat(entry.at).timestamp())
        return len(at) == len(names)

    try:
        poll_until(all_fresh, f"{', '.join(names)} have receipted beyond {head}", deadline, 0.2)
    except AssertionError as problem:
        problem.add_note(f"only {sorted(at)} have")
        raise
    return {name: round(moment - healed, 3) for name, moment in at.items()}


def held(volumes: Volumes, total: int, names: Sequence[str]) -> Held:
    """Count what the logs hold: these clients should hold everything, others what they were admitted to.

    Waits for the verdict, which says what that was.
    """
    found = poll_until(volumes.verdict, "the verdict is on disk", 30)
    assert found is not None
    expected = {client.client: known(client.expected) for client in found.clients} | dict.fromkeys(names, total)
    checked = lost = duplicated = 0
    for name, count in expected.items():
        seqs = [message.seq for message in volumes.messages(name)]
        checked += len(seqs)
        lost += count - len(set(seqs) & set(range(1, count + 1)))
        duplicated += len(seqs) - len(set(seqs))
    counted = known(found.totals.missing) + known(found.totals.duplicates)
    return Held(checked, lost, duplicated, max(0, lost + duplicated - counted))


def assert_delivered(volumes: Volumes, name: str, expected: list[bytes], run: str | None = None) -> None:
    """Hold a client's log to the feed: every record, each once, in order, byte for byte."""
    messages = volumes.messages(name, run)
    assert list(range(1, len(expected) + 1)) == [message.seq for message in messages], name
    assert expected == [record_of(message) for message in messages], name


def assert_receipted_is_on_disk(volumes: Volumes, run: str | None = None) -> None:
    """Hold every receipt to the logs."""
    receipts = [entry for entry in volumes.ledger(run) if isinstance(entry, ReceiptEntry)]
    on_disk = {name: volumes.held(name, run) for name in {entry.client for entry in receipts}}
    for entry in receipts:
        said = RangeSet([(entry.first, entry.last)]) - RangeSet(entry.missing)
        assert not said - on_disk[entry.client], entry
        assert entry.match, entry


def only_late(found: Summary) -> bool:
    """Tell whether nothing is held against a run but that its processes were late."""
    return all(any(late in reason for late in LATE) for reason in found.reasons)


def assert_nothing_missing(found: Summary) -> None:
    """Hold a summary to a run in which faults were injected and nothing was lost."""
    sums = found.totals
    lacking = (sums.missing, sums.duplicates, sums.reordered, sums.corrupt, sums.residual)
    assert (0, 0, 0, 0, 0) == lacking, found.reasons
    assert [] == [fault for fault in found.faults if fault.kind != "torn"]
    assert "PASS" == found.verdict or only_late(found), found.reasons


def assert_all_held(volumes: Volumes, total: int, names: Sequence[str]) -> Summary:
    """Hold the newest run to everything at once: both sides of the books, disk and summary."""
    found = poll_until(volumes.verdict, "the verdict is on disk", 30)
    assert found is not None
    assert_nothing_missing(found)
    expected = FeedGenerator("person", "en_US", 42).records(1, total)
    by_name = {client.client: client for client in found.clients}
    assert set(names) <= set(by_name)
    for name, client in by_name.items():
        assert client.expected == client.received, client
        assert_delivered(volumes, name, expected if name in names else expected[: client.received])
    assert_receipted_is_on_disk(volumes)
    return found
