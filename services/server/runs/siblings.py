"""The other servers of a run, as their ledgers show them: what they enter, who is connected to them, which ones live.

A server touches its ledger every 2 s. Whether one lives is measured by this process's monotonic clock, from the last
change of its file that was seen; times of files are compared only with earlier times of the same file.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from services.contract import ledger
from services.contract.errors import LineError
from services.runtime.regular_files import open_regular
from services.server.runs import ledger_lock, process_identity
from services.server.runs.process_identity import ProcessIdentity

log = logging.getLogger(__name__)

ALIVE_SECONDS = 6.0
"""A server whose ledger has not changed for this long is gone: three times the interval of the touches."""

_PIECE = 1024 * 1024
_MAX_LINE = 1024 * 1024

SiblingEntry = ledger.SubscribeEntry | ledger.SentEntry | ledger.ReceiptEntry | ledger.LeaveEntry | ledger.LateEntry
"""The kinds of entries that concern clients. All others are decided together."""

_PROGRESS = re.compile(
    rb'\{"crc":"x[0-9a-f]{8}","prev":"x[0-9a-f]{8}","v":1,"kind":"(?:sent|receipt)","at":"[^"]*",'
    rb'"client":"([a-z0-9._~-]+)",(?:"session":[0-9]+,)?"fence":([0-9]{1,16}),'
    rb'(?:"through":([0-9]+)\}|"block":[0-9]+,"first":[0-9]+,"last":([0-9]+),)'
)
"""A ``sent`` or a ``receipt`` line as this project writes it, up to the seq; the collector checks its bytes."""


class ClientProgress(NamedTuple):
    """How far other servers have served one client.

    Attributes:
        client: its name.
        fence: of the subscription.
        sent: last seq that this subscription may have been sent, 0 for not known.
        receipted: last seq that a receipt covers, 0 for not known.
    """

    client: str
    fence: int
    sent: int
    receipted: int


@dataclass
class Sibling:
    """The ledger of another server.

    Attributes:
        path: of the file.
        offset: bytes that were read.
        state: time of the last change in ns, by the file system's clock, and size.
        changed_at: when a change was last seen, monotonic seconds; None if the file has not changed since it was found.
        found_at: when the file was found, monotonic seconds.
        opening: its first line; None if it cannot be read.
        process: that writes it, if its first line names one.
        connected: fences of the clients that are connected to it, by name.
        has_left: whether it has announced that it stops.
    """

    path: Path
    offset: int
    state: tuple[int, int]
    found_at: float
    changed_at: float | None = None
    opening: ledger.OpenEntry | None = None
    process: ProcessIdentity | None = None
    connected: dict[str, int] = field(default_factory=dict)
    has_left: bool = False

    @property
    def instance(self) -> str:
        """The server process."""
        return self.path.stem


class Siblings:
    """The other ledgers in a run's folder.

    Args:
        folder: of the run.
        own: name of this process's ledger in it.
        monotonic: returns monotonic seconds.
        known: bytes of each file, by name, that this process has read before; it reads on from there.
    """

    def __init__(
        self, folder: Path, own: str, monotonic: Callable[[], float], known: dict[str, int] | None = None
    ) -> None:
        self._folder, self._own, self._monotonic, self._known = folder, own, monotonic, known or {}
        self._siblings: dict[str, Sibling] = {}
        self._reader = process_identity.own()

    def __bool__(self) -> bool:
        """Return whether there were other ledgers at the last look, of servers that live or not."""
        return bool(self._siblings)

    def news(self) -> Iterator[SiblingEntry | ClientProgress]:
        """Yield what the others have entered about clients since the last call, file by file.

        Nearly all lines are sent ranges and receipts. Of these only client and seq are read: with many clients the
        decoding would take a quarter of a core.
        """
        self._look()
        for sibling in list(self._siblings.values()):
            if sibling.state[1] > sibling.offset:
                yield from self._read(sibling)

    def _look(self) -> None:
        """Find new files, and note which ones have changed."""
        now, states = self._monotonic(), dict[str, tuple[int, int]]()
        with contextlib.suppress(OSError), os.scandir(self._folder) as files:
            for file in files:
                if file.name.endswith(".jsonl"):
                    with contextlib.suppress(OSError):
                        status = file.stat(follow_symlinks=False)
                        if stat.S_ISREG(status.st_mode):
                            states[file.name] = status.st_mtime_ns, status.st_size
        # This process touches its own ledger too, so that is the time by the file system's clock.
        present_ns = states.pop(self._own, (0, 0))[0]
        for name, state in states.items():
            self._note(name, state, now, age_seconds=(present_ns - state[0]) / 1e9)
        for name in self._siblings.keys() - states.keys():
            del self._siblings[name]

    def _note(self, name: str, state: tuple[int, int], now: float, age_seconds: float) -> None:
        sibling = self._siblings.get(name)
        if sibling is None:
            path, is_old = self._folder / name, age_seconds >= ALIVE_SECONDS
            # Of a server that may live, the clients that are connected to it are of interest: it is read from the
            # beginning. To add an entry twice changes nothing.
            offset = _line_start(path, self._known[name]) if is_old and name in self._known else 0
            sibling = Sibling(path, offset, state, float("-inf") if is_old else now)
            _identify(sibling)
            # A file that was not there when this process read the folder belongs to a server that started later.
            sibling.changed_at = None if is_old or name in self._known else now
            self._siblings[name] = sibling
        elif state != sibling.state:
            sibling.state, sibling.changed_at = state, now
            if sibling.opening is None:
                _identify(sibling)

    def _read(self, sibling: Sibling) -> Iterator[SiblingEntry | ClientProgress]:
        try:
            with open_regular(sibling.path) as file:
                file.seek(sibling.offset)
                while piece := file.read(_PIECE):
                    end = piece.rfind(b"\n") + 1
                    if not end and len(piece) < _PIECE:
                        return
                    # A line longer than a piece is no line of a ledger.
                    sibling.offset += end or len(piece)
                    file.seek(sibling.offset)
                    yield from self._entries(sibling, piece[:end])
        except OSError as problem:
            log.warning("ledger of another server not read", extra={"path": str(sibling.path), "why": str(problem)})

    @staticmethod
    def _entries(sibling: Sibling, data: bytes) -> Iterator[SiblingEntry | ClientProgress]:
        passed: dict[tuple[bytes, bytes], tuple[int, int]] = {}
        for line in data.splitlines(keepends=True):
            if (progress := _PROGRESS.match(line)) is not None:
                client, fence, through, last = progress.groups()
                sent, receipted = passed.get((client, fence), (0, 0))
                passed[client, fence] = max(sent, int(through or 0)), max(receipted, int(last or 0))
                continue
            # In the order of the lines: after its end a subscription would seem to have begun with the first record.
            yield from _taken(passed)
            try:
                entry = ledger.codec.decode(line)[1]
            except LineError:
                # The collector reports it.
                continue
            if isinstance(entry, ledger.SubscribeEntry) and not entry.observe:
                sibling.connected[entry.client] = entry.fence
            elif isinstance(entry, ledger.LeaveEntry) and sibling.connected.get(entry.client) == entry.fence:
                del sibling.connected[entry.client]
            if isinstance(entry, SiblingEntry):
                yield entry
        yield from _taken(passed)

    def add_departure(self, instance: str) -> None:
        """Note that a server has announced that it stops."""
        self._look()
        for sibling in self._siblings.values():
            sibling.has_left |= sibling.instance == instance

    def living(self, *, proven: bool = False, leaving: bool = False) -> list[Sibling]:
        """Return the servers that live or may live.

        Args:
            proven: only those that have changed their ledger since this process found it, or whose process is there.
            leaving: also those that have announced that they stop, while they do so.
        """
        self._look()
        return [
            sibling
            for sibling in self._siblings.values()
            if (leaving or not sibling.has_left) and self._lives(sibling, proven=proven)
        ]

    def _lives(self, sibling: Sibling, *, proven: bool) -> bool:
        since = sibling.changed_at
        if since is None and (not proven or process_identity.lives(sibling.process, self._reader)):
            since = sibling.found_at
        if since is None or self._monotonic() - since >= ALIVE_SECONDS:
            return False
        # A ledger that this process has written itself has no writer any more.
        is_own = sibling.process is not None and sibling.process == self._reader
        return not is_own and not self._is_gone(sibling)

    def _is_gone(self, sibling: Sibling) -> bool:
        """Return whether it is proven that the writer of a ledger has ended."""
        if process_identity.is_gone(sibling.process, self._reader):
            return True
        if self._reader is None or sibling.opening is None:
            return False
        return ledger_lock.is_released(sibling.path, sibling.opening, self._reader.boot)

    def boots(self) -> set[str]:
        """Return the identities of the kernels under which the ledgers are written, as far as they are known."""
        return {sibling.opening.boot for sibling in self._siblings.values() if sibling.opening is not None}

    def connected(self) -> dict[str, int]:
        """Return the clients that are connected to living servers, by name, with their highest fence there."""
        clients: dict[str, int] = {}
        for sibling in self.living():
            for name, fence in sibling.connected.items():
                clients[name] = max(fence, clients.get(name, 0))
        return clients


def _taken(passed: dict[tuple[bytes, bytes], tuple[int, int]]) -> Iterator[ClientProgress]:
    """Yield the progress of each subscription, and forget it."""
    for (client, fence), seqs in passed.items():
        yield ClientProgress(client.decode(), int(fence), *seqs)
    passed.clear()


def _line_start(path: Path, offset: int) -> int:
    """Return where the line begins in which ``offset`` is; ``offset`` itself if a line ends there."""
    try:
        with open_regular(path) as file:
            begin = max(offset - _MAX_LINE, 0)
            file.seek(begin)
            return begin + file.read(offset - begin).rfind(b"\n") + 1
    except OSError:
        return offset


def _identify(sibling: Sibling) -> None:
    """Note the process and the kernel that the first line of a ledger names."""
    try:
        with open_regular(sibling.path) as file:
            entry = ledger.codec.decode(file.readline(16 * 1024))[1]
    except (OSError, LineError):
        return
    if isinstance(entry, ledger.OpenEntry):
        sibling.opening = entry
        sibling.process = process_identity.parse(entry.process) if entry.process is not None else None
