"""Checks of a run's volumes that must pass after every fault."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from chaos.tally import Tally
from services.contract.ledger import ReceiptEntry
from services.contract.rangeset import RangeSet
from services.contract.summary import Summary
from services.server.feed.generator import FeedGenerator
from services.server.runs.run_state import RecordedRun
from tests.asserts import known
from tests.poll import poll_until
from tests.readers import Volumes, record_of

LATE = ("the server did not keep its schedule", "'s event loop was ")
"""Reasons that a run with killed or frozen processes may give: the processes really were late."""


@dataclass(frozen=True)
class DeliveryCount:
    """The messages in the logs of a run, counted independently of the summary.

    Attributes:
        checked: messages that were read.
        lost: records that are missing in a client's logs.
        duplicated: messages that are in a client's logs more than once.
        undetected: lost or duplicated messages that the summary does not count.
    """

    checked: int
    lost: int
    duplicated: int
    undetected: int

    def add_to(self, tally: Tally, *, unnamed: int = 0) -> None:
        """Add the counts to a test's tally; ``unnamed`` is the number of faults that a summary does not name."""
        tally.add_checks(self.checked, lost=self.lost, duplicated=self.duplicated, undetected=self.undetected + unnamed)


def head_at(volumes: Volumes, total: int, now_s: float) -> int:
    """Return the last seq that was due at a time (epoch seconds), from the ledger of the newest run."""
    run = RecordedRun(total)
    for entry in volumes.ledger():
        run.apply(entry)
    return run.schedule.head(int(now_s * 1_000_000))


def recovery_seconds(volumes: Volumes, total: int, names: Sequence[str], deadline: float) -> dict[str, float]:
    """Wait until each client has a receipt for a record that was not yet due at the call.

    Returns the seconds from the call to that receipt, by client.

    Raises:
        AssertionError: a client had none within ``deadline`` seconds.
    """
    healed = time.time()
    head = head_at(volumes, total, healed)
    receipted_at: dict[str, float] = {}

    def all_fresh() -> bool:
        for entry in volumes.ledger():
            if isinstance(entry, ReceiptEntry) and entry.last > head and entry.client in names:
                receipted_at.setdefault(entry.client, datetime.fromisoformat(entry.at).timestamp())
        return len(receipted_at) == len(names)

    try:
        poll_until(all_fresh, f"{', '.join(names)} have receipts beyond {head}", deadline, 0.2)
    except AssertionError as problem:
        problem.add_note(f"only {sorted(receipted_at)} have")
        raise
    return {name: round(time_s - healed, 3) for name, time_s in receipted_at.items()}


def count_deliveries(volumes: Volumes, total: int, names: Sequence[str]) -> DeliveryCount:
    """Wait for the verdict, then count the messages in the logs.

    The clients in ``names`` should have all ``total`` records; for others the summary says how many they should have.
    """
    summary = poll_until(volumes.verdict, "the verdict is on disk", 30)
    assert summary is not None
    expected = {client.client: known(client.expected) for client in summary.clients} | dict.fromkeys(names, total)
    checked = lost = duplicated = 0
    for name, count in expected.items():
        seqs = [message.seq for message in volumes.messages(name)]
        checked += len(seqs)
        lost += count - len(set(seqs) & set(range(1, count + 1)))
        duplicated += len(seqs) - len(set(seqs))
    counted = known(summary.totals.missing) + known(summary.totals.duplicates)
    return DeliveryCount(checked, lost, duplicated, max(0, lost + duplicated - counted))


def assert_delivered(volumes: Volumes, name: str, expected: list[bytes], run: str | None = None) -> None:
    """Check that a client's log has every record of the feed once, in order, byte for byte."""
    messages = volumes.messages(name, run)
    seqs = [message.seq for message in messages]
    assert list(range(1, len(expected) + 1)) == seqs, f"{name}: {len(expected)} expected, {RangeSet.from_numbers(seqs)}"
    assert expected == [record_of(message) for message in messages], name


def assert_receipted_is_on_disk(volumes: Volumes, run: str | None = None) -> None:
    """Check that every record with a receipt is in the client's log."""
    receipts = [entry for entry in volumes.ledger(run) if isinstance(entry, ReceiptEntry)]
    on_disk = {name: volumes.held(name, run) for name in {entry.client for entry in receipts}}
    for entry in receipts:
        receipted = RangeSet([(entry.first, entry.last)]) - RangeSet(entry.missing)
        assert not receipted - on_disk[entry.client], entry
        assert entry.match, entry


def is_only_late(summary: Summary) -> bool:
    """Return whether all reasons of a verdict are that processes were late."""
    return all(any(late in reason for late in LATE) for reason in summary.reasons)


def assert_nothing_missing(summary: Summary) -> None:
    """Check the summary of a run with injected faults: nothing may be missing, damaged or twice."""
    sums = summary.totals
    lacking = (sums.missing, sums.duplicates, sums.reordered, sums.corrupt, sums.residual)
    assert (0, 0, 0, 0, 0) == lacking, summary.reasons
    assert [] == [fault for fault in summary.faults if fault.kind != "torn"]
    assert "PASS" == summary.verdict or is_only_late(summary), summary.reasons


def assert_all_delivered(volumes: Volumes, total: int, names: Sequence[str]) -> Summary:
    """Check summary, logs and receipts of the newest run against the feed; return the summary."""
    summary = poll_until(volumes.verdict, "the verdict is on disk", 30)
    assert summary is not None
    assert_nothing_missing(summary)
    expected = FeedGenerator("person", "en_US", 42).records(1, total)
    by_name = {client.client: client for client in summary.clients}
    assert set(names) <= set(by_name)
    for name, client in by_name.items():
        assert client.expected == client.received, client
        # A client that was stopped while its server was away has logged records that could not be receipted any more.
        logged = client.received + (client.logged_not_receipted or 0)
        assert_delivered(volumes, name, expected if name in names else expected[:logged])
    assert_receipted_is_on_disk(volumes)
    return summary
