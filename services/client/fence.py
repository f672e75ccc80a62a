"""Keeps a process that was superseded while it was frozen from writing what another one logs in its place."""

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
"""Of 20 ms each: longer than the server takes to judge two processes with one name. Counted rather than timed, for a
process that is frozen meanwhile has not waited."""

_MOST_BYTES = 1024 * 1024
"""Of a first line, which is short; a longer one is none."""


class Superseded(OSError):
    """Another process logs under this name, from the record after ``after`` on."""

    def __init__(self, folder: Path, after: int) -> None:
        super().__init__(f"another process logs in {folder} since record {after}")
        self.after = after


class Fence:
    """Watches a client's folder for the claims of other processes.

    Whoever wants a name claims a session in its folder first and reads then what is logged there. So from a later claim
    on nothing may be written until it is decided: the claim is withdrawn, or something is written into it.
    """

    def __init__(self, folder: Path, session: int) -> None:
        """Begin when the name was granted to a session; others that had begun before are over.

        One that is only claimed will be withdrawn, and another process may claim its number again.
        """
        self._folder = folder
        begun = [name[0] for name, path in self._sessions().items() if _opening(path) is not None]
        self._decided = max([session, *begun])

    def hold(self) -> None:
        """Wait while another process's claim is undecided, 3 s at most: who has not asked by then has crashed.

        Raises:
            Superseded: another process has begun to write.
        """
        for _ in range(_LOOKS):
            later = self._later()
            if not later:
                return
            for _, path in sorted(later.items()):
                if (opening := _opening(path)) is not None:
                    raise Superseded(self._folder, opening.after)
            time.sleep(_LOOK_SECONDS)
        self._decided = max((name[0] for name in self._later()), default=self._decided)

    def _later(self) -> dict[tuple[int, int], str]:
        later = {name: path for name, path in self._sessions().items() if name[0] > self._decided}
        return {name: path for name, path in later.items() if _is_file(path)}

    def _sessions(self) -> dict[tuple[int, int], str]:
        # Not by Path: this is asked before every write.
        named = ((blocklog.parse_file_name(name), name) for name in os.listdir(self._folder))
        return {name: os.path.join(self._folder, text) for name, text in named if name is not None}


def _is_file(path: str) -> bool:
    """Tell whether a claim stands there: a pipe, a link or a folder with its name is none."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except FileNotFoundError:  # withdrawn just now: the next look decides
        return True


def _opening(path: str) -> blocklog.OpenLine | None:
    try:
        with open_regular(path) as file:
            entry = blocklog.codec.decode(file.readline(_MOST_BYTES))[1]
    except (FileNotFoundError, NotARegularFile, LineError):  # withdrawn just now, no claim, or not yet written
        return None
    return entry if isinstance(entry, blocklog.OpenLine) else None
