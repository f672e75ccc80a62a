"""The clients as CSV: one per row, the numbers of ``summary.json`` unchanged, their units in the column names. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import msgspec

from services.collector.results.client_result import ClientResult
from services.collector.verdict.summary import client_summary
from services.contract.summary import Causes, ClientSummary, Connections, InstrumentShare, Quantiles, Summary

CsvValue: TypeAlias = str | int | float | None


def clients_csv(summary: Summary, results: Sequence[ClientResult] = ()) -> bytes:
    """Return the clients of a run. A nested field is a column of its own, ``latency_ns_p99``; null is empty.

    ``results`` are those of all clients if the summary does not list them all.
    """

    def clients() -> Iterable[ClientSummary]:
        # Made again for each pass: 10⁵ of them would take hundreds of megabytes.
        return map(client_summary, results) if results else summary.clients

    text = io.StringIO()
    # Not the default CRLF, whose carriage return becomes a part of the last value in the usual tools of Unix.
    writer = csv.writer(text, lineterminator="\n")
    names = columns(clients())
    writer.writerow(["run", *names])
    for client in clients():
        values = dict(_flat(client))
        writer.writerow([summary.run, *(values.get(name) for name in names)])
    return text.getvalue().encode()


def columns(clients: Iterable[ClientSummary]) -> list[str]:
    """Return the names of the columns after the run's, in the order of the fields of a client's summary.

    A field that only some feeds have has a column if one of the clients has it.
    """
    nested: dict[object, tuple[str, ...]] = {
        Quantiles: Quantiles.__struct_fields__,
        Causes: Causes.__struct_fields__,
        InstrumentShare: InstrumentShare.__struct_fields__,
        Connections: tuple(name for name in Connections.__struct_fields__ if name != "last"),
    }
    set_fields = {name for client in clients for name, _ in _flat(client)}
    return [
        name
        for field in msgspec.structs.fields(ClientSummary)
        for name in ("_".join(filter(None, (field.name, nested_name))) for nested_name in nested.get(field.type, ("",)))
        if field.default is not msgspec.UNSET or name in set_fields
    ]


def _flat(client: ClientSummary) -> Iterator[tuple[str, CsvValue]]:
    for name, value in msgspec.structs.asdict(client).items():
        if isinstance(value, msgspec.Struct):
            # Without the list of connections: a cell has one value.
            parts = msgspec.structs.asdict(value).items()
            yield from ((f"{name}_{part}", one) for part, one in parts if not isinstance(one, list))
        elif isinstance(value, list):
            # Not a hyphen: spreadsheets take 3-5 for a date.
            yield name, " ".join(f"{first}..{last}" for first, last in value)
        elif value is not msgspec.UNSET:
            yield name, value
