"""One run as texts: every number that any output shows is formatted here, once, so that all outputs agree.

Terminal, page, report and the files of a run are made from a `View` and format no numbers themselves; the number
formats are in `formatting`. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from services.collector import formatting
from services.collector.publish.clients_table import clients_table, latency_from, shown_latency
from services.collector.publish.connections_table import connected_text, connections_table
from services.collector.publish.table import Column, Table, Tone, block_duration_cell, duration_cell, text_cell
from services.collector.verdict.check_types import DAMAGE
from services.collector.verdict.snapshot import Snapshot
from services.contract.summary import ClientSummary, RunState, Summary, Totals, Verdict

# INVALID is a doubt about the measurement, and no fact against the run.
TONES: dict[str | None, Tone] = {"PASS": "good", "FAIL": "bad", "INVALID": "doubt"}
QUANTILES = {"min": "min", "p50": "p50", "p90": "p90", "p95": "p95", "p99": "p99", "p99_9": "p99.9", "max": "max"}
TIMES = {
    "latency_ns": "latency from due time",
    "catch_up_ns": "catch-up",
    "transit_ns": "latency from send time",
    "spread_ns": "spread first→last client",
    "block_duration_ns": "time to receive a block",
}


class Tile(msgspec.Struct, frozen=True, kw_only=True):
    """One of the most important numbers, with a sentence of ``hint``."""

    key: str
    label: str
    text: str
    hint: str = ""
    tone: Tone = ""


class CheckRow(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a check or a threshold; ``ok`` is null while it is not known, or where it does not apply."""

    ok: bool | None
    name: str
    detail: str


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A label and its texts: the number, then additions to it. An ``inner`` row is a part of the row above."""

    label: str
    texts: list[str]
    inner: bool = False
    tone: Tone = ""


class View(msgspec.Struct, frozen=True, kw_only=True):
    """One run as it is shown. ``reasons`` holds all of them; the first is the headline of a run that did not pass.

    ``duration_ns`` is the time from the first receipt to the last, ``share`` the delivered fraction, 0 to 1.
    ``places`` is a line that names the folders of the run's files.
    """

    run: str
    state: RunState
    verdict: Verdict | None
    tone: Tone
    headline: str
    reasons: list[str]
    duration_ns: int | None
    share: float
    tiles: list[Tile]
    checks: list[CheckRow]
    thresholds: list[CheckRow]
    delivery: list[Row]
    times: Table
    clients: Table
    # Only of an external feed: the connections to our own server are in its ledger.
    connections: Table | msgspec.UnsetType = msgspec.UNSET
    places: str

    def tile(self, key: str) -> Tile:
        """Return the tile of a key."""
        return next(tile for tile in self.tiles if tile.key == key)


def view(snapshot: Snapshot, places: str) -> View:
    """Return a run as it is shown.

    Args:
        snapshot: the run in numbers and over time.
        places: the line that names the folders of its files.
    """
    summary, expected = snapshot.summary, _expected(snapshot.summary)
    return View(
        run=summary.run,
        state=summary.state,
        verdict=summary.verdict,
        tone=TONES.get(summary.verdict, ""),
        headline=summary.headline,
        reasons=summary.reasons,
        duration_ns=summary.totals.duration_ns,
        share=summary.totals.received / expected if expected else 0.0,
        tiles=tiles(summary),
        checks=[CheckRow(ok=check.ok, name=check.name, detail=check.detail) for check in summary.checks],
        thresholds=[CheckRow(ok=limit.ok, name=limit.expression, detail=limit.detail) for limit in summary.thresholds],
        delivery=list(_delivery(summary)),
        times=_times(summary),
        clients=clients_table(summary, snapshot.timeline),
        connections=connections_table(summary) if summary.books == "one-sided" else msgspec.UNSET,
        places=places,
    )


def tiles(summary: Summary) -> list[Tile]:
    """Return the most important numbers of a run, those about the quality of the measurement last."""
    return [*_delivery_tiles(summary), *_data_quality_tiles(summary)]


def _expected(summary: Summary) -> int | None:
    # How many messages each client should have is known when the run is over; until then, assume all of them.
    is_over = summary.verdict is not None or summary.state in ("ended", "closed") or summary.books == "one-sided"
    return summary.totals.expected if is_over else summary.client_count * (summary.total or 0)


def _delivery_tiles(summary: Summary) -> Iterator[Tile]:
    totals, expected = summary.totals, _expected(summary)
    yield Tile(
        key="verdict", label="verdict", text=summary.verdict or summary.state,
        hint=f"run {summary.run}", tone=TONES.get(summary.verdict, ""),
    )  # fmt: skip
    yield Tile(
        key="delivered", label="delivered", text=_received_of(totals.received, expected),
        hint=formatting.percent(totals.received, expected) if expected is not None else "",
    )  # fmt: skip
    rate, *bytes_rate = _rates(summary) or ["-"]
    yield Tile(key="rate", label="rate", text=rate, hint=" ".join(bytes_rate))
    yield _latency_tile(summary)
    none_missing = "" if totals.missing is None else "no message"
    yield Tile(
        key="missing", label="missing", text=formatting.count(totals.missing), tone="bad" if totals.missing else "",
        hint=", ".join(f"{count:,} {label}" for label, count in _causes(summary)) or none_missing,
    )  # fmt: skip
    yield Tile(
        key="blocks", label="blocks", text=f"{totals.blocks:,}", hint=f"{formatting.size(totals.bytes)} of records"
    )
    lost = summary.client_states["lost"]
    yield Tile(
        key="clients", label="clients", text=f"{summary.client_count:,}", hint=f"{lost:,} lost" if lost else "",
        tone="bad" if lost else "",
    )  # fmt: skip
    longest, *client_and_start = _silence(summary) or ["-"]
    yield Tile(key="silence", label="longest silence", text=longest, hint=" ".join(client_and_start))


def _latency_tile(summary: Summary) -> Tile:
    p99 = shown_latency(summary).p99
    if summary.books == "one-sided" and p99 is None and summary.totals.received > 0:
        return Tile(key="p99", label="latency p99", text=formatting.NOT_KNOWN, hint="no sender's time")
    caught_up = f"; {summary.totals.catch_up:,} caught up" if summary.totals.catch_up else ""
    return Tile(key="p99", label="latency p99", text=formatting.duration(p99), hint=latency_from(summary) + caught_up)


def _data_quality_tiles(summary: Summary) -> Iterator[Tile]:
    """Yield tiles about the quality of the measurement: every other number depends on it."""
    # Faults of the ledger are not the client's, and count among the others.
    damaged = sum(fault.client is not None and fault.kind in DAMAGE for fault in summary.faults)
    others = len(summary.faults) - damaged
    yield Tile(
        key="damaged", label="damaged lines", text=f"{damaged:,}", hint="in the clients' logs",
        tone="bad" if damaged else "",
    )  # fmt: skip
    yield Tile(
        key="faults", label="other faults", text=f"{others:,}", tone="doubt" if others else "",
        hint=f"found in {'the logs' if summary.books == 'one-sided' else 'ledger and logs'}",
    )  # fmt: skip
    # The number is taken from the check, so that tile and check cannot differ.
    late = next((check for check in summary.checks if check.name == "generator on time"), None)
    detail = (late.detail if late else "") or "-"
    yield Tile(
        key="generator", label="server's lateness", text=detail.partition(" late,")[0], hint=detail,
        tone="doubt" if late and late.ok is False else "",
    )  # fmt: skip


def _silence(summary: Summary) -> list[str]:
    longest = summary.silence
    if longest is None:
        return []
    return [formatting.duration(longest.duration_ns), f"{longest.client}, from {formatting.moment(longest.at)}"]


def _received_of(received: int, expected: int | None) -> str:
    return f"{received:,}" if expected is None else f"{received:,} of {expected:,}"


def _causes(summary: Summary) -> list[tuple[str, int]]:
    counts = ((label, getattr(summary.missing_by_cause, cause)) for cause, label in formatting.CAUSE_WORDS.items())
    return [(label, count) for label, count in counts if count]


def _rates(summary: Summary) -> list[str]:
    totals = summary.totals
    if totals.messages_per_second is None:
        return []
    return [formatting.rate(totals.messages_per_second), f"{formatting.size(totals.bytes_per_second)}/s"]


def _delivery(summary: Summary) -> Iterator[Row]:
    totals = summary.totals
    received = f"{_received_of(totals.received, _expected(summary))} messages"
    yield Row(label="received", texts=[received, *_rates(summary)])
    yield Row(
        label="logged",
        texts=[formatting.several(totals.blocks, "block"), f"{formatting.size(totals.bytes)} of records"],
    )
    if totals.gaps:
        least = f"at least {formatting.several(totals.gaps, 'message')}, in {formatting.several(totals.gaps, 'gap')}"
        yield Row(label="missing", texts=[least], inner=False, tone="bad")
    else:
        yield _message_row("missing", totals.missing)
    for label, count in _causes(summary):
        yield _message_row(label, count, inner=True)
    yield _message_row("duplicates", totals.duplicates)
    if totals.repeated:
        yield _message_row("again after reconnecting", totals.repeated, tone="")
    yield _message_row("out of order", totals.reordered)
    yield _message_row("corrupt in flight", totals.corrupt)
    yield _message_row("logged, not receipted", totals.logged_not_receipted, tone="")
    yield _message_row("residual", totals.residual, tone="doubt")
    # Only the rows that apply to the run: a dash in each of the others would hide the numbers that matter.
    if _silence(summary):
        yield Row(label="longest silence", texts=_silence(summary))
    if totals.catch_up:
        texts = [formatting.several(totals.catch_up, "message"), "due before their client first tried to connect"]
        yield Row(label="caught up", texts=texts)
    if summary.books == "one-sided":
        yield from _connected(summary)
        yield from _beside_the_numbers(totals)


def _beside_the_numbers(totals: Totals) -> Iterator[Row]:
    """Yield the rows of an external feed for messages of which something is not known, or that are not logged."""
    yield _message_row("without a number", totals.unsequenced, tone="")
    if totals.unreadable:
        yield _message_row(formatting.UNREADABLE, totals.unreadable, tone="doubt")
    beside = {
        "without a key": totals.without_key,
        "without a time": totals.without_time,
        "ignored": totals.ignored,
        "feed's own pings": totals.pings,
    }
    for label, number in beside.items():
        if number:
            yield _message_row(label, number, tone="")


def _connected(summary: Summary) -> Iterator[Row]:
    """Yield the row of the client that was connected for the shortest part of its time."""
    known = [client for client in summary.clients if client.connections.count is not None]
    if not known:
        return
    least = min(known, key=_connected_share)
    count = sum(client.connections.count or 0 for client in known)
    yield Row(
        label="connected",
        texts=[connected_text(least), f"{least.client}, the least" if len(known) > 1 else least.client,
               f"{formatting.several(count, 'connection')} in all"],
    )  # fmt: skip


def _connected_share(client: ClientSummary) -> float:
    known = client.connections
    return known.connected_ns / known.asked_ns if known.connected_ns is not None and known.asked_ns else 0.0


def _message_row(label: str, count: int | None, *, inner: bool = False, tone: Tone = "bad") -> Row:
    """Return a row for a count of messages, with this tone if there are any."""
    text = formatting.several(count, "message") if count is not None else formatting.NOT_KNOWN
    return Row(label=label, texts=[text], inner=inner, tone=tone if count else "")


def _times(summary: Summary) -> Table:
    columns = [Column(key="of", label="", numeric=False)]
    columns += [Column(key=key, label=label) for key, label in QUANTILES.items()]
    labels = {**TIMES, "latency_ns": "latency from sender's time"} if summary.books == "one-sided" else TIMES
    rows = []
    for name, label in labels.items():
        quantiles = getattr(summary, name)
        cell = block_duration_cell if name == "block_duration_ns" else duration_cell
        # A row without any value is left out, such as latency at rate 0.
        if quantiles.max is not None:
            rows.append([text_cell(label), *(cell(getattr(quantiles, key)) for key in QUANTILES)])
    return Table(columns=columns, rows=rows)
