"""The lock that a server holds on its ledger: it shows other processes under the same kernel when the server has ended.

The kernel releases the lock of a process that ends, however it ends, and also when it ran in a container that is gone.
A free lock proves nothing where locks do not work, or do not reach from one kernel to another. Therefore a writer that
has its lock names the locked file by device and inode, and a reader takes a free lock for a proof only if it runs under
the same kernel and finds the same file: then both processes use the same lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from services.contract.ledger import OpenEntry
from services.runtime.regular_files import open_regular


def hold(descriptor: int) -> str | None:
    """Lock a file until its last descriptor is closed.

    Returns:
        ``<device>:<inode>`` of the file; None if the file system refuses the lock.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return None
    return _identity(descriptor)


def is_released(path: Path, opening: OpenEntry, boot: str) -> bool:
    """Return whether it is proven by its lock that a ledger's writer has closed it; False when that is unknown.

    Args:
        path: of the ledger.
        opening: its first line.
        boot: identity of the kernel under which this process runs.
    """
    if opening.lock is None or opening.boot != boot:
        return False
    with contextlib.suppress(OSError), open_regular(path) as file:
        if _identity(file.fileno()) == opening.lock:
            # Shared, so that several servers may look at the same time.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return True
    return False


def _identity(descriptor: int) -> str:
    status = os.fstat(descriptor)
    return f"{status.st_dev}:{status.st_ino}"
