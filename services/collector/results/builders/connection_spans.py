"""Lists the connections of one client of an external feed, from the connection lines of its log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from services.collector.evidence.timestamps import moment
from services.collector.formatting import displayable
from services.collector.results.connection_history import ConnectionSpan
from services.contract.blocklog import ConnectionLine


def connection_spans(lines: Iterable[ConnectionLine], last_records: Mapping[int, int]) -> tuple[ConnectionSpan, ...]:
    """Return the connections in their order.

    Args:
        lines: in the order in which they were written.
        last_records: when the last record of each session was received, epoch microseconds.
    """
    spans: list[ConnectionSpan] = []
    for line in lines:
        at_us = moment(line.at)
        if at_us is None:
            continue
        if line.event == "opened":
            spans.append(ConnectionSpan(line.session, line.connection, at_us, known_until_us=at_us))
        elif spans and (spans[-1].session, spans[-1].number) == (line.session, line.connection):
            spans[-1] = _continued(spans[-1], line, at_us)
    return tuple(_until_last_record(span, last_records.get(span.session)) for span in spans)


def _continued(span: ConnectionSpan, line: ConnectionLine, at_us: int) -> ConnectionSpan:
    """Return a connection with the next line about it."""
    if span.ended_us is not None:
        return span
    if line.event == "closed":
        span = span._replace(ended_us=max(at_us, span.opened_us), code=line.code, reason=displayable(line.reason))
    elif line.connected and line.event in ("ended", "sealed"):
        # The client itself ends the connection then, or the feed by the close that FEED_END describes.
        span = span._replace(ended_us=max(at_us, span.opened_us))
    return span._replace(known_until_us=max(at_us, span.known_until_us))


def _until_last_record(span: ConnectionSpan, received_us: int | None) -> ConnectionSpan:
    # A process that was killed logged no close. It was connected until its last record, at least.
    if span.ended_us is not None or received_us is None:
        return span
    return span._replace(known_until_us=max(received_us, span.known_until_us))
