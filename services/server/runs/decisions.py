"""What the servers of one folder decide together: rates, control requests, the end of a run, and the run after it.

A decision is a small file, put in place complete by `os.link`, which fails if the name is taken. So the first
server has decided: there is no leader, no heartbeat and no time-out, and a server that comes later reads its decision.
Decisions are no evidence. Each server enters what it learns of them in its own ledger.
"""

from __future__ import annotations

import contextlib
import logging
import os
import uuid
from pathlib import Path

import msgspec

from services.contract import ledger
from services.contract.errors import LineError
from services.contract.jsonl import FIRST, seal, unseal
from services.runtime.regular_files import NotARegularFile, open_regular

log = logging.getLogger(__name__)

FOLDER = "decided"
"""Name of the folder with the decisions about a run, in the folder of its ledgers."""

_MAX_BYTES = 1024 * 1024


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One decision. It has exactly one of the following contents.

    Attributes:
        at: when it was made, RFC 3339.
        instance: the server process that made it.
        entries: lines that every server enters in its ledger, in this order.
        next_run: name of the run after this one.
        opened: this run is the run number ``opened`` that its servers play, from 1 on.
        invocation: of ``python -m services`` that started these servers, with ``opened``; empty without one.
        leaves: the server that made it stops, and plays no further part in the run.
    """

    at: str
    instance: str
    entries: tuple[ledger.ControlEntry | ledger.ExpectEntry | ledger.PaceEntry | ledger.EndEntry, ...] = ()
    next_run: str = ""
    opened: int = 0
    invocation: str = ""
    leaves: bool = False


_decoder = msgspec.json.Decoder(Decision)


class DecisionLog:
    """The decisions in one folder, read in their order.

    Attributes:
        folder: where they are; it is created by the first decision.
    """

    is_required = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._count = 0

    @property
    def place(self) -> str:
        """Where the decisions are, for messages."""
        return str(self.folder)

    def news(self) -> list[Decision]:
        """Return the decisions since the last call.

        A file that a power cut left without its content is skipped: what it decided is in the ledgers, or lost.

        Raises:
            OSError: a decision cannot be read.
        """
        found = []
        while (data := self._read(self._count + 1)) is not None:
            self._count += 1
            try:
                found.append(_decoder.decode(unseal(data).text))
            except (LineError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
                log.warning("decision skipped", extra={"path": str(self._path(self._count)), "why": str(problem)[:300]})
        return found

    def _read(self, number: int) -> bytes | None:
        try:
            with open_regular(self._path(number)) as file:
                return file.read(_MAX_BYTES)
        except (FileNotFoundError, NotARegularFile):
            return None

    def decide(self, decision: Decision, *, patiently: bool = False) -> bool:  # noqa: ARG002
        """Make a decision; return False if another one was made since the last call of `news`.

        Args:
            decision: to be made.
            patiently: without effect here, since a file is made at once.

        Raises:
            OSError: the folder refuses files or links.
        """
        self.folder.mkdir(exist_ok=True)
        own = self.folder / f".{uuid.uuid4().hex}"
        try:
            own.write_bytes(seal(msgspec.json.encode(decision), FIRST)[0])
            os.link(own, self._path(self._count + 1))
        except FileExistsError:
            return False
        finally:
            with contextlib.suppress(OSError):
                own.unlink(missing_ok=True)
        self._count += 1
        return True

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:08d}"


def has_left(run: Path, instance: str) -> bool:
    """Return whether a server has announced that it stops, and plays no further part in a run.

    Args:
        run: folder of its ledgers.
        instance: the server process.
    """
    try:
        return any(decision.leaves and decision.instance == instance for decision in DecisionLog(run / FOLDER).news())
    except OSError:
        return False


def supports_links(folder: Path) -> bool:
    """Return whether files in a folder can have a second name, as decisions need; nothing is left behind."""
    one, other = (folder / f".link-{uuid.uuid4().hex}" for _ in range(2))
    try:
        one.write_bytes(b"")
        os.link(one, other)
    except OSError:
        return False
    else:
        return True
    finally:
        for path in (one, other):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
