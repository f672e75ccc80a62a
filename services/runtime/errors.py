"""The faults that the operator can mend, each saying how.

::

    OperatorError
    ├── BadSettings        settings that cannot be used, all of them in one report
    ├── UnwritableFolder   a folder that this process must write to refuses it
    ├── PortInUse          another process listens where this one has to
    └── AnotherServer      another server plays in the folder that this one was given
"""

from __future__ import annotations

from collections.abc import Callable, Sequence


class OperatorError(Exception):
    """Base of the faults that the operator can mend; its text is one line per fault, what is indented belongs to it."""

    def report(self) -> str:
        """Return what to tell the operator, with a final newline."""
        lines = str(self).splitlines()
        return "".join(f"{line}\n" if line.startswith(" ") else f"error: {line}\n" for line in lines)

    def mended(self) -> bool:
        """Tell whether it is gone, as far as this process can see."""
        return False


class BadSettings(OperatorError):
    """Settings that cannot be used. ``problems`` holds one line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class UnwritableFolder(OperatorError):
    """A folder that this process must write to refuses it."""

    def __init__(self, folder: str, why: str, fix: str, mended: Callable[[], bool] = lambda: False) -> None:
        super().__init__(f"cannot write to {folder}: {why}; {fix}")
        self.folder, self._mended = folder, mended

    def mended(self) -> bool:
        """Tell whether the folder can be written to now."""
        return self._mended()


class PortInUse(OperatorError):
    """Another process listens on the port."""

    def __init__(self, setting: str, port: int) -> None:
        super().__init__(f"port {port} is in use by another process; stop that one or set {setting} to a free port")
        self.port = port


class AnotherServer(OperatorError):
    """Another server plays in the folder that this one was given."""

    def __init__(self, run: str, folder: str) -> None:
        super().__init__(
            f"another server is playing run {run} in {folder}: several servers are not supported yet;"
            " stop it, or give this one another VOLUMES"
        )
        self.run = run
