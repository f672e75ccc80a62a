"""A run as the page gets it, of any number of clients: summary and timeline with everything in them that is drawn."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from services.collector.verdict.snapshot import Snapshot
from services.contract.summary import Causes, ClientSummary, Quantiles, Summary
from services.contract.timeline import Bar, ClientLane, Gap, Timeline, TimelineEvent, TimeSlot
from tests.asserts import known
from tests.builders.runs import RUN, good_run, judged

START_US = 1_795_332_600_000_000
STEP_US = 100_000
SIZES = (10, 25, 50, 100, 250)
RATE = 200
SECONDS = 30
SLOTS = SECONDS * 1_000_000 // STEP_US
LOST_AT, FOUND_AT = 4_102, 4_115
"""Seqs that the last of several clients misses."""


def example(clients: int = 5, **changes: Any) -> Snapshot:
    """Return a run of half a minute; with several clients the last one misses some seqs.

    ``changes`` are the summary's.
    """
    made = judged(good_run())
    names = [f"client-{number}" for number in range(1, clients + 1)]
    every = [client(name, index, has_losses=index == clients - 1 > 0) for index, name in enumerate(names)]
    received, missing = sum(one.received for one in every), sum(known(one.missing) for one in every)
    totals = msgspec.structs.replace(
        made.totals, expected=received + missing, received=received, missing=missing, bytes=300 * received,
        blocks=sum(one.blocks for one in every), duration_ns=SECONDS * 10**9,
        messages_per_second=received / SECONDS, bytes_per_second=300 * received / SECONDS,
    )  # fmt: skip
    summary = msgspec.structs.replace(
        made, clients=every, totals=totals, latency_ns=quantiles(1.0), transit_ns=quantiles(0.6),
        block_duration_ns=quantiles(200), spread_ns=quantiles(0.3),
    )  # fmt: skip
    if missing:
        headline = f"{names[-1]} lost {missing} messages, {LOST_AT:,}–{FOUND_AT:,}: sent, not logged"
        summary = msgspec.structs.replace(
            summary, verdict="FAIL", headline=headline, reasons=[headline, "1 of 5 clients is incomplete"],
            missing_by_cause=Causes(sent_not_logged=missing),
        )  # fmt: skip
    return Snapshot(msgspec.structs.replace(summary, **changes), timeline(names))


def quantiles(scale_ms: float) -> Quantiles:
    """Return quantiles around a number of milliseconds."""
    low, high = (round(scale_ms * factor * 1_000_000) for factor in (0.2, 9.4))
    middle = [round(scale_ms * factor * 1_000_000) for factor in (0.9, 1.8, 2.2, 3.1, 6.5)]
    return Quantiles(min=low, p50=middle[0], p90=middle[1], p95=middle[2], p99=middle[3], p99_9=middle[4], max=high)


def client(name: str, index: int, *, has_losses: bool) -> ClientSummary:
    """Return the summary of one client; one with losses misses a few seqs."""
    size, missing, total = SIZES[index % len(SIZES)], FOUND_AT - LOST_AT + 1 if has_losses else 0, RATE * SECONDS
    return ClientSummary(
        client=name, state="finished", block_size=size, blocks=math.ceil(total / size), sessions=1, expected=total,
        received=total - missing, missing=missing, duplicates=0, reordered=0, corrupt=0, residual=0,
        bytes=300 * (total - missing), logged_not_receipted=0,
        missing_ranges=[(LOST_AT, FOUND_AT)] if has_losses else [],
        missing_by_cause=Causes(sent_not_logged=missing), torn=0,
        clock_offset_us=0, clock_error_us=0, latency_ns=quantiles(1 + index % 7 / 10),
        transit_ns=quantiles(0.6), block_duration_ns=quantiles(1000 * size / RATE),
    )  # fmt: skip


def timeline(names: list[str]) -> Timeline:
    """Return these clients over time: a steady rate, a pause, a slower second, one gap."""
    return Timeline(
        run=RUN, start_us=START_US, end_us=START_US + SECONDS * 1_000_000, step_us=STEP_US,
        slots=[slot(index, len(names)) for index in range(SLOTS)],
        lanes=[lane(name, index, has_losses=index == len(names) - 1 > 0) for index, name in enumerate(names)],
        marks=[
            TimelineEvent(at_us=START_US, kind="start"),
            TimelineEvent(at_us=START_US + 12_000_000, kind="pause", detail="by 127.0.0.1"),
            TimelineEvent(at_us=START_US + 14_000_000, kind="resume", detail="by 127.0.0.1"),
            TimelineEvent(at_us=START_US + 20_500_000, kind="reconnect", client=names[-1], detail="after 212 ms"),
            TimelineEvent(at_us=START_US + SECONDS * 1_000_000, kind="end", detail="complete"),
        ],
    )  # fmt: skip


def slot(index: int, clients: int) -> TimeSlot:
    """Return a tenth of a second: nothing while the run is paused, later than usual for a second."""
    if 120 <= index < 140:
        return TimeSlot(at_us=START_US + index * STEP_US, messages=0, bytes=0, latency=None, transit=None, heat=[])
    late = 8 if 200 <= index < 210 else 1
    middle = round(900_000 * late * (1 + 0.1 * math.sin(index)))
    row = math.floor(2 * math.log2(middle))
    messages = 20 * clients
    return TimeSlot(
        at_us=START_US + index * STEP_US, messages=messages, bytes=300 * messages,
        latency=(middle, 3 * middle, 9 * middle), transit=(middle // late, 2 * middle // late, 4 * middle // late),
        heat=[(row - 1, messages // 4), (row, messages // 2), (row + 1, messages // 8), (row + 5, 1 + index % 3)],
    )  # fmt: skip


def lane(name: str, index: int, *, has_losses: bool) -> ClientLane:
    """Return one client's blocks, evenly in time; a client with losses is silent during its gap."""
    size = SIZES[index % len(SIZES)]
    length_us = size * 1_000_000 // RATE
    bars = []
    for block in range(1, RATE * SECONDS // size + 1):
        start, first = START_US + (block - 1) * length_us, (block - 1) * size + 1
        if not 12_000_000 <= start - START_US < 14_000_000:
            lasts, last = (length_us - 5_000) * 1_000, first + size - 1
            bars.append(
                Bar(session=1, block=block, start_us=start, duration_ns=lasts, first=first, last=last, count=size)
            )
    cause, lost_us = "sent, not logged", START_US + LOST_AT * 1_000_000 // RATE
    gaps = [Gap(seqs=(LOST_AT, FOUND_AT), cause=cause, from_us=lost_us, to_us=lost_us + 212_000)] if has_losses else []
    worst = [None if 120 <= at < 140 else 4_000_000 + 300_000 * (at % (5 + index % 5)) for at in range(SLOTS)]
    return ClientLane(client=name, stride=1, bars=bars, gaps=gaps, worst=worst)


def named(snapshot: Snapshot, name: str) -> Snapshot:
    """Return the run with another name for its first client, which no client may have but a log may contain."""
    summary: Summary = snapshot.summary
    clients = [msgspec.structs.replace(summary.clients[0], client=name), *summary.clients[1:]]
    lanes = [msgspec.structs.replace(snapshot.timeline.lanes[0], client=name), *snapshot.timeline.lanes[1:]]
    return Snapshot(
        msgspec.structs.replace(summary, clients=clients), msgspec.structs.replace(snapshot.timeline, lanes=lanes)
    )
