"""Checks the logs of every name against the feed, the summary, and the end of the name's last process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from chaos.identity.names import PerformedOperation
from chaos.tally import Tally
from services.contract.ledger import Entry, PaceEntry, ReceiptEntry, SubscribeEntry
from services.contract.summary import Summary
from services.server.feed.generator import FeedGenerator
from services.server.feed.schedule import RateSegment, Schedule
from tests.asserts import known
from tests.readers import Volumes, record_of

ALL_CLIENTS = "every client"
"""The name in an operation that affects all names."""


def check_names(
    volumes: Volumes, summary: Summary, total: int, allowed_states: Callable[[str], set[str]], tally: Tally
) -> None:
    """Check every name's log against the feed of ``total`` records, and the summary against the logs.

    Args:
        volumes: of a run with a verdict.
        summary: of that run.
        total: number of records of the run.
        allowed_states: returns the final states that a name may have.
        tally: gets the counts, before anything is asserted.
    """
    feed = FeedGenerator("person", "en_US", 42).records(1, total)
    clients = {client.client: client for client in summary.clients}
    checked, lost, duplicated, errors = 0, 0, 0, []
    for name in volumes.clients():
        messages = volumes.messages(name)
        if not messages and name not in clients:
            continue
        client_summary, seqs = clients[name], [message.seq for message in messages]
        last = max([*seqs, 0] if client_summary.state == "lost" else [*seqs, known(client_summary.expected)])
        checked += len(messages)
        twice, missing = len(seqs) - len(set(seqs)), last - len(set(seqs))
        lost, duplicated = lost + missing, duplicated + twice
        if twice or missing or seqs != sorted(seqs):
            errors.append(f"{name}: {missing} missing, {twice} twice")
        if not all(feed[message.seq - 1] == record_of(message) for message in messages):
            errors.append(f"{name}: records differ from the feed")
        received, expected = client_summary.received, client_summary.expected
        if (last, last, twice) != (received, len(set(seqs)), client_summary.duplicates):
            errors.append(f"{name}: summary has {received} of {expected}, {client_summary.duplicates} twice")
        if client_summary.state not in allowed_states(name):
            errors.append(f"{name}: {client_summary.state}, its last process {allowed_states(name)}")
    tally.add_checks(checked, lost=lost, duplicated=duplicated)
    assert errors == [], "; ".join(errors)
    assert (0, 0, []) == (summary.totals.residual, summary.totals.duplicates, summary.faults), summary.reasons


def recoveries(entries: Sequence[Entry], total: int, operations: Sequence[PerformedOperation]) -> list[float | None]:
    """Return for each operation the seconds from its end to the first receipt for a record not yet due then.

    None if the next operation on the name came first, or no process had the name.
    """
    receipts: dict[str, list[tuple[float, int]]] = {}
    for entry in entries:
        if isinstance(entry, ReceiptEntry):
            receipts.setdefault(entry.client, []).append((at(entry), entry.last))
    recovery_s: list[float | None] = []
    for operation in operations:
        head = head_at(entries, total, operation.ended)
        began = [
            other.began
            for other in operations
            if other.name in (operation.name, ALL_CLIENTS) and other.began > operation.began
        ]
        next_began = min(began, default=float("inf"))
        fresh = [
            receipted_at
            for receipted_at, last in receipts.get(operation.name, [])
            if last > head and operation.ended < receipted_at < next_began
        ]
        recovery_s.append(round(min(fresh) - operation.ended, 3) if fresh else None)
    return recovery_s


def head_at(entries: Sequence[Entry], total: int, now_s: float) -> int:
    """Return the last seq that was due at a time (epoch seconds), at the rates that were set until then."""
    schedule = Schedule(total)
    for entry in entries:
        if isinstance(entry, PaceEntry) and at(entry) <= now_s:
            schedule.add(RateSegment(entry.first, entry.due_us, entry.rate))
    return schedule.head(int(now_s * 1e6))


def at(entry: Entry) -> float:
    """Return the time of a ledger line, in epoch seconds."""
    return datetime.fromisoformat(entry.at).timestamp()


def assert_no_flapping(volumes: Volumes) -> None:
    """Check in the ledger that a process that has lost a name never gets it again."""
    holders: dict[str, list[str]] = {}
    for entry in volumes.ledger():
        if isinstance(entry, SubscribeEntry):
            instances = holders.setdefault(entry.client, [])
            if instances[-1:] != [entry.instance]:
                assert entry.instance not in instances, f"{entry.client} went back to a process that had lost it"
                instances.append(entry.instance)
