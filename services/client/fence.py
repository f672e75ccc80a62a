"""Keeps a process that was superseded while it was frozen from writing what its successor logs as well."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

from services.contract import blocklog
from services.contract.errors import LineError
from services.runtime.regular_files import NotARegularFile, open_regular

_LOOK_SECONDS = 0.02
_LOOKS = 150
"""3 s in all: longer than the server takes to decide between two processes with one name. Looks are counted rather
than time, because a process that is frozen meanwhile has not waited."""

_MAX_BYTES = 1024 * 1024
"""Bytes of a first line that are read, at most; first lines are short."""


class Superseded(OSError):
    """Another process logs under this name, from the record after ``after`` on."""

    def __init__(self, folder: Path, after: int) -> None:
        super().__init__(f"another process logs in {folder} since record {after}")
        self.after = after


class Fence:
    """Watches a client's folder for the claims of other processes.

    A process takes over a name in three steps: it claims a session by creating its first file, reads the folder, and
    writes its first line once the server has granted the name. So after a later claim appears, nothing may be written
    until that claim is withdrawn, or a line is written to it.
    """

    def __init__(self, folder: Path, session: int) -> None:
        """Begin when the server has granted the name to a session.

        Sessions with a first line had the name before. A session that is only claimed will be withdrawn, and another
        process may claim its number again, so it is not counted as decided.
        """
        self._folder = folder
        begun = [name[0] for name, path in self._sessions().items() if _opening(path) is not None]
        self._decided = max([session, *begun])

    def check(self) -> None:
        """Wait while another process's claim is undecided, 3 s at most: after that its process has crashed.

        Raises:
            Superseded: another process has begun to write.
        """
        for _ in range(_LOOKS):
            later = self._later_claims()
            if not later:
                return
            for _, path in sorted(later.items()):
                if (opening := _opening(path)) is not None:
                    raise Superseded(self._folder, opening.after)
            time.sleep(_LOOK_SECONDS)
        self._decided = max((name[0] for name in self._later_claims()), default=self._decided)

    def _later_claims(self) -> dict[tuple[int, int], str]:
        later = {name: path for name, path in self._sessions().items() if name[0] > self._decided}
        return {name: path for name, path in later.items() if _may_be_claim(path)}

    def _sessions(self) -> dict[tuple[int, int], str]:
        # Strings rather than paths: this runs before and after every write.
        named = ((blocklog.parse_file_name(name), name) for name in os.listdir(self._folder))
        return {name: os.path.join(self._folder, text) for name, text in named if name is not None}


def _may_be_claim(path: str) -> bool:
    """Return whether a regular file is there; a pipe, a link or a folder with such a name is no claim."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except FileNotFoundError:  # withdrawn just now: the next look decides
        return True


def _opening(path: str) -> blocklog.OpenLine | None:
    try:
        with open_regular(path) as file:
            entry = blocklog.codec.decode(file.readline(_MAX_BYTES))[1]
    except (FileNotFoundError, NotARegularFile, LineError):  # withdrawn just now, no claim, or not yet written
        return None
    return entry if isinstance(entry, blocklog.OpenLine) else None
