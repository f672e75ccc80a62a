"""The texts of the terminal: a line per second while a run goes on, and the summary when it is over.

Plain text of at most 100 columns; colour only where the caller says so. Every number carries its unit.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from services.collector import words
from services.contract.summary import ClientSummary, Fault, Quantiles, Summary

WIDTH = 100
MOST_ROWS = 60
MOST_REASONS = 12

_COLOURS = {"PASS": "32", "FAIL": "31", "INVALID": "33"}
MARKS = {True: "✓", False: "✗", None: "-"}
_COLUMNS = ("min", "p50", "p90", "p99", "p99.9", "max")


def clock(elapsed_s: float | None) -> str:
    """Return a time since the start: ``00:07``, ``1:02:03``."""
    seconds = max(0, int(elapsed_s or 0))
    minutes, hours = seconds // 60 % 60, seconds // 3600
    return f"{hours}:{minutes:02d}:{seconds % 60:02d}" if hours else f"{minutes:02d}:{seconds % 60:02d}"


def progress(summary: Summary, elapsed_s: float | None, rate: float | None) -> str:
    """Return the line of one second.

    Args:
        summary: the run as it stands.
        elapsed_s: since the first record was due.
        rate: messages logged per second of late, all clients together.
    """
    if summary.state in ("opened", "waiting"):
        return summary.headline.replace(": ", "   ", 1)
    totals, clients = summary.totals, len(summary.clients)
    expected = clients * (summary.total or 0)
    share = f" ({100 * totals.received / expected:.1f} %)" if expected else ""
    p99 = summary.latency_ns.p99 if summary.latency_ns.p99 is not None else summary.transit_ns.p99
    parts = [
        f"{clock(elapsed_s)}  {summary.state:<7}",
        words.several(clients, "client"),
        f"{totals.received:,} of {expected:,}{share}",
        f"{'-' if rate is None else words.number(round(rate))} msg/s",
        f"p99 {words.duration(p99)}",
        f"missing {totals.missing:,}",
    ]
    return "   ".join(parts)[:WIDTH]


def final(summary: Summary, places: str, *, colour: bool = False) -> str:
    """Return the summary of a run, the verdict first.

    Args:
        summary: the run.
        places: where the files are, the last line.
        colour: use the terminal's colours.
    """
    return "\n".join(line.rstrip() for line in _lines(summary, places, colour=colour))


def fault_line(fault: Fault) -> str:
    """Return a fault as ``file:line  kind  client  seq a-b  detail``."""
    seqs = f"seq {fault.missing[0]}-{fault.missing[1]}" if fault.missing else "seq -"
    return f"{fault.file}:{fault.line}  {fault.kind}  {fault.client or '-'}  {seqs}  {fault.detail}"


def _lines(summary: Summary, places: str, *, colour: bool) -> Iterator[str]:
    verdict = summary.verdict or summary.state.upper()
    shown = f"\x1b[1;{_COLOURS[verdict]}m{verdict}\x1b[0m" if colour and verdict in _COLOURS else verdict
    first, *rest = textwrap.wrap(summary.headline, WIDTH - 5 - len(verdict)) or [""]
    yield ""
    yield f"  {shown}   {first}"
    yield from (" " * (5 + len(verdict)) + line for line in rest)
    if summary.verdict is not None:
        yield from _section("CHECKS")
        yield from (f"    {MARKS[check.ok]} {check.name:<20}{check.detail}"[:WIDTH] for check in summary.checks)
    if summary.thresholds:
        yield from _section("THRESHOLDS")
        for limit in summary.thresholds:
            yield f"    {MARKS[limit.ok]} {limit.expression:<20}  {limit.detail}"
    yield from _delivery(summary)
    yield from _durations(summary)
    yield from _clients(summary)
    if len(summary.reasons) > 1:
        yield from _section("REASONS")
        yield from _reasons(summary.reasons)
    yield ""
    yield f"  {places}"
    yield ""


def _section(title: str) -> Iterator[str]:
    yield ""
    yield f"  {title}"


def _delivery(summary: Summary) -> Iterator[str]:
    totals = summary.totals
    yield from _section("DELIVERY")
    rate = f"{words.number(round(totals.messages_per_second))} msg/s" if totals.messages_per_second else "-"
    yield _row(
        "received", f"{totals.received:,} of {totals.expected:,}", rate, f"{words.size(totals.bytes_per_second)}/s"
    )
    yield _row("record bytes", words.size(totals.bytes), words.several(totals.blocks, "block"))
    yield _row("missing", f"{totals.missing:,}")
    for cause, label in words.CAUSE_WORDS.items():
        count = getattr(summary.missing_by_cause, cause)
        if count:
            yield _row(f"  {label}", f"{count:,}")
    yield _row("duplicates", f"{totals.duplicates:,}", f"reordered {totals.reordered:,}", f"corrupt {totals.corrupt:,}")
    yield _row("residual", f"{totals.residual:,}", f"logged, not receipted {totals.logged_not_receipted:,}")


def _row(name: str, *values: str) -> str:
    return f"    {name + ' ':.<30}: " + "   ".join(values)


def _durations(summary: Summary) -> Iterator[str]:
    rows = (
        ("latency from due time", summary.latency_ns),
        ("latency from send time", summary.transit_ns),
        ("spread first to last client", summary.spread_ns),
        ("time to receive a block", summary.block_duration_ns),
    )
    yield ""
    yield f"  {'TIMES':<30}" + "".join(f"{name:>11}" for name in _COLUMNS)
    for name, quantiles in rows:
        if quantiles.max is not None:
            yield f"    {name:<28}" + "".join(f"{words.duration(value):>11}" for value in _values(quantiles))


def _values(quantiles: Quantiles) -> list[int | None]:
    return [quantiles.min, quantiles.p50, quantiles.p90, quantiles.p99, quantiles.p99_9, quantiles.max]


def _clients(summary: Summary) -> Iterator[str]:
    if not summary.clients:
        return
    yield ""
    width = max(16, min(30, max(len(client.client) for client in summary.clients) + 2))
    heads = f"{'block':>7}{'blocks':>8}{'received':>12}{'block p50':>11}{'p99 lat.':>11}{'missing':>9}{'dup':>6}"
    yield f"  {'CLIENTS':<{width}}{heads}  state"
    for client in summary.clients[:MOST_ROWS]:
        yield _client(client, width)
    if len(summary.clients) > MOST_ROWS:
        yield f"    and {len(summary.clients) - MOST_ROWS:,} more in summary.json"


def _client(client: ClientSummary, width: int) -> str:
    p99 = client.latency_ns.p99 if client.latency_ns.p99 is not None else client.transit_ns.p99
    size = f"{client.block_size:,}" if client.block_size else "-"
    return (
        f"    {client.client[: width - 3]:<{width - 2}}{size:>7}{client.blocks:>8,}{client.received:>12,}"
        f"{words.duration(client.block_duration_ns.p50):>11}{words.duration(p99):>11}"
        f"{client.missing:>9,}{client.duplicates:>6,}  {client.state}"
    )


def _reasons(reasons: list[str]) -> Iterator[str]:
    for reason in reasons[:MOST_REASONS]:
        yield from textwrap.wrap(reason, WIDTH, initial_indent="    ", subsequent_indent="      ")
    if len(reasons) > MOST_REASONS:
        yield f"    and {len(reasons) - MOST_REASONS:,} more in summary.json"
