"""The longest time in which a client received nothing while it was part of the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import sub
from typing import NamedTuple

from services.collector.evidence.ledger_evidence import ClientLedger
from services.collector.evidence.timestamps import bounded, moment
from services.contract.blocklog import AnyBlock
from services.contract.scalars import MAX_INTEGER
from services.contract.summary import ClientState


class LongestSilence(NamedTuple):
    """So long nothing came, from this moment on (epoch microseconds)."""

    ns: int
    at_us: int


class SilenceFinder:
    """What the blocks of one client tell of silence: within them and before them, and when its sessions had messages.

    Of equally long silences the first counts.
    """

    def __init__(self) -> None:
        self.longest: LongestSilence | None = None
        self.sessions: dict[int, tuple[int, int]] = {}
        """The moments of the first and the last message of each session."""

    def take(self, block: AnyBlock, moments: Sequence[int]) -> None:
        """Take a block and the different moments, in order, at which its messages came."""
        earliest, latest = moments[0], moments[-1]
        first, last = self.sessions.get(block.session, (earliest, latest))
        self.sessions[block.session] = min(first, earliest), max(last, latest)
        self.note(block.idle_ns, bounded(earliest - block.idle_ns // 1000))
        if self.longest is None or (latest - earliest) * 1000 >= self.longest.ns:
            steps = list(map(sub, moments[1:], moments))
            if steps:
                self.note(max(steps) * 1000, moments[steps.index(max(steps))])

    def note(self, ns: int, at_us: int) -> None:
        """Note that nothing came for so long from this moment on; no time at all is no silence."""
        if ns > 0 and (self.longest is None or (ns, -at_us) > (self.longest.ns, -self.longest.at_us)):
            self.longest = LongestSilence(ns, at_us)


def longest(
    silences: SilenceFinder, ledger: ClientLedger, state: ClientState, start_us: int | None, end_us: int | None
) -> LongestSilence | None:
    """Return the longest silence of a client, with those before its first message, between sessions and at the end.

    Nobody is silent before it has subscribed and the first record was due, nor from its goodbye until it is back.

    Args:
        silences: what its blocks tell.
        ledger: what the servers entered about it.
        state: how it ended.
        start_us: when the first record was due, None if nobody knows.
        end_us: when the run ended, None while it goes on.
    """
    found = SilenceFinder()
    found.longest = silences.longest
    joined = min(filter(None, (moment(entry.at) for entry in ledger.subscriptions.values())), default=None)
    since = max(joined, start_us) if joined is not None and start_us is not None else None
    if state == "left":
        end_us = moment(ledger.leaves[max(ledger.leaves)].at)
    tail = [(end_us, end_us)] if state in ("left", "lost") and end_us is not None else []
    for first, last in [*sorted(silences.sessions.values()), *tail]:
        if since is not None:
            for begin, until in _present(since, first, _absences(ledger)):
                found.note((until - begin) * 1000, begin)
        since = last if since is None else max(since, last)
    return found.longest


def _absences(ledger: ClientLedger) -> list[tuple[int, int]]:
    """Return from which goodbye to which return the client was not part of the run."""
    came = {fence: moment(entry.at) for fence, entry in ledger.subscriptions.items()}
    found = []
    for fence, entry in ledger.leaves.items():
        gone = moment(entry.at)
        if entry.cause == "bye" and gone is not None:
            later = (at for other, at in came.items() if other > fence and at is not None)
            found.append((gone, min(later, default=MAX_INTEGER)))
    return sorted(found)


def _present(since: int, until: int, absences: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    for gone, back in absences:
        if since <= gone < until:
            yield since, gone
            since = back
    yield since, until
