"""The clients as CSV: one per row, the numbers of ``summary.json`` unchanged, their units in the column names. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from services.contract.summary import Causes, ClientSummary, Connections, InstrumentShare, Quantiles, Summary

CsvValue: TypeAlias = str | int | float | None


def clients_csv(summary: Summary) -> bytes:
    """Return the clients of a run. A nested field is a column of its own, ``latency_ns_p99``; null is empty."""
    text = io.StringIO()
    # Not the default CRLF, whose carriage return becomes a part of the last value in the usual tools of Unix.
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", *columns()])
    writer.writerows([summary.run, *(value for _, value in _flat(client))] for client in summary.clients)
    return text.getvalue().encode()


def columns() -> list[str]:
    """Return the names of the columns after the run's, in the order of the fields of a client's summary."""
    nested: dict[object, tuple[str, ...]] = {
        Quantiles: Quantiles.__struct_fields__,
        Causes: Causes.__struct_fields__,
        InstrumentShare: InstrumentShare.__struct_fields__,
        Connections: tuple(name for name in Connections.__struct_fields__ if name != "last"),
    }
    return [
        "_".join(filter(None, (field.name, nested_name)))
        for field in msgspec.structs.fields(ClientSummary)
        for nested_name in nested.get(field.type, ("",))
    ]


def _flat(client: ClientSummary) -> Iterator[tuple[str, CsvValue]]:
    for name, value in msgspec.structs.asdict(client).items():
        if isinstance(value, msgspec.Struct):
            # Without the list of connections: a cell has one value.
            parts = msgspec.structs.asdict(value).items()
            yield from ((f"{name}_{part}", one) for part, one in parts if not isinstance(one, list))
        elif isinstance(value, list):
            yield name, " ".join(f"{first}-{last}" for first, last in value)
        else:
            yield name, value
