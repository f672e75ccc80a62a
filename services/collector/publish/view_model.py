"""A snapshot in texts: every number that a face shows is put into words here, once, so that all faces agree.

Terminal, page, report and the files of a run are made from a `View` and format nothing themselves; `words` is the only
place of number formats. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from services.collector import formatting
from services.collector.publish import clients_table
from services.collector.publish.clients_table import Cell, Column, Table, Tone
from services.collector.verdict.check_types import DAMAGE
from services.collector.verdict.snapshot import Snapshot
from services.contract.summary import RunState, Summary, Verdict

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
    """One number that is looked at first, with a sentence of ``hint``."""

    key: str
    label: str
    text: str
    hint: str = ""
    tone: Tone = ""


class CheckRow(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a check or a threshold; ``ok`` is null while that is not known, or does not apply."""

    ok: bool | None
    name: str
    detail: str


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A label and its texts: the number itself, then what else belongs to it. A part of the row above is ``inner``."""

    label: str
    texts: list[str]
    inner: bool = False
    tone: Tone = ""


class View(msgspec.Struct, frozen=True, kw_only=True):
    """One run as it is shown. ``reasons`` are all of them; the first is the headline of a run that did not pass.

    ``duration_ns`` is the time from the first receipt to the last, ``share`` what was delivered of 1.
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
    places: str

    def tile(self, key: str) -> Tile:
        """Return the tile of a key."""
        return next(tile for tile in self.tiles if tile.key == key)


