"""Sums over the clients of a run. A sum is None where no client knows its part."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from services.collector.results.client_result import ClientResult
from services.contract.scalars import MAX_INTEGER, utc_text
from services.contract.summary import Causes, Silence, Totals


def totals(clients: Sequence[ClientResult]) -> Totals:
    """Return the sums of all clients."""
    firsts = [client.first_us for client in clients if client.first_us is not None]
    lasts = [client.last_us for client in clients if client.last_us is not None]
    duration_ns = (max(lasts) - min(firsts)) * 1000 if firsts and lasts else None
    received = sum(client.received for client in clients)
    # What one client lacks is not known, so the sum of the others would be too small.
    is_open = any(client.external.gaps or client.external.contradictions for client in clients)
    total_bytes = sum(client.bytes for client in clients)
    return Totals(
        expected=None if is_open else _sum(client.expected for client in clients),
        received=received,
        missing=None if is_open else _sum(client.missing for client in clients),
        duplicates=_sum(client.duplicates for client in clients),
        reordered=_sum(client.reordered for client in clients),
        corrupt=_sum(client.corrupt for client in clients),
        residual=_sum(client.residual for client in clients),
        blocks=sum(client.blocks for client in clients),
        bytes=total_bytes,
        logged_not_receipted=_sum(client.logged_not_receipted for client in clients),
        # These three exist for external feeds only, so a run without clients has no 0 of them.
        restarts=_sum((client.restarts for client in clients), of_none=None),
        unsequenced=_sum((client.unsequenced for client in clients), of_none=None),
        unreadable=_sum((client.unreadable for client in clients), of_none=None),
        without_key=_only(client.without_key for client in clients),
        without_time=_only(client.without_time for client in clients),
        ignored=_only(client.ignored for client in clients),
        pings=_only(client.pings for client in clients),
        catch_up=_caught_up(clients),
        gaps=_only(client.external.gaps for client in clients),
        repeated=_only(client.external.allowed_repeats for client in clients),
        duration_ns=duration_ns,
        messages_per_second=received * 1e9 / duration_ns if duration_ns else None,
        bytes_per_second=total_bytes * 1e9 / duration_ns if duration_ns else None,
    )


def causes(clients: Sequence[ClientResult]) -> Causes:
    """Return how many records are missing by each cause."""
    if not clients:
        return Causes()
    return Causes(
        **{
            cause: _sum(getattr(client.missing_by_cause, cause) for client in clients)
            for cause in Causes.__struct_fields__
        }
    )


def silence(clients: Sequence[ClientResult]) -> Silence | None:
    """Return the longest silence of any client, None when none was ever silent."""
    known = [(client.silence, client.client) for client in clients if client.silence]
    # The first client's, where several were silent for equally long.
    longest, name = max(known, key=lambda pair: pair[0].ns, default=(None, ""))
    return Silence(client=name, at=utc_text(longest.at_us), duration_ns=longest.ns) if longest else None


def _sum(parts: Iterable[int | None], *, of_none: int | None = 0) -> int | None:
    """Return the sum of the parts that are known, None if there are parts and none is known.

    Numbers of an external feed may have 64 bits, so their gaps may exceed what readers of JSON keep exact.
    """
    every = list(parts)
    known = [part for part in every if part is not None]
    if not known:
        return None if every else of_none
    return min(sum(known), MAX_INTEGER)


def _only(parts: Iterable[int | None]) -> int | msgspec.UnsetType:
    """Return the sum of counts that only some feeds have, unset for others."""
    known = [part for part in parts if part is not None]
    return sum(known) if known else msgspec.UNSET


def _caught_up(clients: Sequence[ClientResult]) -> int | None:
    """Return how many messages were caught up, None as soon as one client does not know it."""
    counts = [client.catch_up.count if client.catch_up is not None else None for client in clients]
    return None if None in counts else sum(count for count in counts if count is not None)
