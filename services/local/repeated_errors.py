"""Shows an error that several services have in common once: a bad setting is read by all clients alike. Pure."""

from __future__ import annotations

from collections.abc import Callable

ERROR = "error: "
"""How the first line of an operator's error begins; further lines are indented."""


class RepeatedErrors:
    """The lines of errors that were shown, and of which service."""

    def __init__(self) -> None:
        self._shown: dict[str, str] = {}

    def once(self, service: str, show: Callable[[str], None]) -> Callable[[str], None]:
        """Return a function that shows each line of a service, except an error that another service has shown."""

        def accept(line: str) -> None:
            # The errors of one service are shown each time: it may have been restarted.
            if not line.startswith((ERROR, " ")) or self._shown.setdefault(line, service) == service:
                show(line)

        return accept
