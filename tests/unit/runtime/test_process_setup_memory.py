"""Tests of the allocator's tuning."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource
from services.runtime.process_setup import keep_freed_memory
if {kept}:
    keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
blocks = [b"x" * 400_000 for _ in range(8)]
blocks.clear()
before = faults()
for _ in range(100):
    blocks = [b"x" * 400_000 for _ in range(8)]
    blocks.clear()
print(faults() - before)
"""


def page_faults(*, kept: bool) -> int:
    """Return how many page faults a process has that allocates and frees the same blocks 100 times."""
    program = PROGRAM.format(kept=kept)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return int(ended.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc only")
def test_freed_memory_is_reused() -> None:
    """Blocks are allocated from freed memory instead of from new pages."""
    assert 1000 < page_faults(kept=False)
    assert 100 > page_faults(kept=True)
