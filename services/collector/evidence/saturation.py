"""Whether the instrument itself was held up: what server and clients say of their own processes, and what it means.

A client whose event loop is late, or that is stopped for its CPU limit, stamps its messages late: then the latency that
it measured is its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from services.collector import formatting
from services.contract import blocklog, ledger

LATE_NS = 250_000_000
"""An event loop that is later than this more than once in a hundred times was not fit to measure."""

THROTTLED_SHARE = 0.05
"""A process that was stopped by its CPU limit for a greater part of the run was not either."""

_MOST = 5
"""So many processes are named."""


class SaturationEvidence(NamedTuple):
    """What one process says of itself, the worst of all it says; null is what it does not know.

    ``throttled_ns`` is the kernel's sum over processors: two threads that are stopped for a second make two.
    """

    p99_ns: int | None = None
    max_ns: int | None = None
    throttled_ns: int | None = None

    @classmethod
    def of(cls, end: blocklog.EndLine | ledger.EndEntry) -> SaturationEvidence:
        """Read the evidence in the last line of a log or a run."""
        return cls(end.loop_lag_p99_ns, end.loop_lag_max_ns, end.throttled_ns)

    def within(self, run_ns: int | None) -> SaturationEvidence:
        """Return the evidence of a run that was so long: nobody was stopped for longer than that."""
        if self.throttled_ns is None or not run_ns:
            return self
        return self._replace(throttled_ns=min(self.throttled_ns, run_ns))

    def worst(self, other: SaturationEvidence) -> SaturationEvidence:
        """Return the greater of each."""
        return SaturationEvidence(*(_greatest(pair) for pair in zip(self, other, strict=True)))


class SessionSaturation:
    """The evidence of the sessions of one client: a session's later lines say what its earlier ones do, and more."""

    def __init__(self) -> None:
        self._evidence: dict[int, SaturationEvidence] = {}

    def enter(self, session: int, end: blocklog.EndLine) -> None:
        """Take in the last line of a file."""
        self._evidence[session] = self._evidence.get(session, SaturationEvidence()).worst(SaturationEvidence.of(end))

    def total(self) -> SaturationEvidence:
        """Return the evidence of all sessions: each was stopped for a time of its own."""
        every = self._evidence.values()
        stopped = [one.throttled_ns for one in every if one.throttled_ns is not None]
        return SaturationEvidence(
            _greatest(one.p99_ns for one in every),
            _greatest(one.max_ns for one in every),
            sum(stopped) if stopped else None,
        )


class SaturationFinding(NamedTuple):
    """``ok`` is null when nobody knows; the rest is in words."""

    ok: bool | None
    detail: str
    reasons: tuple[str, ...] = ()


def judge(processes: Sequence[tuple[str, SaturationEvidence]], run_ns: int | None) -> SaturationFinding:
    """Tell whether the instrument was fit to measure a run.

    Args:
        processes: how each is called in a sentence, and what it says of itself.
        run_ns: how long the run was, None when nothing was measured.
    """
    found = [(evidence.within(run_ns), who) for who, evidence in processes]
    worst = SaturationEvidence()
    for evidence, _ in found:
        worst = worst.worst(evidence)
    late = [(evidence.p99_ns or 0, who) for evidence, who in found]
    stopped = [(evidence.throttled_ns or 0, who) for evidence, who in found]
    most = THROTTLED_SHARE * run_ns if run_ns else float("inf")
    reasons = (
        *_worst(stopped, most, f"{{who}} was throttled for {{took}} of {formatting.duration(run_ns)} by its CPU limit"),
        *_worst(late, LATE_NS, "{who}'s event loop was {took} late (p99)"),
    )
    # Without a percentile, for want of time: what was never late was not late in a hundred times either.
    lag_ns = worst.p99_ns if worst.p99_ns is not None else worst.max_ns
    fit = None if lag_ns is None or lag_ns > LATE_NS else True
    return SaturationFinding(False if reasons else fit, _detail(worst), reasons)


def _worst(every: Iterable[tuple[int, str]], most: float, sentence: str) -> Iterator[str]:
    found = sorted(((took, who) for took, who in every if took > most), reverse=True)
    for took, who in found[:_MOST]:
        yield sentence.format(who=who, took=formatting.duration(took))
    if len(found) > _MOST:
        yield f"{len(found) - _MOST:,} more were not fit either"


def _detail(worst: SaturationEvidence) -> str:
    said = []
    if worst.p99_ns is not None:
        said.append(f"p99 {formatting.duration(worst.p99_ns)} late, at most {formatting.duration(worst.max_ns)}")
    elif worst.max_ns is not None:
        said.append(f"at most {formatting.duration(worst.max_ns)} late")
    if worst.throttled_ns is not None:
        said.append(
            f"throttled for {formatting.duration(worst.throttled_ns)}" if worst.throttled_ns else "never throttled"
        )
    return "; ".join(said) or "not measured"


def _greatest(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)
