"""Every way of mounting the logs works, or ends with one line whose cure makes it work."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from chaos.identity.mounts import FIX, Cell, cells
from chaos.tally import Tally
from tests.integration.stack import Stack, docker
from tests.poll import poll_until

pytestmark = [pytest.mark.containers, pytest.mark.slow]

BAD, AT_ONCE = 104, 3
DECIDED_SECONDS = 60.0
SETTINGS = {"RATE": 4, "RECORDS": 100_000, "BLOCK_SIZES": 2}


@dataclass
class Bench:
    """A stack with a server that plays, and the place where the cells' folders are."""

    stack: Stack
    folder: Path
    prefix: str

    def outcome(self, cell: Cell) -> str:
        """Run the client of a cell until the server has its receipt, or it ends; return what it said, if it ended."""
        settings = {
            "CLIENT_ID": cell.name, "VOLUMES": cell.volumes, "SERVER_URL": "ws://server:8765", "BLOCK_SIZES": 2,
            "HOLD_SECONDS": 0,
        }  # fmt: skip
        given = [part for name, value in settings.items() for part in ("--env", f"{name}={value}")]
        limits = ["--cap-drop", "ALL", "--security-opt", "no-new-privileges:true", "--read-only", "--tmpfs", "/run"]
        where = ["--network", f"{self.stack.project}_wire", "--user", f"{cell.user}:{cell.user}"]
        mount = cell.mount(self.folder, self.prefix)
        command = ["docker", "run", "--rm", "--label", self.prefix, *limits, *where, *given, *mount]
        with subprocess.Popen(
            [*command, "streamgauge-client"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as client:
            try:
                poll_until(
                    lambda: client.poll() is not None or self.has_receipt(cell.name),
                    f"{cell} is decided",
                    DECIDED_SECONDS,
                    0.1,
                )
            finally:
                # Passed on to the client, which seals its log and ends.
                client.terminate()
            said, _ = client.communicate(timeout=DECIDED_SECONDS)
        assert client.returncode in (0, BAD), (str(cell), client.returncode, said)
        return said.strip() if client.returncode else ""

    def has_receipt(self, name: str) -> bool:
        """Tell whether a block of a client is on disk, as the ledger has it."""
        texts = [path.read_bytes() for path in self.stack.volumes.ledger_files()]
        return any(b'"client":"%b"' % name.encode() in line for line in receipts_of(texts))

    def as_root(self, command: str, *mounts: str) -> None:
        """Run a command as the operator does with sudo, on the host's side of the mounts."""
        shell = ["--network", "none", "--user", "0", "--entrypoint", "sh", "--label", self.prefix]
        docker("run", "--rm", *shell, *mounts, "streamgauge-client", "-ec", command)

    def make_folders(self, matrix: list[Cell]) -> None:
        """Make the hosts' folders, with their owners and modes, all at once."""
        made = []
        for cell in matrix:
            path = f"/cells/{cell.name}"
            if cell.owner is not None:
                made.append(f"mkdir {path}; touch {path}/logs" if "in the way" in cell.kind else f"mkdir {path}")
                made.append(f"chown -R {cell.owner} {path}; chmod {cell.mode or 0:04o} {path}")
        self.as_root("; ".join(made), "--volume", f"{self.folder}:/cells")

    def mend(self, refused: dict[Cell, str]) -> dict[Cell, Cell]:
        """Do what each line says, all commands at once; return each cell as it is mounted then."""
        mended = {cell: cell.mended(fix) or cell for cell, fix in refused.items()}
        by_command = [cell for cell in refused if mended[cell] is cell]
        mounts = [
            part.replace(f":{cell.target}", f":/{cell.name}{cell.target}")
            for cell in by_command
            for part in cell.mount(self.folder, self.prefix)
        ]
        self.as_root("; ".join(cell.on_host(refused[cell]) for cell in by_command), *mounts)
        return mended

    def remove(self) -> None:
        """Leave nothing behind."""
        for container in docker("ps", "--all", "--quiet", "--filter", f"label={self.prefix}").split():
            docker("rm", "--force", container, check=False)
        for volume in docker("volume", "ls", "--quiet", "--filter", f"name={self.prefix}").split():
            docker("volume", "rm", volume, check=False)


@pytest.fixture
def bench(engine: None, folder: Path, tmp_path: Path) -> Iterator[Bench]:
    """A server that plays, in a stack with one client: no cell has to wait for the others until the run begins."""
    (tmp_path / "cells").mkdir()
    with Stack(folder, **SETTINGS) as stack:
        stack.up(clients=1)
        stack.receipted(1)
        made = Bench(stack, tmp_path / "cells", f"sgtest{secrets.token_hex(4)}")
        try:
            yield made
        finally:
            made.as_root(f"chown -R {tmp_path.stat().st_uid} /cells", "--volume", f"{made.folder}:/cells")
            made.remove()


def test_every_mount_works_or_says_its_cure(bench: Bench, tally: Tally) -> None:
    """Each kind of mount, owner, mode and user works or ends with 104 and one line; what that says makes it work."""
    matrix = cells()
    bench.make_folders(matrix)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        said = dict(zip(matrix, threads.map(bench.outcome, matrix), strict=True))
        fixes = {cell: fix_of(cell, text) for cell, text in said.items() if text}
        mended = bench.mend(fixes)
        again = dict(zip(fixes, threads.map(bench.outcome, mended.values()), strict=True))
    print(table(matrix, fixes, again))
    for cell in fixes:
        tally.fault("mount-refuses", cell.name)
    wrong = [f"{cell} as {cell.user}: {fixes[cell]} does not help: {text}" for cell, text in again.items() if text]
    wrong += [f"{cell} as {cell.user} should work: {text}" for cell, text in said.items() if text and cell.must_work]
    tally.held(len(matrix), undetected=len(wrong))
    assert wrong == []
    assert len(matrix) >= 24
    assert len(fixes) >= 12


def receipts_of(ledgers: list[bytes]) -> Iterator[bytes]:
    """Yield the lines of receipts, undecoded: this is asked often."""
    for text in ledgers:
        yield from (line for line in text.splitlines() if b'"kind":"receipt"' in line)


def fix_of(cell: Cell, said: str) -> str:
    """Hold what a refused client said to one line about its folder and its user; return what that says to do."""
    line = FIX.fullmatch(said)
    assert line, f"{cell} as {cell.user} says:\n{said}"
    assert (f"{cell.volumes}/logs", cell.user) == (line["folder"], int(line["uid"])), said
    return line["fix"]


def table(matrix: list[Cell], fixes: dict[Cell, str], again: dict[Cell, str]) -> str:
    """Return the matrix as lines of text."""
    lines = [f"\n{'mount':52} {'user':>6}  outcome"]
    for cell in matrix:
        outcome = f"104, {fixes[cell]}; then it {'FAILS' if again[cell] else 'works'}" if cell in fixes else "works"
        lines.append(f"{cell!s:52} {cell.user:>6}  {outcome}")
    return "\n".join(lines)
