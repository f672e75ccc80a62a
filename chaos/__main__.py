"""``make faults``: runs all fault tests, in parallel groups, and prints the results as a table.

``FAULT_TIER=smoke`` runs a short selection, ``SOAK=60`` injects for 60 minutes, ``FAULT_SEED`` selects a schedule.
With paths it runs only these: ``make faults ARGS=chaos/wire``. The exit code is 0 if every test passed and nothing was
lost, duplicated, undetected or a false alarm; otherwise 1.
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
"""Runs without faults come first and alone, so that no other test can be the reason for a false alarm."""

ALL_FAULTS = "chaos/containers/test_faults.py"


@dataclass(frozen=True)
class TestGroup:
    """Tests that run one after the other in a pytest process of their own, at niceness ``nice``."""

    name: str
    paths: tuple[str, ...]
    nice: int = 0
    options: tuple[str, ...] = ()

    def start(self, folder: Path) -> subprocess.Popen[bytes]:
        """Start pytest; its output goes to ``<name>.txt`` in ``folder``, its tallies to ``<name>.jsonl``."""
        environment = {**os.environ, "FAULT_RESULTS": str(folder / f"{self.name}.jsonl")}
        command = ["nice", "-n", str(self.nice), sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
        with (folder / f"{self.name}.txt").open("wb") as output:
            return subprocess.Popen(
                [*command, *self.options, *self.paths],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )


def all_stages() -> list[list[TestGroup]]:
    """Return the groups of a whole run by stage; the groups of a stage run in parallel.

    The test that measures the recovery of containers shares the machine only with a group of low priority.
    """
    containers = HERE / "containers"
    storage_tests = tuple(str(containers / name) for name in ("test_ledgers.py", "test_syncs.py"))
    toxic_tests, full_disk_tests = str(containers / "test_toxics.py"), str(containers / "test_disks.py")
    other_tests = {str(path) for path in containers.glob("test_*.py")} - {
        *storage_tests,
        toxic_tests,
        full_disk_tests,
        ALL_FAULTS,
    }
    return [
        [
            TestGroup("clean-processes", FIRST, options=("-m", "not containers")),
            TestGroup("clean-containers", FIRST, options=("-m", "containers")),
        ],
        [
            # A single test that takes several minutes, so the default timeout would dump its stacks.
            TestGroup("all-faults", (ALL_FAULTS,), options=("-o", "faulthandler_timeout=1200")),
            TestGroup("processes", tuple(str(HERE / name) for name in ("atrest", "wire", "powercut")), nice=15),
        ],
        [
            TestGroup("ledgers", storage_tests),
            TestGroup("disks", (full_disk_tests,)),
            TestGroup("names", (toxic_tests, str(HERE / "identity"))),
            TestGroup("others", tuple(sorted(other_tests))),
        ],
    ]


def run_stage(stage: Sequence[TestGroup], folder: Path) -> list[str]:
    """Run the groups of a stage in parallel; print the output of those that failed, and return their names."""
    began = time.monotonic()
    running = {group: group.start(folder) for group in stage}
    failed: list[str] = []
    try:
        for group, process in running.items():
            code = process.wait()
            output = (folder / f"{group.name}.txt").read_text(encoding="utf-8", errors="replace")
            if code:
                failed.append(group.name)
                sys.stderr.write(output)
            last_line = output.rstrip().rpartition("\n")[2].strip(" =")
            print(f"{group.name}: {last_line} ({time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)
    finally:
        for process in running.values():
            if process.poll() is None:
                process.terminate()
                process.wait()
    return failed


def main() -> int:
    """Run the tests, print the report, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("paths", nargs="*", help="tests to run instead of all")
    parser.add_argument("--json", type=Path, help="write the totals and every fault to this JSON file")
    parser.add_argument("--no-document", action="store_true", help=f"do not update the table in {DOCUMENT}")
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        paths = arguments.paths or ([str(HERE / "smoke")] if os.environ.get("FAULT_TIER") == "smoke" else [])
        stages = [[TestGroup("chosen", tuple(paths))]] if paths else all_stages()
        failed = [name for stage in stages for name in run_stage(stage, Path(folder))]
        results = report.ChaosResults.read(Path(folder).glob("*.jsonl"), time.monotonic() - began)
    print(report.table(results))
    if arguments.json is not None:
        arguments.json.write_text(report.as_json(results), encoding="utf-8")
    whole = not arguments.paths and os.environ.get("FAULT_TIER", "full") == "full" and "SOAK" not in os.environ
    if whole and not failed and not arguments.no_document:
        doc_tables.write(DOCUMENT, report.table(results))
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed or not results.is_good else 0


if __name__ == "__main__":
    sys.exit(main())
