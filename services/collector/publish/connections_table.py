"""The connections of the clients of an external feed as a table: a row for each client, then its connections. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from services.collector import formatting
from services.collector.publish.table import Cell, Column, Table, Tone, duration_cell, text_cell
from services.contract.scalars import utc_us
from services.contract.summary import ClientSummary, Connection, Summary

MAX_ROWS = 500
"""More than a reader looks through; ``summary.json`` has all."""
COLUMNS = (
    Column(key="client", label="client", hint="The client's name.", numeric=False),
    Column(key="connection", label="connection", hint="Its number; of several processes, session and number."),
    Column(key="opened", label="opened", hint="When the handshake had succeeded.", numeric=False),
    Column(key="ended", label="ended", hint="When it ended; empty if the log does not say it.", numeric=False),
    Column(key="lasted", label="lasted", hint="How long it lasted; for a client, the sum of the time asked for."),
    Column(key="code", label="code", hint="The close code; empty if the client ended the connection.", numeric=False),
    Column(key="reason", label="reason", hint="The close reason.", numeric=False),
)


def connections_table(summary: Summary) -> Table:
    """Return the table; without rows if no log says when its client was connected."""
    rows = [row for client in summary.clients if client.connections.count is not None for row in _rows(client)]
    if len(rows) > MAX_ROWS:
        left = f"and {len(rows) - MAX_ROWS:,} more rows in summary.json"
        rows = [*rows[:MAX_ROWS], [text_cell(left), *(text_cell("") for _ in COLUMNS[1:])]]
    return Table(columns=list(COLUMNS), rows=rows)


def connected_text(client: ClientSummary) -> str:
    """Return for how long a client was connected: ``8.0 s of 10.0 s``."""
    known = client.connections
    return f"{_duration(known.connected_ns)} of {_duration(known.asked_ns)}"


def _duration(value_ns: int | None) -> str:
    return formatting.NOT_KNOWN if value_ns is None else formatting.duration(value_ns)


def _rows(client: ClientSummary) -> Iterator[list[Cell]]:
    known = client.connections
    refusal = "" if known.last_refusal is msgspec.UNSET else f", the last one: {known.last_refusal}"
    notes = [f"{formatting.several(known.refused, 'failed attempt')}{refusal}"] if known.refused else []
    notes += [f"{known.others:,} earlier ones are not listed"] if known.others else []
    yield [
        text_cell(client.client),
        Cell(text=f"{known.count:,} in all", value=known.count),
        text_cell(""),
        text_cell(""),
        Cell(text=connected_text(client), value=known.connected_ns, tone=_tone(client)),
        text_cell(""),
        text_cell(", ".join(notes)),
    ]
    for connection in known.last:
        yield _row(client, connection)


def _tone(client: ClientSummary) -> Tone:
    known = client.connections
    return "doubt" if (known.connected_ns or 0) < (known.asked_ns or 0) and (known.count != 1 or known.refused) else ""


def _row(client: ClientSummary, connection: Connection) -> list[Cell]:
    number = f"{connection.connection:,}"
    lasted_ns = None
    if connection.ended_at is not None:
        lasted_ns = (utc_us(connection.ended_at) - utc_us(connection.opened_at)) * 1000
    return [
        text_cell(client.client),
        Cell(text=f"{connection.session}.{number}" if client.sessions > 1 else number, value=connection.connection),
        text_cell(formatting.moment(connection.opened_at)),
        text_cell(formatting.moment(connection.ended_at) if connection.ended_at is not None else ""),
        duration_cell(lasted_ns),
        text_cell("" if connection.code is None else f"{connection.code}"),
        text_cell(connection.reason),
    ]
