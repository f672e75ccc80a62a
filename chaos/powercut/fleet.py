"""Several clients of one server, each of which loses its power again and again."""

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
from chaos.powercut.disk import Disk, Left
from tests.integration.processes import ROOT, environment
from tests.poll import poll_until

KILLED = -9


class Launcher:
    """The process that forks clients."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "chaos.powercut.launcher"],
            cwd=ROOT,
            env=environment({}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def order(self, **what: Any) -> dict[str, int]:
        """Have something done, and return what it says when it is done."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        said: dict[str, int] = json.loads(self._process.stdout.readline() or '{"launcher": "gone"}')
        return said

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._process.communicate(timeout=20)


@dataclass
class Cut:
    """One power cut and what was found after it, before the client was started again.

    Attributes:
        left: what the cut did to the files.
        receipts: how many the ledger held then, of the runs that the files belong to.
        lacking: messages that were receipted and are not on the disk any more, at most.
    """

    client: str
    left: Left
    receipts: int
    lacking: int


class Machine:
    """One client's process and disk. Everything random in its lives comes from ``seed``."""

    def __init__(
        self, client: str, folder: Path, launcher: Launcher, settings: dict[str, str], names: set[Path], seed: str
    ) -> None:
        self.client, self._launcher, self._settings, self._seed = client, launcher, settings, seed
        self._logs = folder / "volumes" / "logs"
        self._journal, self.output = folder / f"{client}.journal", folder / f"{client}.out"
        self.disk = Disk(self._logs, client, self._journal, names)
        self._books, self._lives = receipt_check.Logs(), 0
        self.begin()

    def begin(self, *, is_last: bool = False) -> None:
        """Start a life, and decide when it ends; the last one ends with `stop`."""
        self._lives += 1
        self._dice = random.Random(f"{self._seed} {self.client} {self._lives}")
        self._sizes = self._all_sizes()
        dice, now = self._dice, time.monotonic()
        # Some die at a call to the disk, some before they have written anything, most while they write.
        dies_at = dice.randint(1, 25) if dice.random() < 0.25 and not is_last else 0
        early = dice.random() < 0.1
        self._after_s = dice.uniform(0, 0.1) if early else dice.uniform(0, 0.25)
        self._due = now + self._after_s if early else now + 2.0 if dies_at else float("inf")
        settings = {**self._settings, "CLIENT_ID": self.client, "BLOCK_SIZES": str(dice.choice((2, 5, 9, 20)))}
        self._pid = self._launcher.order(
            start={
                "settings": settings,
                "seed": f"{self._seed} {self.client} {self._lives}",
                "journal": str(self._journal),
                "output": str(self.output),
                "slow_s": dice.choice((0.0, 0.02, 0.06)),
                "dies_at": dies_at,
            }
        )["pid"]

    def _all_sizes(self) -> dict[Path, int]:
        return {path: path.stat().st_size for path in self._logs.glob(f"*/{self.client}/*")}

    def is_due(self, *, running: bool) -> bool:
        """Tell whether this life is over. Between two runs nobody is killed, or the next would not begin."""
        if self._is_dead():
            return True
        if not running:
            return False
        if self._due == float("inf") and sum(self._all_sizes().values()) > sum(self._sizes.values()):
            self._due = time.monotonic() + self._after_s
        return time.monotonic() >= self._due

    def _is_dead(self) -> bool:
        # Its parent has not been told to look: until then something of it is there.
        return Path(f"/proc/{self._pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z"

    def kill(self) -> None:
        """End this life; nobody waits for it here."""
        os.kill(self._pid, signal.SIGKILL)

    def cut_power(self, ledger: receipt_check.Ledger, disks: list[Disk]) -> Cut | None:
        """Cut the power of a killed process, and hold what is left of its files to the ledger.

        Returns None if it had not written anything: then nothing was struck.
        """
        status = self._launcher.order(kill=self._pid)["status"]
        assert KILLED == status, (self.client, status, self.output.read_text(errors="replace")[-3000:])

        def gone() -> bool:
            ledger.follow()
            return not ledger.is_connected(self.client)

        poll_until(gone, f"the server has taken all that {self.client} said", 10, 0.005)
        for disk in disks:
            disk.follow()
        touched = {path.parent for path, size in self._all_sizes().items() if self._sizes.get(path) != size}
        left = self.disk.cut_power(self._dice)
        receipts = lacking = 0
        for folder in touched:
            said = ledger.receipts[folder.parent.name, self.client]
            receipts += len(said)
            lacking += sum(one.count for one in receipt_check.not_on_disk(said, self._books.blocks(folder)))
        return Cut(self.client, left, receipts, lacking) if touched else None

    def stop(self) -> int:
        """Stop it as an operator does, and return its exit code."""
        return self._launcher.order(stop=self._pid)["status"]


def strike(machines: list[Machine], ledger: receipt_check.Ledger, quota: int, on_cut: Callable[[Cut], None]) -> None:
    """Cut the power of one after the other, whenever its time has come, until it has happened ``quota`` times.

    Then all of them once more at the same time, and nobody again.
    """
    struck, deadline = 0, time.monotonic() + 60 + quota
    disks = [machine.disk for machine in machines]
    while struck < quota:
        assert time.monotonic() < deadline, f"only {struck} of {quota} cuts have struck in mid-work"
        ledger.follow()
        due = [machine for machine in machines if machine.is_due(running=ledger.running is not None)]
        for machine in due:
            machine.kill()
        for machine in due:
            cut = machine.cut_power(ledger, disks)
            machine.begin()
            if cut is not None:
                struck += 1
                on_cut(cut)
        if not due:
            time.sleep(0.005)
    for machine in machines:
        machine.kill()
    for machine in machines:
        cut = machine.cut_power(ledger, disks)
        machine.begin(is_last=True)
        if cut is not None:
            on_cut(cut)
