"""Measures the memory of a stack's server and collector while faults are injected."""

from __future__ import annotations

import contextlib
from pathlib import Path

from chaos.containers.container_lookup import COLLECTOR, SERVER, Containers, Target, resident_bytes
from chaos.polling_thread import PollingThread

SAMPLE_SECONDS = 2.0
MIB = 1024 * 1024


class MemorySampler(PollingThread):
    """Samples the resident memory of server and collector, separately for each process."""

    def __init__(self, containers: Containers) -> None:
        super().__init__(self._sample, SAMPLE_SECONDS)
        self._containers = containers
        self._samples: dict[Target, dict[int, list[int]]] = {SERVER: {}, COLLECTOR: {}}

    def peak_mib(self, target: Target) -> float:
        """Return the largest resident memory that any process of a container had."""
        return max((max(samples) for samples in self._samples[target].values()), default=0) / MIB

    def growth_mib(self, target: Target) -> float:
        """Return the largest growth of a process after its fifth sample, by which it has generated its feed."""
        grown = (max(samples[5:]) - samples[5] for samples in self._samples[target].values() if len(samples) > 5)
        return max(grown, default=0) / MIB

    def _sample(self) -> None:
        for target, processes in self._samples.items():
            # While a container restarts it has no process.
            with contextlib.suppress(AssertionError, OSError, IndexError):
                pid = self._service_pid(target)
                if resident := resident_bytes(pid):
                    processes.setdefault(pid, []).append(resident)

    def _service_pid(self, target: Target) -> int:
        init = self._containers.last_init_pid(target)
        return int(Path(f"/proc/{init}/task/{init}/children").read_text(encoding="ascii").split()[0])
