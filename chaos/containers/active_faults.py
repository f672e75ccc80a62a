"""Keeps track of the faults that are active now: which clients they affect, and which faults overlap."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass

from chaos.containers.plan import PlannedFault


@dataclass
class ActiveFault:
    """An injected fault, and whether another fault of the same stack overlapped it."""

    planned: PlannedFault
    beside: bool = False


@dataclass(frozen=True)
class Exposure:
    """The faults that affect one client: its own, the server's, and those of all clients. Times are epoch seconds.

    Attributes:
        is_struck: whether such a fault is active now.
        began: when the last such fault began, 0 for never.
        ended: when the last such fault ended, 0 for never.
    """

    is_struck: bool
    began: float
    ended: float


class ActiveFaults:
    """The active faults of one stack; the lanes that inject them add and remove them, each in its own thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: list[ActiveFault] = []
        self._began: defaultdict[str, float] = defaultdict(float)
        self._ended: defaultdict[str, float] = defaultdict(float)

    def begin(self, planned: PlannedFault, at: float) -> ActiveFault:
        """Add a fault that is about to be injected at ``at`` (epoch seconds)."""
        fault = ActiveFault(planned)
        with self._lock:
            for other in self._active:
                other.beside = fault.beside = True
            self._active.append(fault)
            for name in _affected(planned):
                self._began[name] = max(at, self._began[name])
        return fault

    def end(self, fault: ActiveFault, at: float) -> None:
        """Remove a fault that ended at ``at`` (epoch seconds)."""
        with self._lock:
            self._active.remove(fault)
            for name in _affected(fault.planned):
                self._ended[name] = max(at, self._ended[name])

    def exposure(self, client: str) -> Exposure:
        """Return the faults that affect a client."""
        names = (client, _ALL_CLIENTS)
        with self._lock:
            is_struck = any(name in _affected(fault.planned) for fault in self._active for name in names)
            began, ended = (max(times[name] for name in names) for times in (self._began, self._ended))
            return Exposure(is_struck, began, ended)


_ALL_CLIENTS = "all clients"
"""Stands for every client, so that a fault of the server need not list them."""


def _affected(planned: PlannedFault) -> list[str]:
    return [_ALL_CLIENTS] if planned.concerns_all else [str(target) for target in planned.targets]
