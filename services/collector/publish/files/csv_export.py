"""The clients as CSV: the numbers of ``summary.json`` as they are, one client a row, the unit in the column's name."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from services.contract.summary import Causes, ClientSummary, Quantiles, Summary

Value: TypeAlias = str | int | float | None


def sheet(summary: Summary) -> bytes:
    """Return the clients of a run: a field of a field is a column of its own, ``latency_ns_p99``; null is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", *columns()])
    writer.writerows([summary.run, *(value for _, value in _flat(client))] for client in summary.clients)
    return text.getvalue().encode()


def columns() -> list[str]:
    """Return the names of the columns behind the run's, in the order of the fields of a client's summary."""
    inner: dict[object, tuple[str, ...]] = {
        Quantiles: Quantiles.__struct_fields__,
        Causes: Causes.__struct_fields__,
    }
    return [
        "_".join(filter(None, (field.name, part)))
        for field in msgspec.structs.fields(ClientSummary)
        for part in inner.get(field.type, ("",))
    ]


def _flat(client: ClientSummary) -> Iterator[tuple[str, Value]]:
    for name, value in msgspec.structs.asdict(client).items():
        if isinstance(value, msgspec.Struct):
            yield from ((f"{name}_{part}", one) for part, one in msgspec.structs.asdict(value).items())
        elif isinstance(value, list):
            yield name, " ".join(f"{first}-{last}" for first, last in value)
        else:
            yield name, value
