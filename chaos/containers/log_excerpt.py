"""What containers said in some seconds: the timeline of a recovery that took long."""

from __future__ import annotations

import os
from collections.abc import Iterable

from chaos.containers.container_lookup import Containers, Place
from tests.integration.stack import _run


def said(containers: Containers, places: Iterable[Place], since: float, until: float) -> str:
    """Return the lines of some containers between two times (epoch seconds), in the order of their times."""
    lines = []
    for place in places:
        span = ["--since", f"{since:.3f}", "--until", f"{until:.3f}"]
        done = _run(
            ["docker", "logs", "--timestamps", *span, containers.id(place)], dict(os.environ), check=True, timeout=30
        )
        lines += [(line, place) for line in (done.stdout + done.stderr).splitlines()]
    return "\n".join(f"          {place}: {line[11:400]}" for line, place in sorted(lines))
