"""``make faults``: all fault tests, side by side in lanes; then the table, and the totals as JSON.

``FAULT_TIER=smoke`` is quick, ``SOAK=60`` keeps injecting for so many minutes, ``FAULT_SEED`` chooses another schedule.
With paths it runs these alone: ``make faults ARGS=chaos/wire``. It ends with 0 when nothing was lost, twice or
undetected, and every test passed; with 1 otherwise.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos import report
from tests import doc_tables

HERE = Path("chaos")
DOCUMENT = Path("docs/reliability.md")
FIRST = ("chaos/clean",)
"""Alone, since what is wrong with a run in which nothing is wrong may not be put down to the neighbours."""

FIRE = "chaos/containers/test_faults.py"


@dataclass(frozen=True)
class Lane:
    """Tests that run one after the other, beside those of other lanes; ``nice`` ones give way to the others."""

    name: str
    paths: tuple[str, ...]
    nice: int = 0
    options: tuple[str, ...] = ()

    def start(self, folder: Path) -> subprocess.Popen[bytes]:
        """Start its tests; what they say goes into a file, what they found into another."""
        environment = {**os.environ, "FAULT_RESULTS": str(folder / f"{self.name}.jsonl")}
        command = ["nice", "-n", str(self.nice), sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
        with (folder / f"{self.name}.txt").open("wb") as said:
            return subprocess.Popen(
                [*command, *self.options, *self.paths],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
            )


def lanes() -> list[list[Lane]]:
    """Return the lanes of a whole run, stage by stage.

    What measures how soon a container is back has the machine to itself, but for lanes that give way.
    """
    containers = HERE / "containers"
    disks = tuple(str(containers / name) for name in ("test_ledgers.py", "test_syncs.py"))
    toxics, full = str(containers / "test_toxics.py"), str(containers / "test_disks.py")
    others = {str(path) for path in containers.glob("test_*.py")} - {*disks, toxics, full, FIRE}
    return [
        [
            Lane("clean-processes", FIRST, options=("-m", "not containers")),
            Lane("clean-containers", FIRST, options=("-m", "containers")),
        ],
        [
            # One test of several minutes: it is not hanging.
            Lane("fire", (FIRE,), options=("-o", "faulthandler_timeout=1200")),
            Lane("processes", tuple(str(HERE / name) for name in ("atrest", "wire", "powercut")), nice=15),
        ],
        [
            Lane("ledgers", disks),
            Lane("disks", (full,)),
            Lane("names", (toxics, str(HERE / "identity"))),
            Lane("others", tuple(sorted(others))),
        ],
    ]


def play(stage: Sequence[Lane], folder: Path) -> list[str]:
    """Run lanes side by side; return the names of those that failed, having shown what they said."""
    began = time.monotonic()
    running = {lane: lane.start(folder) for lane in stage}
    failed: list[str] = []
    try:
        for lane, process in running.items():
            code = process.wait()
            said = (folder / f"{lane.name}.txt").read_text(encoding="utf-8", errors="replace")
            if code:
                failed.append(lane.name)
                sys.stderr.write(said)
            closing = said.rstrip().rpartition("\n")[2].strip(" =")
            print(f"{lane.name}: {closing} ({time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)
    finally:
        for process in running.values():
            if process.poll() is None:
                process.terminate()
                process.wait()
    return failed


def main() -> int:
    """Run what is asked for, report, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("paths", nargs="*", help="tests to run alone, instead of all lanes")
    parser.add_argument("--json", type=Path, help="write the totals and every fault to this file")
    parser.add_argument("--no-document", action="store_true", help=f"leave {DOCUMENT} alone")
    chosen = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        paths = chosen.paths or ([str(HERE / "smoke")] if os.environ.get("FAULT_TIER") == "smoke" else [])
        stages = [[Lane("chosen", tuple(paths))]] if paths else lanes()
        failed = [name for stage in stages for name in play(stage, Path(folder))]
        found = report.Results.read(Path(folder).glob("*.jsonl"), time.monotonic() - began)
    print(report.table(found))
    if chosen.json is not None:
        chosen.json.write_text(report.as_json(found), encoding="utf-8")
    whole = not chosen.paths and os.environ.get("FAULT_TIER", "full") == "full" and "SOAK" not in os.environ
    if whole and not failed and not chosen.no_document:
        doc_tables.write(DOCUMENT, report.table(found))
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed or not found.good else 0


if __name__ == "__main__":
    sys.exit(main())
