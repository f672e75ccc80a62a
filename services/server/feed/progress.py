"""How far a run is in the plan of its pace: a fold over the ledger's ``pace`` lines, so no restart loses it."""

from __future__ import annotations

from typing import NamedTuple

from services.contract import ledger
from services.runtime.rate_plan import Plan, Stage


class Turn(NamedTuple):
    """What comes next of a plan: the stage with this number (the first is 1), at this time."""

    number: int
    stage: Stage
    at_us: int


class Progress:
    """Where in its plan a run is. A pause that nobody planned shifts what is left; a rate that somebody set ends it."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._spent_us = 0
        self._since_us: int | None = None

    def apply(self, entry: ledger.Pace) -> None:
        """Take in a line of the ledger."""
        if self._since_us is not None:
            self._spent_us += entry.due_us - self._since_us
        if entry.stage is None:
            self._since_us = None
            if entry.rate is not None:
                self.end()
            return
        if entry.stage != self._number:
            self._spent_us = 0
        self._number, self._since_us = entry.stage, entry.due_us

    def end(self) -> None:
        """Somebody set a rate: that holds from now on."""
        self._number = self._since_us = None

    @property
    def on(self) -> bool:
        """Whether the clock of the plan runs, be it through a pause that is planned."""
        return self._since_us is not None

    def next_of(self, plan: Plan) -> Turn | None:
        """Return what comes after the stage that is on; None when nothing does, or its clock stands."""
        if self._number is None or self._since_us is None or self._number >= len(plan.stages):
            return None
        us = plan.stages[self._number - 1].us
        left_us = max((us or 0) - self._spent_us, 0)
        return Turn(self._number + 1, plan.stages[self._number], self._since_us + left_us)

    def resumed(self, plan: Plan) -> tuple[int, Stage] | None:
        """Return with which stage a paused run goes on: the interrupted one, or the one after a pause that was planned.

        None without a plan, or when it is over.
        """
        if self._number is None:
            return None
        number = self._number + 1 if self.on else self._number
        return (number, plan.stages[number - 1]) if number <= len(plan.stages) else None
