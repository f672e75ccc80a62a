"""Clocks that are set wrong in one container: libfaketime, preloaded by these tests only."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.integration.stack import Stack

LIBRARY = "libfaketimeMT.so.1"  # the other one hangs a process of several threads
INSIDE = f"/usr/local/lib/{LIBRARY}"
OFFSET_FILE = "/tmp/offset"  # of the container
PLACES = ["/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime", "/usr/lib64/faketime"]


def need_faketime() -> Path:
    """Return the library; without it a test is skipped on a laptop, and fails in CI."""
    for folder in PLACES:
        if (found := Path(folder) / LIBRARY).exists():
            return found
    say = "libfaketime is missing: apt-get install libfaketime"
    if os.environ.get("CI"):
        pytest.fail(say, pytrace=False)
    pytest.skip(say)


class FakedStack(Stack):
    """The real containers, in some services of which the wall clock can be set; the monotonic one cannot."""

    def __init__(self, folder: Path, services: Sequence[str], **settings: object) -> None:
        super().__init__(folder, **settings)
        volume = {"type": "bind", "source": str(need_faketime()), "target": INSIDE, "read_only": True}
        environment = {
            "LD_PRELOAD": INSIDE,
            "FAKETIME_TIMESTAMP_FILE": OFFSET_FILE,
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
            # A kernel whose clock was set would not change the times of old files either.
            "NO_FAKE_STAT": "1",
        }
        faked = {"environment": environment, "volumes": [volume]}
        # JSON is YAML.
        self._override = folder.parent / "faketime.yml"
        self._override.write_text(json.dumps({"services": dict.fromkeys(services, faked)}))

    def _command(self, *arguments: str) -> list[str]:
        plain = super()._command(*arguments)
        at = plain.index("--project-name")
        return [*plain[:at], "--file", "docker-compose.yml", "--file", str(self._override), *plain[at:]]


def set_clock(pid: int, seconds: int) -> None:
    """Set the wall clock of a process's container by so many seconds from the true time; 0 puts it right."""
    place = Path(f"/proc/{pid}/root{OFFSET_FILE}")
    fresh = place.with_name("offset.new")
    fresh.write_text(f"{seconds:+d}\n")
    fresh.chmod(0o644)
    fresh.replace(place)


def shows(stack: Stack, service: str, index: int) -> float:
    """Return what a new process of a container takes for the time (epoch seconds)."""
    done: subprocess.CompletedProcess[str] = stack.exec(
        service, "python", "-c", "import time; print(time.time())", index=index
    )
    return float(done.stdout)
