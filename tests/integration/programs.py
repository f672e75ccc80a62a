"""Third-party programs that read our logs and metrics: where they are, and the rule for machines without them."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest


def program(name: str, package: str) -> str:
    """Return the path of a program; without it a test is skipped, and fails in CI.

    Args:
        name: of the program.
        package: Debian package that contains it.
    """
    # Daemons are in sbin, which is not in the PATH of ordinary users.
    found = shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin")
    if found is None and os.environ.get("CI"):
        pytest.fail(f"CI has no {name}: .ci/run installs {package}", pytrace=False)
    if found is None:
        pytest.skip(f"no {name} here; Debian has it in {package}")
    return found


def output_of(*command: str, given: str | bytes = "") -> str:
    """Run a command and return its standard output.

    Raises:
        AssertionError: the command failed; the text contains its output.
    """
    data = given.encode() if isinstance(given, str) else given
    done = subprocess.run(command, input=data, capture_output=True, timeout=60, check=False)
    output = done.stdout.decode()
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{output}{done.stderr.decode()}"
    return output
