"""What could not be done is said in the log once, however often it is tried again."""

from __future__ import annotations

import logging


class Complaints:
    """Says what went wrong with the files, each kind of trouble with each run once."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._said: set[tuple[str, str, int | str | None]] = set()

    @property
    def count(self) -> int:
        """How many different ones there were."""
        return len(self._said)

    def say(self, event: str, run: str, problem: Exception) -> None:
        """Say it, unless it was said before; without a ``run`` it is of none.

        An error that is none of the system's is one of the program's: it is said with the place where it arose.
        """
        key = (event, run, problem.errno if isinstance(problem, OSError) else type(problem).__name__)
        if key in self._said:
            return
        self._said.add(key)
        extra = {"run": run or None, "why": str(problem)}
        self._log.warning(event, extra=extra, exc_info=None if isinstance(problem, OSError) else problem)
