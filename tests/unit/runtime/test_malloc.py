"""Tests of services/runtime/eventloop.py."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

SAYS = """
import resource
from services.runtime.malloc import keep_freed
if {kept}:
    keep_freed()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
pieces = [b"x" * 400_000 for _ in range(8)]
pieces.clear()
before = faults()
for _ in range(100):
    pieces = [b"x" * 400_000 for _ in range(8)]
    pieces.clear()
print(faults() - before)
"""


def new_pages(*, kept: bool) -> int:
    """Return how many new pages a process needs to make the same pieces again and again."""
    said = subprocess.run([sys.executable, "-c", SAYS.format(kept=kept)], capture_output=True, text=True, check=True)
    return int(said.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a matter of the C library")
def test_what_is_freed_is_used_again() -> None:
    """Pieces that come and go are made of the same memory, and not of new pages each time."""
    assert 1000 < new_pages(kept=False)
    assert 100 > new_pages(kept=True)
