"""Cuts the power of several clients of one server, again and again."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from chaos.powercut import receipt_check
from chaos.powercut.disk import CutEffect, Disk
from tests.integration.processes import ROOT, environment
from tests.poll import poll_until

KILLED = -9


class ForkServer:
    """The process that forks clients (see ``chaos.powercut.launcher``)."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "chaos.powercut.launcher"],
            cwd=ROOT,
            env=environment({}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def request(self, **command: Any) -> dict[str, int]:
        """Send a command; wait for the reply and return it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        reply: dict[str, int] = json.loads(self._process.stdout.readline() or '{"launcher": "gone"}')
        return reply

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._process.communicate(timeout=20)


@dataclass
class PowerCut:
    """One power cut, and the state of the disk before the client was started again.

    Attributes:
        client: name of the client.
        effect: the damage to its files.
        receipts: number of the client's receipts in the runs of these files.
        receipted_lost: messages with a receipt whose block is not on the disk.
    """

    client: str
    effect: CutEffect
    receipts: int
    receipted_lost: int


class Machine:
    """One client's process and disk. All its randomness comes from ``seed``."""

    def __init__(
        self, client: str, folder: Path, fork_server: ForkServer, settings: dict[str, str], names: set[Path], seed: str
    ) -> None:
        self.client, self._fork_server, self._settings, self._seed = client, fork_server, settings, seed
        self._logs = folder / "volumes" / "logs"
        self._journal, self.output = folder / f"{client}.journal", folder / f"{client}.out"
        self.disk = Disk(self._logs, client, self._journal, names)
        self._log_reader, self._lives = receipt_check.LogReader(), 0
        self.start()

    def start(self, *, is_last: bool = False) -> None:
        """Start the client, and choose when it is killed; after ``is_last`` it runs until `stop`."""
        self._lives += 1
        self._dice = random.Random(f"{self._seed} {self.client} {self._lives}")
        self._sizes = self._all_sizes()
        dice, now = self._dice, time.monotonic()
        # Some are killed in a sync call, some before they have written anything, most while they write.
        dies_at_call = dice.randint(1, 25) if dice.random() < 0.25 and not is_last else 0
        is_early = dice.random() < 0.1
        self._after_s = dice.uniform(0, 0.1) if is_early else dice.uniform(0, 0.25)
        self._due_at = now + self._after_s if is_early else now + 2.0 if dies_at_call else float("inf")
        settings = {**self._settings, "CLIENT_ID": self.client, "BLOCK_SIZES": str(dice.choice((2, 5, 9, 20)))}
        self._pid = self._fork_server.request(
            start={
                "settings": settings,
                "seed": f"{self._seed} {self.client} {self._lives}",
                "journal": str(self._journal),
                "output": str(self.output),
                "slow_s": dice.choice((0.0, 0.02, 0.06)),
                "dies_at_call": dies_at_call,
            }
        )["pid"]

    def _all_sizes(self) -> dict[Path, int]:
        return {path: path.stat().st_size for path in self._logs.glob(f"*/{self.client}/*")}

    def is_due(self, *, running: bool) -> bool:
        """Return whether the client is dead or due to be killed.

        Between two runs no client is killed, since the next run waits until all clients are connected.
        """
        if self._is_dead():
            return True
        if not running:
            return False
        if self._due_at == float("inf") and sum(self._all_sizes().values()) > sum(self._sizes.values()):
            self._due_at = time.monotonic() + self._after_s
        return time.monotonic() >= self._due_at

    def _is_dead(self) -> bool:
        # Its parent reaps it only on command; until then a dead process is a zombie.
        return Path(f"/proc/{self._pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z"

    def kill(self) -> None:
        """Kill the client, without waiting for its end."""
        os.kill(self._pid, signal.SIGKILL)

    def cut_power(self, ledger: receipt_check.Ledger, disks: list[Disk]) -> PowerCut | None:
        """Simulate a power cut of a killed client, and compare its files with the receipts in the ledger.

        Returns None if the client had not written anything, since such a cut has no effect.
        """
        status = self._fork_server.request(kill=self._pid)["status"]
        assert KILLED == status, (self.client, status, self.output.read_text(errors="replace")[-3000:])

        def is_disconnected() -> bool:
            ledger.follow()
            return not ledger.is_connected(self.client)

        poll_until(is_disconnected, f"the server has read everything that {self.client} sent", 10, 0.005)
        for disk in disks:
            disk.follow()
        touched = {path.parent for path, size in self._all_sizes().items() if self._sizes.get(path) != size}
        effect = self.disk.cut_power(self._dice)
        receipts = receipted_lost = 0
        for folder in touched:
            entries = ledger.receipts[folder.parent.name, self.client]
            lost = receipt_check.not_on_disk(entries, self._log_reader.blocks(folder))
            receipts += len(entries)
            receipted_lost += sum(receipt.count for receipt in lost)
        return PowerCut(self.client, effect, receipts, receipted_lost) if touched else None

    def stop(self) -> int:
        """Stop the client with SIGTERM, and return its exit code."""
        return self._fork_server.request(stop=self._pid)["status"]


def cut_repeatedly(
    machines: list[Machine], ledger: receipt_check.Ledger, quota: int, on_cut: Callable[[PowerCut], None]
) -> None:
    """Cut the power of each client when it is due, until there were ``quota`` cuts; then of all clients at once."""
    cut_count, deadline = 0, time.monotonic() + 60 + quota
    disks = [machine.disk for machine in machines]
    while cut_count < quota:
        assert time.monotonic() < deadline, f"only {cut_count} of {quota} cuts hit a client that had written something"
        ledger.follow()
        due = [machine for machine in machines if machine.is_due(running=ledger.running is not None)]
        for machine in due:
            machine.kill()
        for machine in due:
            cut = machine.cut_power(ledger, disks)
            machine.start()
            if cut is not None:
                cut_count += 1
                on_cut(cut)
        if not due:
            time.sleep(0.005)
    for machine in machines:
        machine.kill()
    for machine in machines:
        cut = machine.cut_power(ledger, disks)
        machine.start(is_last=True)
        if cut is not None:
            on_cut(cut)
