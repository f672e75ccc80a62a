"""One run that is not closed yet: reads its new lines, and decides when no more can come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from services.collector.cpu_yield import no_yield
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.nodes.pull_record import read_record
from services.collector.results.build import awaits_a_seal, build_result
from services.collector.results.builders.time_course_builder import time_course
from services.collector.results.run_result import RunDurations
from services.collector.scan import FileRewritten, RunFiles, Source
from services.collector.verdict.snapshot import Snapshot, snapshot_of
from services.collector.verdict.thresholds import ThresholdLimit

QUIET_SECONDS = 0.3
"""A run whose logs are all sealed is closed when nothing was added to it for this long."""
PATIENCE_SECONDS = 5.0
"""The time a client has to seal its log after the run ended."""
LATE_SECONDS = 1.5
"""A run is closed this long after its end was read, at the earliest. The server records a client that came too late
within 1 s after the end, and such a line must not change a verdict that was printed already."""
ALIVE_SECONDS = 6.0
"""A server touches its ledger every 2 s. One that has no end and was not touched for this long belongs to a server that
is gone."""
RATE_SECONDS = 3.0
"""The window over which the rate of a progress line is averaged: messages arrive in whole blocks."""

FileState = tuple[int, int]
"""Modification time of a file, in ns by the file system's clock, and its size in bytes."""


def file_state(path: Path) -> FileState | None:
    """Return the state of a file, None when it cannot be read."""
    try:
        # Not `stat`: a link in the folder of a ledger is not followed, as in `scan`.
        status = path.lstat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


