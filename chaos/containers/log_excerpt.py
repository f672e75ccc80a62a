"""Reads what containers logged in a span of time, to explain a slow recovery."""

from __future__ import annotations

import os
from collections.abc import Iterable

from chaos.containers.container_lookup import Containers, Target
from tests.integration.stack import _run


def log_lines(containers: Containers, targets: Iterable[Target], since: float, until: float) -> str:
    """Return the log lines of containers between two times (epoch seconds), sorted by time."""
    lines = []
    for target in targets:
        span = ["--since", f"{since:.3f}", "--until", f"{until:.3f}"]
        result = _run(
            ["docker", "logs", "--timestamps", *span, containers.id(target)], dict(os.environ), check=True, timeout=30
        )
        lines += [(line, target) for line in (result.stdout + result.stderr).splitlines()]
    return "\n".join(f"          {target}: {line[11:400]}" for line, target in sorted(lines))
