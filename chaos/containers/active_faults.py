"""Which faults are there now: from when on a client is struck by none, and which faults overlap."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass

from chaos.containers.plan import Strike


@dataclass
class Injected:
    """A fault that is there: which, and whether another one of the stack is or was there with it."""

    strike: Strike
    beside: bool = False


@dataclass(frozen=True)
class Standing:
    """How a client stands (epoch seconds; 0 for never).

    Attributes:
        struck: whether a fault concerns it now: its own, the server's, everybody's.
        began: when the last such fault began.
        ended: when the last such fault ended.
    """

    struck: bool
    began: float
    ended: float


class Board:
    """The faults of one stack, kept by the lanes that inject them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._there: list[Injected] = []
        self._began: defaultdict[str, float] = defaultdict(float)
        self._ended: defaultdict[str, float] = defaultdict(float)

    def begin(self, strike: Strike, at: float) -> Injected:
        """Note that a fault is about to be injected."""
        found = Injected(strike)
        with self._lock:
            for other in self._there:
                other.beside = found.beside = True
            self._there.append(found)
            for name in _concerned(strike):
                self._began[name] = max(at, self._began[name])
        return found

    def end(self, found: Injected, at: float) -> None:
        """Note that it has ended."""
        with self._lock:
            self._there.remove(found)
            for name in _concerned(found.strike):
                self._ended[name] = max(at, self._ended[name])

    def standing(self, client: str) -> Standing:
        """Return how a client stands."""
        names = (client, _EVERYBODY)
        with self._lock:
            struck = any(name in _concerned(found.strike) for found in self._there for name in names)
            began, ended = (max(times[name] for name in names) for times in (self._began, self._ended))
            return Standing(struck, began, ended)


_EVERYBODY = "everybody"


def _concerned(strike: Strike) -> list[str]:
    return [_EVERYBODY] if strike.concerns_all else [str(place) for place in strike.places]
