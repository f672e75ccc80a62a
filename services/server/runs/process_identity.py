"""Which process writes a ledger, as one text, and whether the process of such a text is proven to be gone.

The text is ``<boot> <host> <pid namespace> <pid> <start>``: the identity of the running kernel, the host name (in a
container its id), the inode of the pid namespace, the pid in that namespace, and when the process started, in clock
ticks since the boot (``proc(5)``, field 22 of ``stat``). Pids are used again; a pid with its start time is not.
"""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import NamedTuple

from services.runtime.clock import boot_id

PROC = Path("/proc")

_CONTAINER = re.compile(r"[0-9a-f]{12}\Z")
"""The host name that Docker gives a container: the first digits of its id, so no two containers share it."""
_ENDED_STATES = "ZXx"
"""A process that has ended and that its parent has not waited for still has a folder in ``/proc``."""


class ProcessIdentity(NamedTuple):
    """A process of some host."""

    boot: str
    host: str
    namespace: str
    pid: int
    start: str

    def __str__(self) -> str:
        return f"{self.boot} {self.host} {self.namespace} {self.pid} {self.start}"


def own() -> ProcessIdentity | None:
    """Return this process, None where the system does not tell (no Linux ``/proc``)."""
    pid = os.getpid()
    start = start_of(pid)
    try:
        namespace = str((PROC / "self/ns/pid").stat().st_ino)
    except OSError:
        return None
    host = re.sub(r"\s", "-", socket.gethostname()) or "-"
    return None if start is None else ProcessIdentity(boot_id(), host, namespace, pid, start)


def parsed(text: str | None) -> ProcessIdentity | None:
    """Return the process of a ledger's first line, None when it names none or is not understood."""
    parts = (text or "").split(" ")
    if len(parts) != len(ProcessIdentity._fields) or not re.fullmatch(r"[0-9]{1,10}", parts[3]):
        return None
    return ProcessIdentity(parts[0], parts[1], parts[2], int(parts[3]), parts[4])


def is_gone(writer: ProcessIdentity | None, reader: ProcessIdentity | None) -> bool:
    """Tell whether it is proven that a ledger's writer has ended; False when nothing is known.

    Args:
        writer: the process that the ledger names.
        reader: the process that asks, in whose ``/proc`` it is looked up.
    """
    if writer is None or reader is None or (writer.boot, writer.host) != (reader.boot, reader.host):
        return False
    if writer.namespace != reader.namespace:
        # The same container, started again: its former processes ended with its former namespace.
        return _CONTAINER.match(reader.host) is not None
    return not _runs(writer)


def _runs(writer: ProcessIdentity) -> bool:
    start = start_of(writer.pid)
    if start is not None:
        return start == writer.start
    try:
        # A /proc mounted with hidepid does not show the processes of other users; a signal 0 tells that there is one.
        os.kill(writer.pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    # It is there and has ended already, or it started since the first look.
    return start_of(writer.pid) == writer.start


def start_of(pid: int) -> str | None:
    """Return when a process of this namespace started, in clock ticks; None when it has ended or is not shown."""
    try:
        stat = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field is the name in brackets, which may hold spaces and brackets itself.
    fields = stat.rpartition(")")[2].split()
    return None if len(fields) < 20 or fields[0] in _ENDED_STATES else fields[19]
