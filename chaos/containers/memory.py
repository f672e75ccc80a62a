"""How much memory the server and the collector of a stack hold while it is struck."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from chaos.containers.container_lookup import COLLECTOR, SERVER, Containers, Place, resident_bytes

SAMPLE_SECONDS = 2.0
MIB = 1024 * 1024


class Memory:
    """Samples the resident memory of both, process by process."""

    def __init__(self, containers: Containers) -> None:
        self._containers = containers
        self._samples: dict[Place, dict[int, list[int]]] = {SERVER: {}, COLLECTOR: {}}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def most_mib(self, place: Place) -> float:
        """Return the most that any of a place's processes held."""
        return max((max(held) for held in self._samples[place].values()), default=0) / MIB

    def growth_mib(self, place: Place) -> float:
        """Return by how much a place's process grew at most after its fifth sample; it has made its feed by then."""
        grown = (max(held[5:]) - held[5] for held in self._samples[place].values() if len(held) > 5)
        return max(grown, default=0) / MIB

    def _sample(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            for place, processes in self._samples.items():
                # Between two containers there is none to ask.
                with contextlib.suppress(AssertionError, OSError, IndexError):
                    pid = self._service(place)
                    if held := resident_bytes(pid):
                        processes.setdefault(pid, []).append(held)

    def _service(self, place: Place) -> int:
        init = self._containers.last_init(place)
        return int(Path(f"/proc/{init}/task/{init}/children").read_text(encoding="ascii").split()[0])
