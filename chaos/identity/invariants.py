"""The books of every name, held to the feed, to each other and to how the name's last process has ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from chaos.identity.names import Done
from chaos.tally import Tally
from services.contract.ledger import Entry, PaceEntry, ReceiptEntry, SubscribeEntry
from services.contract.summary import Summary
from services.server.feed.generator import FeedGenerator
from services.server.feed.schedule import RateSegment, Schedule
from tests.asserts import known
from tests.readers import Volumes, record_of

EVERY = "every client"
"""The place of an operation that strikes all names."""


def hold(volumes: Volumes, found: Summary, total: int, endings: Callable[[str], set[str]], tally: Tally) -> None:
    """Hold every name's log to the feed of ``total`` records, and the summary to the logs.

    Args:
        volumes: of a run that has its verdict.
        found: its summary.
        total: how long it was.
        endings: what may have become of a name.
        tally: where that is noted, before anything is asserted.
    """
    feed = FeedGenerator("person", "en_US", 42).records(1, total)
    books = {client.client: client for client in found.clients}
    checked, lost, duplicated, wrong = 0, 0, 0, []
    for name in volumes.clients():
        messages = volumes.messages(name)
        if not messages and name not in books:
            continue
        book, seqs = books[name], [message.seq for message in messages]
        last = max([*seqs, 0] if book.state == "lost" else [*seqs, known(book.expected)])
        checked += len(messages)
        twice, gone = len(seqs) - len(set(seqs)), last - len(set(seqs))
        lost, duplicated = lost + gone, duplicated + twice
        if twice or gone or seqs != sorted(seqs):
            wrong.append(f"{name}: {gone} gone, {twice} twice")
        if not all(feed[message.seq - 1] == record_of(message) for message in messages):
            wrong.append(f"{name}: not the feed's records")
        if (last, last, twice) != (book.received, len(set(seqs)), book.duplicates):
            wrong.append(f"{name}: summary has {book.received} of {book.expected}, {book.duplicates} twice")
        if book.state not in endings(name):
            wrong.append(f"{name}: {book.state}, its last process {endings(name)}")
    tally.held(checked, lost=lost, duplicated=duplicated)
    assert wrong == [], "; ".join(wrong)
    assert (0, 0, []) == (found.totals.residual, found.totals.duplicates, found.faults), found.reasons


def recoveries(entries: Sequence[Entry], total: int, done: Sequence[Done]) -> list[float | None]:
    """Return how long after each operation a record was receipted that was not due when it ended, in seconds.

    None where the next operation on the name struck first, or nobody had the name.
    """
    receipts: dict[str, list[tuple[float, int]]] = {}
    for entry in entries:
        if isinstance(entry, ReceiptEntry):
            receipts.setdefault(entry.client, []).append((at(entry), entry.last))
    took: list[float | None] = []
    for one in done:
        head = head_at(entries, total, one.ended)
        began = [other.began for other in done if other.name in (one.name, EVERY) and other.began > one.began]
        strikes = min(began, default=float("inf"))
        fresh = [moment for moment, last in receipts.get(one.name, []) if last > head and one.ended < moment < strikes]
        took.append(round(min(fresh) - one.ended, 3) if fresh else None)
    return took


def head_at(entries: Sequence[Entry], total: int, now_s: float) -> int:
    """Return the last seq that was due at a time (epoch seconds), by the pace that was set then."""
    schedule = Schedule(total)
    for entry in entries:
        if isinstance(entry, PaceEntry) and at(entry) <= now_s:
            schedule.add(RateSegment(entry.first, entry.due_us, entry.rate))
    return schedule.head(int(now_s * 1e6))


def at(entry: Entry) -> float:
    """Return when a line was entered, in epoch seconds."""
    return datetime.fromisoformat(entry.at).timestamp()


def assert_no_flapping(volumes: Volumes) -> None:
    """Hold the ledger to this: who has had a name and lost it never has it again."""
    holders: dict[str, list[str]] = {}
    for entry in volumes.ledger():
        if isinstance(entry, SubscribeEntry):
            had = holders.setdefault(entry.client, [])
            if had[-1:] != [entry.instance]:
                assert entry.instance not in had, f"{entry.client} went back to a process that had lost it"
                had.append(entry.instance)
