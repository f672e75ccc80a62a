"""Judges the receipts of a client: only for records that the ledgers of the run show as sent to its name."""

from __future__ import annotations

from services.contract import bounds, ledger, wire
from services.contract.blocklog import MAX_BLOCK
from services.contract.rangeset import RangeSet
from services.server.feed.feed import Feed
from services.server.runs.run import Run
from services.server.runs.run_state import RecordedClient
from services.server.runs.unrecorded import may_lack_entries, unrecorded_through
from services.server.streaming.subscription import Subscription


def impossible(receipt: wire.Receipt, subscription: Subscription) -> str:
    """Return why a receipt cannot be true; empty if it can.

    The position from which the client asked to be served proves nothing: only records count that this server has sent,
    or that a ledger of the run says may have been sent, to this name.
    """
    number = subscription.session_number
    if receipt.last < receipt.first or receipt.count > MAX_BLOCK or (number and receipt.session > number):
        return f"receipt for {receipt.first} to {receipt.last} of session {receipt.session}"
    if subscription.first <= receipt.first and receipt.last <= subscription.sent:
        return ""
    run = subscription.run
    if _was_sent(receipt, subscription):
        return ""
    # Another server of the run may have sent them a moment ago.
    run.follow()
    if _was_sent(receipt, subscription):
        return ""
    if receipt.last <= subscription.sent and _may_be_unrecorded(receipt, subscription):
        return ""
    return f"receipt for {receipt.first} to {receipt.last}, not all of which were sent to {subscription.name}"


def _may_be_unrecorded(receipt: wire.Receipt, subscription: Subscription) -> bool:
    """Return whether another server of the run may have sent these records without a line in the ledgers here.

    A machine that lost its power may have lost the last lines. In the other cases of `unrecorded_through` nothing
    shows that such a server exists: so the digest has to show that the client has the records. A name may have as many
    records generated for that as its receipts may have records.
    """
    run, client = subscription.run, subscription.run.recorded.clients[subscription.name]
    if may_lack_entries(run):
        return True
    if receipt.last > unrecorded_through(run):
        return False
    client.generated_records += receipt.last - receipt.first + 1
    return client.generated_records <= _most_records(client, run) and is_matching(receipt, run.feed)


def _was_sent(receipt: wire.Receipt, subscription: Subscription) -> bool:
    client = subscription.run.recorded.clients[subscription.name]
    # Of this subscription the ledger says what may be sent soon; what was sent is known exactly.
    sent = client.sent_by_others(subscription.fence) | RangeSet([(subscription.first, subscription.sent)])
    span = sent.span_of(receipt.first)
    return span is not None and receipt.last <= span[1]


def excess(receipt: wire.Receipt, client: RecordedClient, run: Run) -> str:
    """Return which limit a further receipt of a client would exceed; empty if none."""
    # An honest client has at most one receipt for each time that a record was sent to it.
    if client.receipt_count >= 2 * _sent_count(client, run) + bounds.RECEIPTS.value:
        return f"{client.receipt_count} receipts for {client.sent_count} records"
    records = client.receipted_records + receipt.count
    if records > _most_records(client, run):
        return f"receipts for {records} records; {client.sent_count} were sent"
    return ""


def _sent_count(client: RecordedClient, run: Run) -> int:
    """Return how many records may have been sent to a client, by servers without a ledger here too."""
    return client.sent_count + unrecorded_through(run)


def _most_records(client: RecordedClient, run: Run) -> int:
    return 2 * _sent_count(client, run) + bounds.RECEIPTED_RECORDS.value


def is_matching(receipt: wire.Receipt, feed: Feed) -> bool:
    """Return whether count and digest of a receipt are those of the records that the server generates again."""
    # Generated again and not remembered: so the receipt proves the content, and sent records need no memory.
    present = (RangeSet([(receipt.first, receipt.last)]) - RangeSet(receipt.missing)).count
    return present == receipt.count and feed.digest(receipt.first, receipt.last, receipt.missing) == receipt.digest


def entry_of(receipt: wire.Receipt, subscription: Subscription, *, match: bool) -> ledger.ReceiptEntry:
    """Return the ledger's entry of a receipt."""
    return ledger.ReceiptEntry(
        at=subscription.run.at(),
        client=subscription.name,
        session=receipt.session,
        fence=subscription.fence,
        block=receipt.block,
        first=receipt.first,
        last=receipt.last,
        count=receipt.count,
        missing=receipt.missing,
        digest=receipt.digest,
        match=match,
    )
