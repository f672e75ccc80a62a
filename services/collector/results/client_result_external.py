"""The accounts of a run whose books have one side: clients of a feed that is not ours, and nobody to say what was sent.

What one client holds is what can be held against another: a number that some other client received was sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from services.collector.evidence.client_groups import Groups
from services.collector.evidence.external_evidence import SequenceName
from services.collector.evidence.ledger_evidence import ClientLedger
from services.collector.evidence.log_evidence import LogEvidence
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.evidence.silence import LongestSilence, longest
from services.collector.results.client_result import ClientResult, client_order, file_faults, two_sided_accounts
from services.collector.results.connection_history import ConnectionHistory, attendance
from services.collector.results.silence_limit import rhythm
from services.contract.rangeset import RangeSet
from services.contract.scalars import MAX_INTEGER, Span
from services.contract.sequence_tracker import SequenceTracker as Numbers
from services.contract.summary import ClientState

CAUSES = ("corrupt_block", "sent_not_logged", "not_seen")
"""In the order in which they are asked: each takes what is left by those before it."""
BEHIND_US = 1_000_000
"""A client is held to what another one had by this long before the end: what is in flight then is nobody's loss."""


@dataclass(frozen=True)
class ExternalClientResult(ClientResult):
    """One client of a foreign feed. ``missing`` and ``causes`` are of the one sequence of a feed without keys.

    Attributes:
        keyed: the missing numbers of each sequence; empty when no message had a number, and so nothing is expected.
        by_cause: how many are missing by which cause, all sequences together.
        before: the numbers of each sequence that were missing when it began again, of those before it.
        unreadable: the numbers in whose places records stand that cannot be read: not received, and not missing.
        attendance: when it was connected.
        renumbered: how often a sequence began again with a new connection.
        again: numbers received again.
        late: numbers that came after a higher one.
        restarts: how often a sequence began again.
        unsequenced: messages without a number that can be used.
    """

    keyed: dict[SequenceName, RangeSet] = field(default_factory=dict)
    by_cause: dict[str, int] = field(default_factory=dict)
    before: dict[SequenceName, list[Span]] = field(default_factory=dict)
    unreadable: dict[SequenceName, RangeSet] = field(default_factory=dict)
    attendance: ConnectionHistory = field(default_factory=ConnectionHistory)
    renumbered: int = 0
    again: int = 0
    late: int = 0
    restarts: int = 0
    unsequenced: int = 0

    @property
    def is_numbered(self) -> bool:
        """Whether the feed has numbers: without, nobody can say whether anything is missing."""
        return bool(self.keyed)

    @property
    def missing_count(self) -> int:
        """How many numbers did not come, all sequences together."""
        return min(sum(self.by_cause.values()), MAX_INTEGER)

    @property
    def unreadable_count(self) -> int:
        """How many numbers stand where records cannot be read."""
        return sum(map(len, self.unreadable.values()))

    @property
    def residual(self) -> int:
        """Nobody knows what was sent: there is nothing for the books to differ from."""
        return 0

    @property
    def duplicates(self) -> int:
        """Messages received again."""
        return self.again

    @property
    def reordered(self) -> int:
        """Messages that came after one with a higher number."""
        return self.late

    @property
    def logged_not_receipted(self) -> int:
        """Nobody gives receipts."""
        return 0


def one_sided_accounts(books: RunEvidence, *, final: bool) -> list[ExternalClientResult]:
    """Return the account of every client of a run of a foreign feed, by name and number.

    ``final`` says that nothing more will be logged.
    """
    names = sorted((name for name, log in books.logs.items() if not log.is_empty), key=client_order)
    groups = comparable(books, names)
    union = _union(books, names, groups)
    return [_account(books, name, union, groups, final=final) for name in names]


def comparable(books: RunEvidence, names: Iterable[str]) -> Groups:
    """Return which clients may be held against each other, in sequences that did not begin again."""
    every = {name: books.logs[name].external.sequences() for name in names}
    restarted = {key for known in every.values() for key, numbers in known.items() if numbers.restarts}
    keys = {key for known in every.values() for key in known} - restarted
    starts = {
        name: {key: numbers.start for key, numbers in known.items() if numbers.start is not None}
        for name, known in every.items()
    }
    return books.times.comparison.groups(starts, keys)


def _union(books: RunEvidence, names: Iterable[str], groups: Groups) -> dict[tuple[SequenceName, int], RangeSet]:
    """Return what any client of a group received of each sequence that did not begin again: others are not compared."""
    held: dict[tuple[SequenceName, int], RangeSet] = {}
    restarted: set[SequenceName] = set()
    for name in names:
        for key, numbers in books.logs[name].external.sequences().items():
            if numbers.restarts:
                restarted.add(key)
            for first, last in numbers.held:
                held.setdefault((key, groups.group(key, name)), RangeSet()).add(first, last)
    return {known: seqs for known, seqs in held.items() if known[0] not in restarted}


