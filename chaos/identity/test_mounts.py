"""Every way of mounting the logs works, or the client ends with one line whose fix makes it work."""

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

BAD_SETTINGS, PARALLEL = 104, 3
DECIDED_SECONDS = 60.0
SETTINGS = {"RATE": 4, "RECORDS": 100_000, "BLOCK_SIZES": 2}


@dataclass
class MountTester:
    """Runs clients with different mounts against the server of a stack; ``folder`` has the folders of the cells."""

    stack: Stack
    folder: Path
    prefix: str

    def outcome(self, cell: Cell) -> str:
        """Run the client of a cell until its first receipt or its end; return its output, empty if it works."""
        settings = {
            "CLIENT_ID": cell.name, "VOLUMES": cell.volumes, "SERVER_URL": "ws://server:8765", "BLOCK_SIZES": 2,
            "HOLD_SECONDS": 0,
        }  # fmt: skip
        environment = [part for name, value in settings.items() for part in ("--env", f"{name}={value}")]
        limits = ["--cap-drop", "ALL", "--security-opt", "no-new-privileges:true", "--read-only", "--tmpfs", "/run"]
        network = ["--network", f"{self.stack.project}_wire", "--user", f"{cell.user}:{cell.user}"]
        mount = cell.mount(self.folder, self.prefix)
        command = ["docker", "run", "--rm", "--label", self.prefix, *limits, *network, *environment, *mount]
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
                # `docker run` forwards the signal to the client, which seals its log and ends.
                client.terminate()
            output, _ = client.communicate(timeout=DECIDED_SECONDS)
        assert client.returncode in (0, BAD_SETTINGS), (str(cell), client.returncode, output)
        return output.strip() if client.returncode else ""

    def has_receipt(self, name: str) -> bool:
        """Return whether the ledger has a receipt of a client."""
        texts = [path.read_bytes() for path in self.stack.volumes.ledger_files()]
        return any(b'"client":"%b"' % name.encode() in line for line in receipts_of(texts))

    def run_as_root(self, command: str, *mounts: str) -> None:
        """Run a shell command as root on the mounted folders, in place of the operator's sudo on the host."""
        shell = ["--network", "none", "--user", "0", "--entrypoint", "sh", "--label", self.prefix]
        docker("run", "--rm", *shell, *mounts, "streamgauge-client", "-ec", command)

    def make_folders(self, matrix: list[Cell]) -> None:
        """Create the folders of the host, with their owners and modes."""
        commands = []
        for cell in matrix:
            path = f"/cells/{cell.name}"
            if cell.owner is not None:
                commands.append(f"mkdir {path}; touch {path}/logs" if "in the way" in cell.kind else f"mkdir {path}")
                commands.append(f"chown -R {cell.owner} {path}; chmod {cell.mode or 0:04o} {path}")
        self.run_as_root("; ".join(commands), "--volume", f"{self.folder}:/cells")

    def apply_fixes(self, refused: dict[Cell, str]) -> dict[Cell, Cell]:
        """Apply the fix of each refused cell; return each cell as it is mounted afterwards."""
        with_fix = {cell: cell.with_fix(fix) or cell for cell, fix in refused.items()}
        by_command = [cell for cell in refused if with_fix[cell] is cell]
        mounts = [
            part.replace(f":{cell.target}", f":/{cell.name}{cell.target}")
            for cell in by_command
            for part in cell.mount(self.folder, self.prefix)
        ]
        self.run_as_root("; ".join(cell.host_command(refused[cell]) for cell in by_command), *mounts)
        return with_fix

    def remove(self) -> None:
        """Remove the containers and volumes."""
        for container in docker("ps", "--all", "--quiet", "--filter", f"label={self.prefix}").split():
            docker("rm", "--force", container, check=False)
        for volume in docker("volume", "ls", "--quiet", "--filter", f"name={self.prefix}").split():
            docker("volume", "rm", volume, check=False)


@pytest.fixture
def tester(engine: None, folder: Path, tmp_path: Path) -> Iterator[MountTester]:
    """Start a stack with one client, so that the run has begun before the first cell connects."""
    (tmp_path / "cells").mkdir()
    with Stack(folder, **SETTINGS) as stack:
        stack.up(clients=1)
        stack.receipted(1)
        new_tester = MountTester(stack, tmp_path / "cells", f"sgtest{secrets.token_hex(4)}")
        try:
            yield new_tester
        finally:
            new_tester.run_as_root(
                f"chown -R {tmp_path.stat().st_uid} /cells", "--volume", f"{new_tester.folder}:/cells"
            )
            new_tester.remove()


def test_every_mount_works_or_says_its_cure(tester: MountTester, tally: Tally) -> None:
    """Each kind of mount, owner, mode and user works, or ends with 104 and one line, whose fix makes it work."""
    matrix = cells()
    tester.make_folders(matrix)
    with ThreadPoolExecutor(PARALLEL) as threads:
        output = dict(zip(matrix, threads.map(tester.outcome, matrix), strict=True))
        fixes = {cell: fix_of(cell, text) for cell, text in output.items() if text}
        with_fix = tester.apply_fixes(fixes)
        outputs_after_fix = dict(zip(fixes, threads.map(tester.outcome, with_fix.values()), strict=True))
    print(table(matrix, fixes, outputs_after_fix))
    for cell in fixes:
        tally.add_fault("mount-refuses", cell.name)
    errors = [
        f"{cell} as {cell.user}: {fixes[cell]} does not help: {text}"
        for cell, text in outputs_after_fix.items()
        if text
    ]
    errors += [f"{cell} as {cell.user} should work: {text}" for cell, text in output.items() if text and cell.must_work]
    tally.add_checks(len(matrix), undetected=len(errors))
    assert errors == []
    assert len(matrix) >= 24
    assert len(fixes) >= 12


def receipts_of(ledgers: list[bytes]) -> Iterator[bytes]:
    """Yield the receipt lines without decoding them, since this runs often."""
    for text in ledgers:
        yield from (line for line in text.splitlines() if b'"kind":"receipt"' in line)


def fix_of(cell: Cell, output: str) -> str:
    """Check that a refused client printed one line about its folder and user; return the fix in it."""
    line = FIX.fullmatch(output)
    assert line, f"{cell} as {cell.user} prints:\n{output}"
    assert (f"{cell.volumes}/logs", cell.user) == (line["folder"], int(line["uid"])), output
    return line["fix"]


def table(matrix: list[Cell], fixes: dict[Cell, str], outputs_after_fix: dict[Cell, str]) -> str:
    """Return the matrix as lines of text."""
    lines = [f"\n{'mount':52} {'user':>6}  outcome"]
    for cell in matrix:
        outcome = (
            f"104, {fixes[cell]}; then it {'FAILS' if outputs_after_fix[cell] else 'works'}"
            if cell in fixes
            else "works"
        )
        lines.append(f"{cell!s:52} {cell.user:>6}  {outcome}")
    return "\n".join(lines)
