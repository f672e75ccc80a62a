"""Sets the clock of one container wrong, with libfaketime, which only these tests preload."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.integration.stack import Stack

LIBRARY = "libfaketimeMT.so.1"  # the variant for several threads; the plain one deadlocks them
INSIDE = f"/usr/local/lib/{LIBRARY}"
OFFSET_FILE = "/tmp/offset"  # path in the container
LIBRARY_FOLDERS = ["/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime", "/usr/lib64/faketime"]


def require_faketime() -> Path:
    """Return the path of libfaketime; if it is missing, skip the test, or fail it in CI."""
    for folder in LIBRARY_FOLDERS:
        if (library := Path(folder) / LIBRARY).exists():
            return library
    message = "libfaketime is missing: apt-get install libfaketime"
    if os.environ.get("CI"):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


class FakedStack(Stack):
    """The real containers, with libfaketime in some services: it fakes the wall clock, not the monotonic clock."""

    def __init__(self, folder: Path, services: Sequence[str], **settings: object) -> None:
        super().__init__(folder, **settings)
        volume = {"type": "bind", "source": str(require_faketime()), "target": INSIDE, "read_only": True}
        environment = {
            "LD_PRELOAD": INSIDE,
            "FAKETIME_TIMESTAMP_FILE": OFFSET_FILE,
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
            # A real clock change leaves the timestamps of existing files alone, too.
            "NO_FAKE_STAT": "1",
        }
        faked = {"environment": environment, "volumes": [volume]}
        # Compose reads JSON, since it is valid YAML.
        self._override = folder.parent / "faketime.yml"
        self._override.write_text(json.dumps({"services": dict.fromkeys(services, faked)}))

    def _command(self, *arguments: str) -> list[str]:
        plain = super()._command(*arguments)
        at = plain.index("--project-name")
        return [*plain[:at], "--file", "docker-compose.yml", "--file", str(self._override), *plain[at:]]


def set_clock(pid: int, seconds: int) -> None:
    """Shift the wall clock of a process's container by ``seconds`` from the true time; 0 corrects it."""
    offset_file = Path(f"/proc/{pid}/root{OFFSET_FILE}")
    new_file = offset_file.with_name("offset.new")
    new_file.write_text(f"{seconds:+d}\n")
    new_file.chmod(0o644)
    new_file.replace(offset_file)


def clock_of(stack: Stack, service: str, index: int) -> float:
    """Return the time (epoch seconds) that a new process in a container reads from its clock."""
    result: subprocess.CompletedProcess[str] = stack.exec(
        service, "python", "-c", "import time; print(time.time())", index=index
    )
    return float(result.stdout)