def _account(
    books: RunEvidence, name: str, every: dict[tuple[SequenceName, int], RangeSet], groups: Groups, *, final: bool
) -> ExternalClientResult:
    books.rest()
    log = books.logs[name]
    state = _state(books, log, final=final)
    sequences = log.external.sequences()
    attended = attendance(log, state, log.external.productive())
    until_us = _until(books, log, state, attended)
    known = {key: every.get((key, groups.group(key, name))) for key in sequences}
    union = {key: seqs for key, seqs in known.items() if seqs is not None}
    ends = {key: _end(books, name, key, numbers, until_us, union, groups) for key, numbers in sequences.items()}
    absent = {key: _missing(numbers, ends[key]) for key, numbers in sequences.items()}
    unreadable = log.external.unreadable(absent)
    keyed = {key: missing - unreadable[key] for key, missing in absent.items()}
    causes = {key: _causes(log, key, missing, union.get(key, RangeSet())) for key, missing in keyed.items()}
    before = log.external.gaps_before()
    by_cause = _counts(causes.values(), before.values())
    only = keyed.get(None, RangeSet()) if set(keyed) <= {None} else RangeSet()
    received = sum(numbers.past + len(numbers.held) for numbers in sequences.values())
    expected = received + sum(by_cause.values()) + sum(map(len, unreadable.values()))
    return ExternalClientResult(
        client=name,
        state=state,
        log=log,
        ledger=ClientLedger(),
        expected=min(expected, MAX_INTEGER),
        received=received if sequences else log.messages,
        missing=only,
        causes=causes[None] if only else {cause: RangeSet() for cause in CAUSES},
        never_sent=0,
        faults=file_faults(log, RangeSet()),
        silence=_silence(log, state, attended, final=final),
        keyed=keyed,
        by_cause=by_cause,
        before=before,
        unreadable=unreadable,
        attendance=attended,
        renumbered=sum(numbers.restarts_by_connection for numbers in sequences.values()),
        again=sum(numbers.duplicates for numbers in sequences.values()),
        late=sum(numbers.reordered for numbers in sequences.values()),
        restarts=sum(numbers.restarts for numbers in sequences.values()),
        unsequenced=log.external.unsequenced,
    )


def _counts(causes: Iterable[dict[str, RangeSet]], before: Iterable[list[Span]]) -> dict[str, int]:
    """Return how many numbers are missing by each cause; of those before a restart no client can be asked."""
    every = list(causes)
    counts = {cause: min(sum(len(one[cause]) for one in every), MAX_INTEGER) for cause in CAUSES}
    counts["not_seen"] += sum(last - first + 1 for spans in before for first, last in spans)
    return counts


def _silence(
    log: LogEvidence, state: ClientState, attended: ConnectionHistory, *, final: bool
) -> LongestSilence | None:
    end_us = attended.end_us if attended.end_us is not None else log.until_us if final else None
    # A client that stayed to its end received nothing more from its last message on; "lost" has that counted.
    judged: ClientState = "running" if state == "left" and attended.end_us is None else "lost"
    return longest(log.times.silences, ClientLedger(), judged, None, end_us)


def _until(books: RunEvidence, log: LogEvidence, state: ClientState, attended: ConnectionHistory) -> int | None:
    """Return up to when a client answers for what others received; None where only its own numbers count."""
    if attended.end_us is None:
        return log.until_us if state in ("finished", "lost") else None
    if attended.is_connected is not False and not attended.is_ended and _is_silent(log, attended.end_us):
        # The run is doubtful already; when the whole feed stops, what others had last was in flight.
        lasts = [other.times.last_us for other in books.logs.values() if other.times.last_us is not None]
        return min([attended.end_us, *([max(lasts)] if lasts else [])])
    return attended.end_us


def _is_silent(log: LogEvidence, end_us: int) -> bool:
    found = rhythm(log.external.notes())
    return found.last_us is not None and found.is_silent(end_us - found.last_us, log.silence_s)


def _state(books: RunEvidence, log: LogEvidence, *, final: bool) -> ClientState:
    reasons = books.last_reasons(log.client)
    if "finished" in reasons or ("shutdown" in reasons and log.until_us is None):
        return "finished"
    if "shutdown" in reasons:
        return "left"
    return "lost" if final else "running"


def _end(
    books: RunEvidence,
    name: str,
    key: SequenceName,
    numbers: Numbers,
    until_us: int | None,
    union: dict[SequenceName, RangeSet],
    groups: Groups,
) -> int:
    """Return up to which number of a sequence a client answers whose run ended at ``until_us``."""
    log = books.logs[name]
    if key not in union or until_us is None:
        return numbers.held.last
    others = (
        other.external
        for other in books.logs.values()
        if other is not log and not groups.are_apart(key, name, other.client)
    )
    ahead = [other.last_before(key, until_us - BEHIND_US) for other in others]
    return max([numbers.held.last, *(last for last in ahead if last is not None)])


def _missing(numbers: Numbers, end: int) -> RangeSet:
    missing = numbers.missing()
    missing.add(numbers.held.last + 1, end)
    return missing


def _causes(log: LogEvidence, key: SequenceName, missing: RangeSet, seen: RangeSet) -> dict[str, RangeSet]:
    hidden: list[Span] = []
    for file in log.files:
        session = file.segment[0] if file.segment else 1
        for damage in file.chain.damages:
            below, above = log.external.around(key, session, damage.after, damage.before)
            begin = 0 if below is None else below + 1
            hidden.append((begin, missing.last if above is None else above - 1))
    evidence = {
        "corrupt_block": RangeSet(span for span in hidden if span[0] <= span[1]),
        "sent_not_logged": seen,
        "not_seen": missing,
    }
    causes, left = {}, missing
    for cause in CAUSES:
        causes[cause] = left & evidence[cause]
        left -= evidence[cause]
    return causes


def accounts(books: RunEvidence, *, final: bool) -> Sequence[ClientResult]:
    """Return the account of every client that either side knows, by name and number.

    ``final`` says that nothing more will be logged: a client of a foreign feed whose log is open is lost then.
    """
    return one_sided_accounts(books, final=final) if books.is_one_sided else two_sided_accounts(books)
