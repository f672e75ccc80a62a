"""One run that is not closed: reads what is new of it and knows when nothing more will come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from services.collector.evidence.run_evidence import RunEvidence, unhurried
from services.collector.results.build import build_result
from services.collector.results.client_state import awaits_a_seal
from services.collector.results.run_durations import RunDurations
from services.collector.results.time_course import time_course
from services.collector.scan import FileRewritten, RunFiles, Source
from services.collector.verdict.snapshot import Snapshot, snapshot_of
from services.collector.verdict.thresholds import ThresholdLimit

QUIET_SECONDS = 0.3
"""So long nothing new may have come of sealed logs before the run is closed."""
PATIENCE_SECONDS = 5.0
"""So long a client has to seal its log after the run ended."""
LATE_SECONDS = 1.5
"""A run is closed this long after its end was seen, at the earliest: within 1 s after the end the server enters the
clients that came too late, and a verdict that was printed must not be changed by such a line."""
ALIVE_SECONDS = 6.0
"""A server touches its ledger every 2 s: one whose ledger has no end and was not touched for so long is gone."""
WINDOW_SECONDS = 3.0
"""Over this long the rate of a progress line is taken: blocks arrive in lumps."""


Touch = tuple[int, int]
"""Of a file: when it was last touched, in ns by the file system's clock, and its size in bytes."""


def touch_of(path: Path) -> Touch | None:
    """Return when a file was last touched and how large it is, None when that cannot be read."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


class OpenRun:
    """Reads one run, round by round. ``now`` is monotonic seconds in every method.

    ``lines`` and ``bytes`` count what was read, what was read again too; ``durations`` are those of the last snapshot.
    """

    def __init__(self, volumes: Path, run: str, now: float, rest: Callable[[], None] = unhurried) -> None:
        self.run = run
        self._rest = rest
        self.changed_at = now
        self.behind = self.rereading = False
        self.lines = self.bytes = 0
        self.durations: RunDurations | None = None
        self._volumes = volumes
        self._ended_at: float | None = None
        self._settled_at: float | None = None
        self._touches: dict[Source, tuple[Touch | None, float]] = {}
        self._logged: deque[tuple[float, int]] = deque()
        self._begin()

    def _begin(self) -> None:
        self._files = RunFiles(self._volumes, self.run)
        self.books = RunEvidence(self.run, self._rest)
        self._has_tails = False
        self._holding: Iterator[None] | None = None

    def read(self, now: float, enough: Callable[[], bool]) -> bool:
        """Read what is new, until ``enough`` says so; return whether there was anything.

        ``behind`` tells whether more is waiting. A run whose files were rewritten is read from its beginning; meanwhile
        it is ``rereading``, and its books say less than what is known.
        """
        lines, self.behind, is_anew = self.lines, False, False
        try:
            for source, line in self._files.lines():
                self.books.take(source, line)
                self.lines, self.bytes = self.lines + 1, self.bytes + len(line)
                if enough():
                    self.behind = True
                    break
        except FileRewritten:
            self._again()
            is_anew = True
        found = is_anew or self.lines > lines
        self.rereading &= self.behind
        self.books.take_sources(self._files.sources())
        if found:
            self.changed_at = now
        self._note_end(now)
        self._note_rate(now)
        return found

    def recheck(self, enough: Callable[[], bool], *, anew: bool) -> bool:
        """Hold what was read to what stands there; if it differs, the run is read from its beginning.

        It takes long, so it is done until ``enough`` says so, which is asked again and again, and gone on with the next
        time, unless it is to be begun ``anew``. Return whether all of it has been done.
        """
        if anew or self._holding is None:
            self._holding = self._files.hold()
        try:
            for _ in self._holding:
                if enough():
                    return False
        except FileRewritten:
            self._again()
        self._holding = None
        return True

    def _again(self) -> None:
        self._begin()
        self.behind = self.rereading = True

    @property
    def elapsed_from_us(self) -> int | None:
        """When the first record was due, or in a run without a server of ours logged, in epoch microseconds."""
        if self.books.is_one_sided:
            return min((log.times.first_us for log in self.books.logs.values() if log.times.first_us), default=None)
        return self.books.ledger.start_us

    @property
    def has_ended(self) -> bool:
        """Whether the ledger, or without a server of ours every client's log, says that the run is over.

        Of several servers all have ended then, or are gone.
        """
        return self._settled_at is not None and self.books.state == "ended"

    def _note_end(self, now: float) -> None:
        """Note since when the run has been over: it has an end, and no server is left that may still play it."""
        if self.books.state != "ended":
            return
        self._ended_at = now if self._ended_at is None else self._ended_at
        if self._has_living_server(now):
            self._settled_at = None
        elif self._settled_at is None:
            self._settled_at = now

    def _has_living_server(self, now: float) -> bool:
        """Tell whether a ledger without an end, that no later one continues, was touched lately.

        Seen by the collector's own monotonic clock: what the file's time says is only held against what it said.
        """
        alive = False
        for file in self.books.ledger.files:
            if file.is_ended:
                continue
            touch, seen_at = self._touches.get(file.source, (None, now))
            found = touch_of(self._volumes / file.source.path)
            if found != touch:
                seen_at = now
            self._touches[file.source] = found, seen_at
            alive |= now - seen_at < ALIVE_SECONDS
        return alive

    def is_over(self, now: float, *, followed: bool = False, wall_us: int | None = None) -> bool:
        """Tell whether the summary can be final: no server plays any more, all logs are sealed, or their time is up.

        ``followed`` says that there is a newer run. One without a ledger then never gets one: its server has gone on.
        ``wall_us`` is the time of day, by which a run without a server of ours is over, whoever has not sealed its log.
        """
        if self.behind:
            return False
        until_us = self.books.until_us
        if until_us is not None and wall_us is not None:
            if wall_us > until_us + PATIENCE_SECONDS * 1_000_000:
                return True
            # A run of another invocation beside it does not end it: its feed may be silent until its time is up.
            followed = False
        if self._ended_at is None or not self.books.is_finished:
            return followed and not self.books.ledger.opens and now - self.changed_at >= PATIENCE_SECONDS
        if self._settled_at is None or (not self.books.is_one_sided and now - self._ended_at < LATE_SECONDS):
            return False
        if now - self._settled_at >= PATIENCE_SECONDS:
            return True
        return now - self.changed_at >= QUIET_SECONDS and not awaits_a_seal(self.books)

    def snapshot(self, limits: Sequence[ThresholdLimit], *, final: bool, made_at: str | None = None) -> Snapshot:
        """Return the run as it stands; after ``final`` nothing more is to be read."""
        if final and not self._has_tails:
            self._has_tails = True
            self.books.take_tails(self._files.tails())
        result = build_result(self.books, final=final)
        self.durations = result.durations
        return snapshot_of(result, time_course(self.books, result), limits, made_at=made_at)

    def rate(self) -> float | None:
        """Return how many messages per second were logged of late, None before that can be told."""
        (first_at, first), (last_at, last) = self._logged[0], self._logged[-1]
        return (last - first) / (last_at - first_at) if last_at > first_at else None

    def _note_rate(self, now: float) -> None:
        logged = sum(log.messages for log in self.books.logs.values())
        if not logged:
            # The time before the first message is not part of any rate.
            self._logged.clear()
        self._logged.append((now, logged))
        while len(self._logged) > 2 and self._logged[1][0] <= now - WINDOW_SECONDS:
            self._logged.popleft()
