"""Identifies the process that writes a ledger, and decides whether such a process is proven to have ended.

The identity is written into the ledger as ``<boot> <host> <pid namespace> <pid> <start>``: the identity of the running
kernel, the host name (in a container its id), the inode of the pid namespace, the pid in that namespace, and when the
process started, in clock ticks since the boot (``proc(5)``, field 22 of ``stat``). The kernel reuses pids, but not a
pid with the same start time.
"""

from __future__ import annotations

import os
import re
import socket
import uuid
from pathlib import Path
from typing import NamedTuple

from services.runtime.clock import boot_id

PROC = Path("/proc")

_CONTAINER = re.compile(r"[0-9a-f]{12}\Z")
"""The host name that Docker gives a container: the first digits of its id, so no two containers share it."""
_ENDED_STATES = "ZXx"
"""States of a process that has ended but whose parent has not waited for it: it still has a folder in ``/proc``."""


class ProcessIdentity(NamedTuple):
    """A process on a host; its text is the form written into the ledger."""

    boot: str
    host: str
    namespace: str
    pid: int
    start: str

    def __str__(self) -> str:
        return f"{self.boot} {self.host} {self.namespace} {self.pid} {self.start}"


def new_instance() -> str:
    """Return a random identity of a server process, the name of its ledgers."""
    return uuid.uuid4().hex[:12]


def own(proc: Path = PROC) -> ProcessIdentity | None:
    """Return the identity of this process, None without a Linux ``/proc``."""
    pid = os.getpid()
    start = start_ticks(pid, proc)
    try:
        namespace = str((proc / "self/ns/pid").stat().st_ino)
    except OSError:
        return None
    host = re.sub(r"\s", "-", socket.gethostname()) or "-"
    return None if start is None else ProcessIdentity(boot_id(), host, namespace, pid, start)


def parse(text: str | None) -> ProcessIdentity | None:
    """Return the process that a ledger's first line names; None if it names none, or in an unknown format."""
    parts = (text or "").split(" ")
    if len(parts) != len(ProcessIdentity._fields) or not re.fullmatch(r"[0-9]{1,10}", parts[3]):
        return None
    return ProcessIdentity(parts[0], parts[1], parts[2], int(parts[3]), parts[4])


def is_gone(writer: ProcessIdentity | None, reader: ProcessIdentity | None, proc: Path = PROC) -> bool:
    """Return whether it is proven that a ledger's writer has ended; False when that is unknown.

    Args:
        writer: the process that the ledger names.
        reader: this process, in whose ``/proc`` the writer is looked up.
        proc: where that is mounted.
    """
    if writer is None or reader is None or (writer.boot, writer.host) != (reader.boot, reader.host):
        return False
    if writer.namespace != reader.namespace:
        # The same container after a restart: its former processes ended with the former namespace.
        return _CONTAINER.match(reader.host) is not None
    return not _is_running(writer, proc)


def lives(writer: ProcessIdentity | None, reader: ProcessIdentity | None, proc: Path = PROC) -> bool:
    """Return whether it is proven that a ledger's writer lives; False when that is unknown.

    Args:
        writer: the process that the ledger names.
        reader: this process, in whose ``/proc`` the writer is looked up.
        proc: where that is mounted.
    """
    if writer is None or reader is None or writer[:3] != reader[:3]:
        return False
    return writer != reader and start_ticks(writer.pid, proc) == writer.start


def _is_running(writer: ProcessIdentity, proc: Path) -> bool:
    start = start_ticks(writer.pid, proc)
    if start is not None:
        return start == writer.start
    try:
        # A /proc mounted with hidepid hides the processes of other users; signal 0 still shows whether the pid exists.
        os.kill(writer.pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    # The pid exists: a process that has ended but is not waited for, or one that started since the first look.
    return start_ticks(writer.pid, proc) == writer.start


def start_ticks(pid: int, proc: Path = PROC) -> str | None:
    """Return when a process of this namespace started, in clock ticks; None if it has ended or is hidden."""
    try:
        stat = (proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field is the name in brackets, which may itself contain spaces and brackets.
    fields = stat.rpartition(")")[2].split()
    return None if len(fields) < 20 or fields[0] in _ENDED_STATES else fields[19]
