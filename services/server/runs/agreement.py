"""How the servers of one run act as one: each follows the decisions and the ledgers of the others.

A server that is alone, or whose file system has no links, decides for itself, and nothing waits for anything.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path

from services.contract import ledger
from services.contract.scalars import utc_us
from services.server.runs.decisions import FOLDER, Decision, DecisionLog
from services.server.runs.exchange import LedgerExchange
from services.server.runs.siblings import ClientProgress, SiblingEntry, Siblings

log = logging.getLogger(__name__)

LEAD_US = 300_000
"""With other servers, a rate begins this long after it was decided: they look for decisions every 50 ms."""
BLIND_US = 150_000
"""A server that has not looked for decisions for this long looks before it sends: half of the lead."""

DecidedEntry = ledger.ControlEntry | ledger.ExpectEntry | ledger.PaceEntry | ledger.EndEntry


class Agreement:
    """The decisions about one run and the other servers that play it.

    Args:
        folder: of the run's ledgers.
        instance: this server process, whose ledger is in the folder.
        is_shared: whether the file system has links, so that several servers can play the run.
        known: bytes of the ledgers that were there when this process read the folder, by name.
        monotonic: returns monotonic seconds.
        exchange: with servers that have folders of their own; None if all have this one.

    Attributes:
        lead_us: with other servers, a rate begins this long after it was decided.
        next_run: name of the run after this one, empty while that is not decided.
        next_run_at: when it was decided, RFC 3339.
        number: this is the run number ``number`` that its servers play, from 1 on.
        invocation: of ``python -m services`` whose servers play it; empty without one, None if that is not known.
    """

    def __init__(
        self,
        folder: Path,
        instance: str,
        *,
        is_shared: bool,
        known: dict[str, int] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        exchange: LedgerExchange | None = None,
    ) -> None:
        self.lead_us = LEAD_US if exchange is None else exchange.lead_us
        self.instance, self.is_shared = instance, is_shared
        self.next_run, self.next_run_at, self.number = "", "", 1
        self.invocation: str | None = None
        self._decisions = DecisionLog(folder / FOLDER) if exchange is None else exchange.decisions(folder.name)
        self._siblings = Siblings(folder, f"{instance}.jsonl", monotonic, known)
        self._has_failed = False

    def decisions(self) -> list[tuple[DecidedEntry, ...]]:
        """Return the entries of each decision since the last call; note what else was decided."""
        if not self.is_shared:
            return []
        found = []
        try:
            news = self._decisions.news()
        except OSError as problem:
            self._warn(problem)
            return []
        for decision in news:
            if decision.entries:
                found.append(decision.entries)
            elif decision.next_run:
                self.next_run, self.next_run_at = decision.next_run, decision.at
            elif decision.opened:
                self.number, self.invocation = decision.opened, decision.invocation
            elif decision.leaves:
                self._siblings.add_departure(decision.instance)
        return found

    def sibling_entries(self) -> Iterable[SiblingEntry | ClientProgress]:
        """Return what other servers have entered about clients since the last call."""
        return self._siblings.news() if self.is_shared else ()

    def decide(self, at: str, *entries: DecidedEntry) -> bool:
        """Decide that every server enters these lines; return False if another decision came first."""
        return self._decide(Decision(at=at, instance=self.instance, entries=entries))

    def decide_next(self, at: str, run: str) -> bool:
        """Decide which run is next; return False if another decision came first, or the answer is not known."""
        if not self._decide(Decision(at=at, instance=self.instance, next_run=run), patiently=True):
            return False
        self.next_run, self.next_run_at = run, at
        return True

    def is_next_run_new(self, now_us: int, seconds: float) -> bool:
        """Return whether the next run was decided so lately that its server may be about to open it."""
        try:
            return abs(now_us - utc_us(self.next_run_at)) < seconds * 1_000_000
        except (ValueError, OverflowError):
            return False

    def decide_opened(self, at: str, number: int, invocation: str) -> None:
        """State which run of its servers this one is, and who started them; another server may have done so before."""
        self.number, self.invocation = number, invocation
        self._decide(Decision(at=at, instance=self.instance, opened=number, invocation=invocation), patiently=True)

    def leave(self, at: str) -> bool:
        """Announce that this server stops: of servers that stop together, the last one knows that it is the last."""
        return self._decide(Decision(at=at, instance=self.instance, leaves=True))

    def _decide(self, decision: Decision, *, patiently: bool = False) -> bool:
        if not self.is_shared:
            return True
        try:
            is_decided = self._decisions.decide(decision, patiently=patiently)
        except OSError as problem:
            self._warn(problem)
            # Alone, a disk that refuses must not change what the server does: the ledger has the entries.
            return not self._decisions.is_required and not self.has_siblings()
        self._has_failed = False
        return is_decided

    def _warn(self, problem: OSError) -> None:
        if not self._has_failed:
            log.warning("decisions refused", extra={"path": self._decisions.place, "why": str(problem)})
        self._has_failed = True

    def has_siblings(self, *, proven: bool = False, leaving: bool = False) -> bool:
        """Return whether another server plays this run, as far as is known.

        Args:
            proven: whether a server counts only after it has changed its ledger.
            leaving: whether one that has announced that it stops counts, while it does so.
        """
        return self.is_shared and bool(self._siblings.living(proven=proven, leaving=leaving))

    @property
    def is_alone(self) -> bool:
        """Whether the run had no other ledger at the last look, which `sibling_entries` takes. Costs nothing."""
        return not self._siblings

    def server_count(self) -> int:
        """Return the number of servers that play this run, this one included."""
        return 1 + (len(self._siblings.living()) if self.is_shared else 0)

    def boots(self) -> set[str]:
        """Return the identities of the kernels under which the other servers write their ledgers."""
        return self._siblings.boots() if self.is_shared else set()

    def connected(self) -> dict[str, int]:
        """Return the clients that are connected to other servers, by name, with the fence of their subscription."""
        return self._siblings.connected() if self.is_shared else {}


def decided_after(
    known: Collection[object], decisions: Sequence[tuple[DecidedEntry, ...]]
) -> Iterator[tuple[DecidedEntry, ...]]:
    """Yield the decisions that no ledger has yet, in their order.

    Servers enter decisions in their order, so those before the last one that a ledger has are in a ledger too.

    Args:
        known: the keys of the entries in the ledgers, as `entry_key` returns them.
        decisions: entries of each decision.
    """
    first = 0
    for index, entries in enumerate(decisions):
        if any(entry_key(entry) in known for entry in entries):
            first = index + 1
    yield from decisions[first:]


def entry_key(entry: DecidedEntry) -> object:
    """Return what is equal in the lines that several servers enter for one decision."""
    match entry:
        case ledger.PaceEntry():
            return entry.first, entry.due_us, entry.rate
        case ledger.EndEntry():
            return entry.last, entry.reason
        case _:
            # The other servers enter it with the time of the first one.
            return entry
