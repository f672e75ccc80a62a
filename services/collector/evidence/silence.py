"""Finds the longest time in which a client received nothing while it took part in the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import sub
from typing import NamedTuple

from services.collector.evidence.block_run import RunContent
from services.collector.evidence.ledger_evidence import ClientLedger
from services.collector.evidence.timestamps import bounded, moment
from services.contract.blocklog import AnyBlock
from services.contract.scalars import MAX_INTEGER
from services.contract.summary import ClientState


class LongestSilence(NamedTuple):
    """Duration of a silence in nanoseconds, and its begin in epoch microseconds."""

    ns: int
    at_us: int


class SilenceFinder:
    """Finds the longest silence within and before the blocks of one client, on a tie the first one.

    Attributes:
        longest: the longest silence so far.
        sessions: when the first and the last message of each session were received.
    """

    __slots__ = ("longest", "sessions")

    def __init__(self) -> None:
        self.longest: LongestSilence | None = None
        self.sessions: dict[int, tuple[int, int]] = {}

    def add_block(self, block: AnyBlock, times_us: Sequence[int]) -> None:
        """Add a block and the different times of its messages, epoch microseconds, sorted."""
        earliest, latest = times_us[0], times_us[-1]
        first, last = self.sessions.get(block.session, (earliest, latest))
        self.sessions[block.session] = min(first, earliest), max(last, latest)
        self.add(block.idle_ns, bounded(earliest - block.idle_ns // 1000))
        # This runs for every block, and a shorter block cannot contain a longer silence. An equal one counts, since on
        # a tie the first silence wins, and blocks may be read in any order.
        if self.longest is None or (latest - earliest) * 1000 >= self.longest.ns:
            steps = list(map(sub, times_us[1:], times_us))
            if steps:
                self.add(max(steps) * 1000, times_us[steps.index(max(steps))])

    def add_run(self, run: RunContent, times_us: Sequence[int]) -> None:
        """Add consecutive blocks and the times of their messages, epoch microseconds, ascending."""
        first, last = self.sessions.get(run.session, (times_us[0], times_us[-1]))
        self.sessions[run.session] = min(first, times_us[0]), max(last, times_us[-1])
        for block, begin, _ in run.parts():
            if block.idle_ns > 0:
                self.add(block.idle_ns, bounded(times_us[begin] - block.idle_ns // 1000))
        if self.longest is None or (times_us[-1] - times_us[0]) * 1000 >= self.longest.ns:
            steps = list(map(sub, times_us[1:], times_us))
            # The time before a block is in its `idle_ns`, by a clock that is exact.
            for _, begin, _ in run.parts():
                if begin:
                    steps[begin - 1] = 0
            longest_us = max(steps, default=0)
            if longest_us:
                self.add(longest_us * 1000, times_us[steps.index(longest_us)])

    def add(self, ns: int, at_us: int) -> None:
        """Add a silence that began at ``at_us``; a duration of 0 is ignored."""
        if ns > 0 and (self.longest is None or (ns, -at_us) > (self.longest.ns, -self.longest.at_us)):
            self.longest = LongestSilence(ns, at_us)

    def merge(self, other: SilenceFinder) -> None:
        """Add the silences of other blocks of the client."""
        for session, (first, last) in other.sessions.items():
            earliest, latest = self.sessions.get(session, (first, last))
            self.sessions[session] = min(first, earliest), max(last, latest)
        if other.longest is not None:
            self.add(*other.longest)


def longest(
    silences: SilenceFinder, ledger: ClientLedger, state: ClientState, start_us: int | None, end_us: int | None
) -> LongestSilence | None:
    """Return the longest silence of a client, also before its first message, between sessions and at the end.

    The time before the subscription or the first due record, and between a clean leave and a return, does not count.

    Args:
        silences: within and before its blocks.
        ledger: the ledger lines about it.
        state: how it ended.
        start_us: when the first record was due, None for not known.
        end_us: when the run ended, None while it goes on.
    """
    # A new finder: silences that depend on the present state must not stay in the evidence.
    finder = SilenceFinder()
    finder.longest = silences.longest
    joined = min(filter(None, (moment(entry.at) for entry in ledger.subscriptions.values())), default=None)
    since = max(joined, start_us) if joined is not None and start_us is not None else None
    if state == "left":
        end_us = moment(ledger.leaves[max(ledger.leaves)].at)
    tail = [(end_us, end_us)] if state in ("left", "lost") and end_us is not None else []
    for first, last in [*sorted(silences.sessions.values()), *tail]:
        if since is not None:
            for begin, until in _present(since, first, _absences(ledger)):
                finder.add((until - begin) * 1000, begin)
        # Sessions overlap when another process took over the name.
        since = last if since is None else max(since, last)
    return finder.longest


def _absences(ledger: ClientLedger) -> list[tuple[int, int]]:
    """Return the times from each departure on purpose to the next subscription, in order."""
    joined = {fence: moment(entry.at) for fence, entry in ledger.subscriptions.items()}
    absences = []
    for fence, entry in ledger.leaves.items():
        gone = moment(entry.at)
        if entry.cause == "bye" and gone is not None:
            later = (at for other, at in joined.items() if other > fence and at is not None)
            absences.append((gone, min(later, default=MAX_INTEGER)))
    return sorted(absences)


def _present(since: int, until: int, absences: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    for gone, back in absences:
        if since <= gone < until:
            yield since, gone
            since = back
    yield since, until
