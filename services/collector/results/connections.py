"""The connections of one client of an external feed, as the summary states them. Pure."""

from __future__ import annotations

import msgspec

from services.collector.results.client_result import ClientResult
from services.collector.results.connection_history import ConnectionSpan
from services.contract.scalars import utc_text
from services.contract.summary import Connection, Connections

MOST_LISTED = 20
"""Connections that are listed; a client that was cut every second has thousands."""


def connections(client: ClientResult) -> Connections:
    """Return when a client was connected; all values are null if its log does not say it."""
    history = client.external.connection
    if not history.is_known:
        return Connections()
    # A log that was not sealed does not say until when its client was to be connected; the settings of its run do.
    end_us = history.end_us if history.end_us is not None or client.state != "lost" else client.external.until_us
    asked_us = None if end_us is None or history.began_us is None else max(0, end_us - history.began_us)
    listed = history.spans[-MOST_LISTED:]
    return Connections(
        connected_ns=sum(_length_us(span, end_us) for span in history.spans) * 1000 if history.is_whole else None,
        asked_ns=None if asked_us is None else asked_us * 1000,
        count=len(history.spans),
        refused=history.refusals,
        others=len(history.spans) - len(listed),
        last=[_connection(span) for span in listed],
        last_refusal=history.last_refusal or msgspec.UNSET,
    )


def _length_us(span: ConnectionSpan, end_us: int | None) -> int:
    """Return for how long a connection lasted, up to the end of the client's run; at least, if its end is unknown."""
    until_us = span.known_until_us if span.ended_us is None else span.ended_us
    return max(0, (until_us if end_us is None else min(until_us, end_us)) - span.opened_us)


def _connection(span: ConnectionSpan) -> Connection:
    return Connection(
        session=span.session,
        connection=span.number,
        opened_at=utc_text(span.opened_us),
        ended_at=None if span.ended_us is None else utc_text(span.ended_us),
        code=span.code,
        reason=span.reason,
    )