class OpenRun:
    """Reads one run, poll by poll. ``now`` is monotonic seconds in every method.

    Args:
        volumes: the volumes folder.
        run: the run's name.
        now: the time at which it was found.
        yield_cpu: called between one client and the next while a summary is made.

    Attributes:
        evidence: everything read so far.
        changed_at: when something was read last.
        is_behind: more lines are waiting to be read.
        is_rereading: the files were rewritten and are read again; `evidence` has not reached its former state yet.
        lines_read: number of lines, counting lines that were read again.
        bytes_read: bytes of these lines.
        durations: the histograms of the last snapshot.
    """

    def __init__(self, volumes: Path, run: str, now: float, yield_cpu: Callable[[], None] = no_yield) -> None:
        self.run = run
        self.changed_at = now
        self.is_behind = self.is_rereading = False
        self.lines_read = self.bytes_read = 0
        self.durations: RunDurations | None = None
        self._volumes, self._yield_cpu = volumes, yield_cpu
        self._ended_at: float | None = None
        self._end_count = 0
        self._servers_gone_at: float | None = None
        self._ledger_states: dict[Source, tuple[FileState | None, float]] = {}
        self._message_counts: deque[tuple[float, int]] = deque()
        self._start_reading()

    def _start_reading(self) -> None:
        self._files = RunFiles(self._volumes, self.run)
        self.evidence = RunEvidence(self.run, self._yield_cpu)
        self._has_tails = False
        self._recheck: Iterator[None] | None = None

    def _start_again(self) -> None:
        self._start_reading()
        self.is_behind = self.is_rereading = True

    def read(self, now: float, must_stop: Callable[[], bool]) -> bool:
        """Read new lines until there are no more, or ``must_stop`` returns true; return whether anything changed.

        A run whose files were rewritten is read again from its beginning.
        """
        lines_before, self.is_behind, was_rewritten = self.lines_read, False, False
        try:
            for source, lines in self._files.batches():
                self.evidence.add_lines(source, lines)
                self.lines_read, self.bytes_read = self.lines_read + len(lines), self.bytes_read + sum(map(len, lines))
                if must_stop():
                    self.is_behind = True
                    break
        except FileRewritten:
            self._start_again()
            was_rewritten = True
        has_changed = was_rewritten or self.lines_read > lines_before
        self.is_rereading &= self.is_behind
        # A file without a line is evidence too: its client has claimed a session.
        self.evidence.add_sources(self._files.sources())
        if has_changed:
            self.changed_at = now
        self._note_end(now)
        self._note_message_count(now)
        return has_changed

    def recheck(self, must_stop: Callable[[], bool], *, restart: bool) -> bool:
        """Compare the files with the lines that were read; if they differ, the run is read again from its beginning.

        ``must_stop`` is asked after every piece; when it returns true, the next call continues at this place, or with
        ``restart`` at the beginning. Return whether everything has been compared.
        """
        if restart or self._recheck is None:
            self._recheck = self._files.recheck()
        try:
            for _ in self._recheck:
                if must_stop():
                    return False
        except FileRewritten:
            self._start_again()
        self._recheck = None
        return True

    @property
    def elapsed_from_us(self) -> int | None:
        """When the first record was due, or of an external feed received, in epoch microseconds."""
        return self.evidence.life.started_us

    @property
    def has_ended(self) -> bool:
        """Whether the ledger, or of an external feed every client's log, has an end.

        With several servers: whether each of them has ended or is gone.
        """
        return self._servers_gone_at is not None and self.evidence.state == "ended"

    def is_over(self, now: float, *, has_successor: bool = False, wall_us: int | None = None) -> bool:
        """Return whether the summary can be final: no server is left, and all logs are sealed or their time is up.

        Args:
            now: monotonic seconds.
            has_successor: there is a newer run. A run without a ledger then never gets one: its server is gone.
            wall_us: the time of day, epoch microseconds. A run of an external feed is over some seconds after the end
                that its clients were given, even if a client has not sealed its log.
        """
        if self.is_behind:
            return False
        until_us = self.evidence.until_us
        if until_us is not None and wall_us is not None:
            if wall_us > until_us + PATIENCE_SECONDS * 1_000_000:
                return True
            # Another invocation may have started a newer run beside this one, whose feed may be silent until its end.
            has_successor = False
        life = self.evidence.life
        if self._ended_at is None or not life.is_finished:
            return has_successor and not self.evidence.ledger.opens and now - self.changed_at >= PATIENCE_SECONDS
        # Whether or not all logs are sealed: the line about a late client may still follow.
        is_too_early = life.admits_late_clients and now - self._ended_at < LATE_SECONDS
        if self._servers_gone_at is None or is_too_early:
            return False
        if now - self._servers_gone_at >= PATIENCE_SECONDS:
            return True
        return now - self.changed_at >= QUIET_SECONDS and not awaits_a_seal(self.evidence)

    def snapshot(self, limits: Sequence[ThresholdLimit], *, final: bool, made_at: str | None = None) -> Snapshot:
        """Return the run as it is now; after ``final`` nothing more may be read."""
        # Bytes without a newline may be a line that is still being written, until nothing is written any more.
        if final and not self._has_tails:
            self._has_tails = True
            self.evidence.add_tails(self._files.tails())
        self.evidence.pulled = read_record(self._volumes, self.run)
        result = build_result(self.evidence, final=final)
        self.durations = result.durations
        return snapshot_of(result, time_course(self.evidence, result), limits, made_at=made_at)

    def rate(self) -> float | None:
        """Return the messages logged per second in the last seconds, None before that can be known."""
        (first_at, first), (last_at, last) = self._message_counts[0], self._message_counts[-1]
        return (last - first) / (last_at - first_at) if last_at > first_at else None

    def _note_end(self, now: float) -> None:
        """Note when the last end of the run was seen, and since when no server is left that may continue it."""
        if self.evidence.state != "ended":
            return
        # Each server records the end for its own clients, and after it those that came too late.
        if self._ended_at is None or len(self.evidence.ledger.ends) > self._end_count:
            self._ended_at, self._end_count = now, len(self.evidence.ledger.ends)
        if self._has_living_server(now):
            self._servers_gone_at = None
        elif self._servers_gone_at is None:
            self._servers_gone_at = now

    def _has_living_server(self, now: float) -> bool:
        """Return whether a ledger without an end, which no later one continues, was touched lately.

        The age is measured by the collector's monotonic clock: file times are only compared with earlier file times,
        so the clock of the machine that wrote the file does not matter.
        """
        is_alive = False
        for file in self.evidence.ledger.files:
            if file.is_ended:
                continue
            known, seen_at = self._ledger_states.get(file.source, (None, now))
            state = file_state(self._volumes / file.source.path)
            if state != known:
                seen_at = now
            self._ledger_states[file.source] = state, seen_at
            is_alive |= now - seen_at < ALIVE_SECONDS
        return is_alive

    def _note_message_count(self, now: float) -> None:
        count = sum(log.messages for log in self.evidence.logs.values())
        if not count:
            # The time before the first message is not part of any rate.
            self._message_counts.clear()
        self._message_counts.append((now, count))
        while len(self._message_counts) > 2 and self._message_counts[1][0] <= now - RATE_SECONDS:
            self._message_counts.popleft()