def view(snapshot: Snapshot, places: str) -> View:
    """Return a run as it is shown.

    Args:
        snapshot: the run in numbers and over time.
        places: where its files are, the last line.
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
        clients=clients_table.table(summary, snapshot.timeline),
        places=places,
    )


def tiles(summary: Summary) -> list[Tile]:
    """Return the numbers of a run that are looked at first."""
    return [*_tiles(summary), *_own(summary)]


def _expected(summary: Summary) -> int | None:
    # What the clients answer for is known when the run is over; before, all of them are to get all of it.
    over = summary.verdict is not None or summary.state in ("ended", "closed") or summary.books == "one-sided"
    return summary.totals.expected if over else len(summary.clients) * (summary.total or 0)


def _tiles(summary: Summary) -> Iterator[Tile]:
    totals, expected = summary.totals, _expected(summary)
    lost = sum(client.state == "lost" for client in summary.clients)
    p99 = clients_table.timed(summary).p99
    yield Tile(
        key="verdict", label="verdict", text=summary.verdict or summary.state,
        hint=f"run {summary.run}", tone=TONES.get(summary.verdict, ""),
    )  # fmt: skip
    yield Tile(
        key="delivered", label="delivered", text=_of(totals.received, expected),
        hint=formatting.percent(totals.received, expected) if expected is not None else "",
    )  # fmt: skip
    rate, *bytes_rate = _rates(summary) or ["-"]
    yield Tile(key="rate", label="rate", text=rate, hint=" ".join(bytes_rate))
    none = "" if totals.missing is None else "no message"
    untimed = summary.books == "one-sided" and p99 is None and totals.received > 0
    yield Tile(
        key="p99", label="latency p99", text="not known" if untimed else formatting.duration(p99),
        hint=_latency_hint(summary, untimed=untimed),
    )  # fmt: skip
    yield Tile(
        key="missing", label="missing", text=formatting.count(totals.missing), tone="bad" if totals.missing else "",
        hint=", ".join(f"{count:,} {label}" for label, count in _causes(summary)) or none,
    )  # fmt: skip
    yield Tile(
        key="blocks", label="blocks", text=f"{totals.blocks:,}", hint=f"{formatting.size(totals.bytes)} of records"
    )
    yield Tile(
        key="clients", label="clients", text=f"{len(summary.clients):,}", hint=f"{lost:,} lost" if lost else "",
        tone="bad" if lost else "",
    )  # fmt: skip
    longest, *whose = _silence(summary) or ["-"]
    yield Tile(key="silence", label="longest silence", text=longest, hint=" ".join(whose))


def _latency_hint(summary: Summary, *, untimed: bool) -> str:
    if untimed:
        return "no sender's time"
    caught_up = f"; {summary.totals.catch_up:,} caught up" if summary.totals.catch_up else ""
    return clients_table.latency_from(summary) + caught_up


def _silence(summary: Summary) -> list[str]:
    longest = summary.silence
    if longest is None:
        return []
    return [formatting.duration(longest.duration_ns), f"{longest.client}, from {formatting.moment(longest.at)}"]


def _own(summary: Summary) -> Iterator[Tile]:
    """Return what the instrument itself got wrong: a first-class number, for all others hang on it."""
    damaged = sum(fault.client is not None and fault.kind in DAMAGE for fault in summary.faults)
    others = len(summary.faults) - damaged
    yield Tile(
        key="damaged", label="damaged lines", text=f"{damaged:,}", hint="in the clients' logs",
        tone="bad" if damaged else "",
    )  # fmt: skip
    yield Tile(
        key="faults", label="faults of the books", text=f"{others:,}", tone="doubt" if others else "",
        hint=f"that the collector found in {'their one side' if summary.books == 'one-sided' else 'both sides'}",
    )  # fmt: skip
    late = next((check for check in summary.checks if check.name == "generator on time"), None)
    detail = (late.detail if late else "") or "-"
    yield Tile(
        key="generator", label="server's lateness", text=detail.partition(" late,")[0], hint=detail,
        tone="doubt" if late and late.ok is False else "",
    )  # fmt: skip


def _of(received: int, expected: int | None) -> str:
    return f"{received:,}" if expected is None else f"{received:,} of {expected:,}"


def _causes(summary: Summary) -> list[tuple[str, int]]:
    found = ((label, getattr(summary.missing_by_cause, cause)) for cause, label in formatting.CAUSE_WORDS.items())
    return [(label, count) for label, count in found if count]


def _rates(summary: Summary) -> list[str]:
    totals = summary.totals
    if totals.messages_per_second is None:
        return []
    return [formatting.rate(totals.messages_per_second), f"{formatting.size(totals.bytes_per_second)}/s"]


def _delivery(summary: Summary) -> Iterator[Row]:
    totals = summary.totals
    of = f"{_of(totals.received, _expected(summary))} messages"
    yield Row(label="received", texts=[of, *_rates(summary)])
    yield Row(
        label="logged",
        texts=[formatting.several(totals.blocks, "block"), f"{formatting.size(totals.bytes)} of records"],
    )
    yield _messages("missing", totals.missing)
    for label, count in _causes(summary):
        yield _messages(label, count, inner=True)
    yield _messages("duplicates", totals.duplicates)
    yield _messages("out of order", totals.reordered)
    yield _messages("corrupt in flight", totals.corrupt)
    yield _messages("logged, not receipted", totals.logged_not_receipted, against="")
    yield _messages("residual", totals.residual, against="doubt")
    if _silence(summary):
        yield Row(label="longest silence", texts=_silence(summary))
    if totals.catch_up:
        texts = [formatting.several(totals.catch_up, "message"), "due before their client first tried to take part"]
        yield Row(label="caught up", texts=texts)
    if summary.books == "one-sided":
        yield _messages("without a number", totals.unsequenced, against="")
        if totals.unreadable:
            yield _messages(formatting.UNREADABLE, totals.unreadable, against="doubt")


def _messages(label: str, count: int | None, *, inner: bool = False, against: Tone = "bad") -> Row:
    text = formatting.several(count, "message") if count is not None else formatting.NOT_KNOWN
    return Row(label=label, texts=[text], inner=inner, tone=against if count else "")


def _times(summary: Summary) -> Table:
    columns = [Column(key="of", label="", numeric=False)]
    columns += [Column(key=key, label=label) for key, label in QUANTILES.items()]
    named = {**TIMES, "latency_ns": "latency from sender's time"} if summary.books == "one-sided" else TIMES
    measured = [(label, getattr(summary, key)) for key, label in named.items()]
    rows = [
        [Cell(text=label, value=label), *(clients_table.duration(getattr(quantiles, key)) for key in QUANTILES)]
        for label, quantiles in measured
        if quantiles.max is not None
    ]
    return Table(columns=columns, rows=rows)
