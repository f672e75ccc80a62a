"""What the accounts of a run come to: each client's by itself, and all of them together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from services.collector.results.client_result import ClientResult
from services.contract.scalars import MAX_INTEGER, utc_text
from services.contract.sequence_text import span_text
from services.contract.summary import Causes, ClientSummary, Quantiles, Silence, Totals


def totals(every: Sequence[ClientResult], *, scheduled: bool = True) -> Totals:
    """Return what all clients come to; without a schedule nothing is due, so nothing is caught up."""
    firsts = [account.log.times.first_us for account in every if account.log.times.first_us is not None]
    lasts = [account.log.times.last_us for account in every if account.log.times.last_us is not None]
    duration_ns = (max(lasts) - min(firsts)) * 1000 if firsts and lasts else None
    received = sum(account.received for account in every)
    total_bytes = sum(account.log.bytes for account in every)
    return Totals(
        # The numbers of an external feed may have 64 bits, and so gaps that no reader of JSON could count.
        expected=min(sum(account.expected for account in every), MAX_INTEGER),
        received=received,
        missing=min(sum(account.missing_count for account in every), MAX_INTEGER),
        duplicates=sum(account.duplicates for account in every),
        reordered=sum(account.reordered for account in every),
        corrupt=sum(len(account.log.corrupt) for account in every),
        residual=sum(account.residual for account in every),
        blocks=sum(account.log.blocks.count for account in every),
        bytes=total_bytes,
        logged_not_receipted=sum(account.logged_not_receipted for account in every),
        catch_up=_sum(catch_up(account, scheduled=scheduled) for account in every),
        duration_ns=duration_ns,
        messages_per_second=received * 1e9 / duration_ns if duration_ns else None,
        bytes_per_second=total_bytes * 1e9 / duration_ns if duration_ns else None,
    )


def catch_up(account: ClientResult, *, scheduled: bool) -> int | None:
    """Return how many messages a client caught up; None for a feed that is not ours, of which that is not known."""
    if account.log.is_external:
        return None
    return account.log.times.catch_up.histogram.count if scheduled else 0


def _sum(every: Iterable[int | None]) -> int | None:
    known = list(every)
    return None if None in known else sum(one for one in known if one is not None)


def causes(every: Sequence[ClientResult]) -> Causes:
    """Return how many records are missing by each cause."""

    def total(cause: str) -> int:
        return sum(len(account.causes.get(cause, ())) for account in every)

    return Causes(
        never_sent=sum(account.never_sent for account in every),
        sent_not_logged=total("sent_not_logged"),
        corrupt_in_flight=total("corrupt_in_flight"),
        receipted_not_logged=total("receipted_not_logged"),
        corrupt_block=total("corrupt_block"),
        foreign=total("foreign"),
    )


def client(account: ClientResult, *, scheduled: bool) -> ClientSummary:
    """Return what one client comes to; without a schedule nothing is late."""
    log = account.log
    return ClientSummary(
        client=account.client,
        state=account.state,
        block_size=_block_size(account),
        blocks=log.blocks.count,
        sessions=len({session for session, _ in (*log.opens, *log.ends)} | log.blocks.sessions),
        expected=account.expected,
        received=account.received,
        missing=account.missing_count,
        duplicates=account.duplicates,
        reordered=account.reordered,
        corrupt=len(log.corrupt),
        residual=account.residual,
        bytes=log.bytes,
        logged_not_receipted=account.logged_not_receipted,
        missing_ranges=[span_text(span) for span in account.missing],
        missing_by_cause=causes([account]),
        torn=sum(log.torn.values()),
        clock_offset_us=log.clock_offset_us,
        clock_error_us=log.clock_error_us,
        catch_up=catch_up(account, scheduled=scheduled),
        latency_ns=Quantiles.of(log.times.latency) if scheduled else Quantiles(),
        catch_up_ns=Quantiles.of(log.times.catch_up.histogram) if scheduled else Quantiles(),
        transit_ns=Quantiles.of(log.times.transit),
        block_duration_ns=Quantiles.of(log.times.durations),
        silence_ns=account.silence.ns if account.silence else None,
        silence_at=utc_text(account.silence.at_us) if account.silence else None,
    )


def silence(every: Sequence[ClientResult]) -> Silence | None:
    """Return the longest silence of any client, None when nobody was ever silent."""
    known = [(account.silence, account.client) for account in every if account.silence]
    # Of equally long ones the first client's.
    found, client = max(known, key=lambda one: one[0].ns, default=(None, ""))
    return Silence(client=client, at=utc_text(found.at_us), duration_ns=found.ns) if found else None


def _block_size(account: ClientResult) -> int | None:
    opens = account.log.opens
    if opens:
        notes = opens[max(opens)]
        return notes[min(notes)].block_size
    subscriptions = account.ledger.subscriptions
    return subscriptions[max(subscriptions)].block_size or None if subscriptions else None
