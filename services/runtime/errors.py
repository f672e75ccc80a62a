"""Errors that the operator can repair, each with the way to do so, and the exit codes of processes that fail.

::

    OperatorError
    ├── BadSettings        settings that are invalid, all reported together
    ├── UnwritableFolder   a folder to which this process must write does not let it
    ├── PortInUse          another process listens on the port
    ├── AnotherServer      another server is active in the same folder
    ├── NoSuchRun          the run of START_AT is over, too far ahead, or has other settings in the folder
    └── UnusableStream     a stream of NATS JetStream, or a connection to it, is missing
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

EXIT_BAD_SETTINGS = 104
"""Exit code for bad configuration, as of k6: it has to be repaired before another start makes sense."""
EXIT_ABORTED = 105
"""Exit code of a process that ended early, as of k6: interrupted, or without a verdict."""


class OperatorError(Exception):
    """Base class of errors that the operator can repair.

    Its text has one line for each error; an indented line continues the line above it.

    Attributes:
        exit_code: of a command that ends with it.
    """

    exit_code: ClassVar[int] = EXIT_BAD_SETTINGS

    def report(self) -> str:
        """Return the text to print, each error prefixed by ``error:``, with a final newline."""
        lines = str(self).splitlines()
        return "".join(f"{line}\n" if line.startswith(" ") else f"error: {line}\n" for line in lines)

    def is_repaired(self) -> bool:
        """Whether the cause is gone, as far as this process can see."""
        return False


class BadSettings(OperatorError):
    """Settings that are invalid. ``problems`` holds one line for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class UnwritableFolder(OperatorError):
    """A folder to which this process must write does not let it."""

    def __init__(self, folder: str, reason: str, fix: str, is_repaired: Callable[[], bool] = lambda: False) -> None:
        super().__init__(f"cannot write to {folder}: {reason}; {fix}")
        self.folder, self._is_repaired = folder, is_repaired

    def is_repaired(self) -> bool:
        """Whether the folder can be written to now."""
        return self._is_repaired()


class PortInUse(OperatorError):
    """Another process listens on the port."""

    def __init__(self, setting: str, port: int) -> None:
        super().__init__(f"port {port} is in use by another process; stop that one or set {setting} to a free port")
        self.port = port


class AnotherServer(OperatorError):
    """Another server is active in the folder that this server was given."""

    def __init__(self, run: str, folder: str, why: str = "this server cannot join it") -> None:
        super().__init__(
            f"another server is playing run {run} in {folder}: {why}; stop it, or give this one another VOLUMES"
        )
        self.run = run


class NoSuchRun(OperatorError):
    """The run that ``START_AT`` names cannot be played: it is over, too far ahead, or has begun with other settings."""


class UnusableStream(OperatorError):
    """A stream of NATS JetStream cannot be used as the setting says. ``address`` has no user and no password."""

    def __init__(self, setting: str, address: str, why: str, fix: str) -> None:
        super().__init__(f"{setting}={address}: {why}; {fix}")
        self.address = address
