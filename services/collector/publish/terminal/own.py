"""A speaker that tells of the runs of one invocation of ``python -m services``, and of no other in the folder.

The exit code of an invocation is the verdict of its own runs: the verdict of another run on the same terminal, one that
an earlier invocation left open, say, would contradict it.
"""

from __future__ import annotations

import logging
import threading

from services.collector.publish.terminal.printer import Speaker
from services.collector.verdict.snapshot import Snapshot
from services.runtime.parent_pipe import Lifeline

log = logging.getLogger(__name__)


class OwnRuns(Speaker):
    """Hands on to a speaker what concerns the runs that the parent names.

    Args:
        speaker: takes it.
        lifeline: the parent's pipe, on which it writes the names.
    """

    def __init__(self, speaker: Speaker, lifeline: Lifeline) -> None:
        self.screen = speaker.screen
        self._speaker = speaker
        self._lock = threading.Lock()
        self._own: set[str] = set()
        self._held: dict[str, Snapshot] = {}
        lifeline.listen(self._take)

    def _take(self, run: str) -> None:
        with self._lock:
            self._own.add(run)
            held = self._held.pop(run, None)
        if held is not None:
            self._speaker.final(held)

    def progress(self, made: Snapshot, elapsed_s: float | None = None, rate: float | None = None) -> None:
        """Tell how far a run is, if it is one of the invocation's."""
        if made.summary.run in self._own:
            self._speaker.progress(made, elapsed_s, rate)

    def final(self, made: Snapshot) -> None:
        """Tell the summary of a run; of another run only that there is one."""
        run = made.summary.run
        with self._lock:
            is_own = run in self._own
            if not is_own:
                # The parent's word may still be on its way.
                self._held[run] = made
        if is_own:
            self._speaker.final(made)
        else:
            log.info("summary of a run that is not of this invocation", extra={"of": run})

    def end(self) -> None:
        """Leave the terminal as it was."""
        self._speaker.end()


def of_invocation(speaker: Speaker, lifeline: Lifeline | None) -> Speaker:
    """Return what speaks of the runs of this process's invocation; of all runs if it belongs to none."""
    return speaker if lifeline is None else OwnRuns(speaker, lifeline)
