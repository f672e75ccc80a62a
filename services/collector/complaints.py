"""What could not be done is said in the log once, however often it is tried again."""

from __future__ import annotations

import logging


class Complaints:
    """Says what went wrong with the files, each kind of trouble with each run once."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._said: set[tuple[str, str, int | None]] = set()

    @property
    def count(self) -> int:
        """How many different ones there were."""
        return len(self._said)

    def say(self, event: str, run: str, problem: OSError) -> None:
        """Say it, unless it was said before; without a ``run`` it is of none."""
        key = (event, run, problem.errno)
        if key not in self._said:
            self._said.add(key)
            self._log.warning(event, extra={"run": run or None, "why": str(problem)})
