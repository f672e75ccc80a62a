"""``make fuzz``: fuzzes every decoder, guided by coverage, and prints what a decoder did not take as it should.

A finding is an error that the decoder does not declare, more than 1 s of processor time, or more than 64 MiB of memory.
It is kept in .fuzz/, and printed with the command that repeats it; the exit code is then 1. SECONDS (60) is the time
for all decoders together, SEED (1) makes the choices.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from chaos.fuzz import corpus
from chaos.fuzz.target import Finding, Target
from chaos.fuzz.targets import TARGETS
from chaos.fuzz.worker import HANG_SECONDS, Worker, last_input, limit_process

FINDINGS = Path(".fuzz")
_PATIENCE_SECONDS = 120.0
"""A process that does not end this long after its time hangs, in code that no signal interrupts."""


def fuzz(target: Target, seconds: float, seed: int, current: Path, inputs: Sequence[bytes]) -> int:
    """Fuzz one decoder in this process, and print its results as one line of JSON; return the exit code."""
    limit_process()
    worker = Worker(target, inputs, seed, current, HANG_SECONDS)
    worker.run(seconds)
    shown = {
        "tried": worker.tried,
        "kept": len(worker.kept),
        "steps": len(worker.coverage.steps),
        "slowest_seconds": worker.slowest_seconds,
        "findings": [[found.what, found.place, found.data.hex()] for found in worker.findings],
    }
    print(json.dumps(shown))
    return 0


def fuzz_in_a_process(target: Target, seconds: float, seed: int) -> tuple[str, list[Finding]]:
    """Fuzz one decoder in a process of its own; return the row of its results, and its findings."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        current = Path(folder) / "current"
        command = [sys.executable, "-m", "chaos.fuzz", "--target", target.name, "--seconds", str(seconds)]
        try:
            done = _run([*command, "--seed", str(seed), "--current", str(current)], seconds, folder)
        except subprocess.TimeoutExpired:
            hung = Finding(target.name, f"takes over {_PATIENCE_SECONDS:g} s", "hangs", last_input(current))
            return f"| {target.name} | | | | 1 |", [hung]
        try:
            found = json.loads(done.stdout.splitlines()[-1])
        except (ValueError, IndexError):
            what = f"ended with {done.returncode}: {done.stderr.strip().rpartition(chr(10))[2][:200]}"
            return f"| {target.name} | | | | 1 |", [Finding(target.name, what, "end", last_input(current))]
    findings = [Finding(target.name, what, place, bytes.fromhex(data)) for what, place, data in found["findings"]]
    return (
        f"| {target.name} | {found['tried']:,} | {found['kept']:,} | {found['steps']:,} | {len(findings)} |",
        findings,
    )


def _run(command: list[str], seconds: float, folder: str) -> subprocess.CompletedProcess[str]:
    """Run a command. Its temporary files are in a folder that is removed with it, however it ends."""
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=seconds + _PATIENCE_SECONDS,
        env={**os.environ, "TMPDIR": folder},
    )  # fmt: skip


def keep(finding: Finding) -> Path:
    """Write the input of a finding to a file; return its path."""
    path = FINDINGS / finding.target / hashlib.sha256(finding.data).hexdigest()[:12]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(finding.data)
    return path


def show(finding: Finding) -> None:
    """Print a finding, with the command that repeats it."""
    path = keep(finding)
    print(f"FOUND {finding.target}: {finding.what}\n      {finding.place}\n      {finding.data[:300]!r}")
    print(f"      repeat: {sys.executable} -m chaos.fuzz --target {finding.target} --repeat {path}", flush=True)


def main() -> int:
    """Fuzz the decoders; return 1 if there is a finding."""
    parser = argparse.ArgumentParser(prog="python -m chaos.fuzz", description=__doc__)
    names = {target.name: target for target in TARGETS}
    parser.add_argument("--target", choices=sorted(names), help="only this decoder")
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("SECONDS") or 60))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED") or 1))
    parser.add_argument("--repeat", type=Path, metavar="FILE", help="decode this input, without catching an error")
    parser.add_argument("--current", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.repeat is not None:
        target = names[chosen.target]
        try:
            print(target.decode(chosen.repeat.read_bytes()))
        except target.declared as error:
            print(f"refused as declared: {type(error).__name__}: {error}")
        return 0
    if chosen.current is not None:
        return fuzz(names[chosen.target], chosen.seconds, chosen.seed, chosen.current, corpus.inputs(chosen.target))
    targets = [names[chosen.target]] if chosen.target else list(TARGETS)
    at_once = min(len(os.sched_getaffinity(0)), len(targets))
    each = chosen.seconds * at_once / len(targets)
    print(f"{each:.1f} s for each of {len(targets)} decoders, {at_once} at a time, seed {chosen.seed}")
    print("| decoder | inputs | kept | steps | findings |\n|---|--:|--:|--:|--:|", flush=True)
    every: list[Finding] = []
    with ThreadPoolExecutor(at_once) as pool:
        for row, findings in pool.map(lambda target: fuzz_in_a_process(target, each, chosen.seed), targets):
            print(row, flush=True)
            every += findings
    for finding in every:
        show(finding)
    print(f"{len(every)} findings")
    return 1 if every else 0


if __name__ == "__main__":
    sys.exit(main())
