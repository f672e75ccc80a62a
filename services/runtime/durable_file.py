"""Files that survive a power cut: append-only files, atomic replacement, and folders whose entries are on the disk."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path


class LineFile:
    """An append-only file that this process creates and that no other process writes to.

    ``size`` is the length of the valid content. A failed `append` truncates the file to it. If that fails too, the
    error is that of the truncation, and the caller must repeat `cut_back` before it appends again.
    """

    def __init__(self, path: Path) -> None:
        """Create ``path``.

        Raises:
            FileExistsError: another process has created a file of this name.
            OSError: the file system refuses.
        """
        self.path = path
        # O_EXCL makes the name a claim that only one process gets; O_NOFOLLOW keeps a planted link from redirecting it.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        # Group-writable, so that the host's user can delete it.
        self._fd = os.open(path, flags, 0o664)
        self.size = 0
        self.is_open = True
        sync_folder(path.parent)

    def fileno(self) -> int:
        """Return the descriptor, on which a lock lasts until the file is closed."""
        return self._fd

    def append(self, data: bytes) -> None:
        """Append ``data`` completely or not at all.

        Raises:
            OSError: it could not be written; the file is unchanged.
        """
        written = 0
        try:
            # A write may be partial, as on a disk that is nearly full.
            while written < len(data):
                written += os.write(self._fd, memoryview(data)[written:] if written else data)
        except OSError:
            if written:
                self.cut_back(self.size)
            raise
        self.size += len(data)

    def sync(self) -> None:
        """Force the appended data to the disk.

        Raises:
            OSError: it may not be on the disk; everything since the last successful sync must be written again.
        """
        sync_data(self._fd)

    def write_again(self, data: bytes, at: int) -> None:
        """Write ``data`` again at offset ``at``, where the file already contains it.

        After a failed sync the kernel marks the pages clean although they never reached the disk, so a second sync
        alone would succeed without writing them.

        Raises:
            OSError: it could not be written; the file reads as before.
        """
        # Needs a descriptor of its own: with O_APPEND, Linux appends and ignores the offset of pwrite.
        fd = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(fd, memoryview(data)[written:], at + written)
        finally:
            os.close(fd)

    def cut_back(self, size: int) -> None:
        """Truncate the file to ``size`` bytes and sync, so that a power cut does not restore the removed bytes.

        Raises:
            OSError: the bytes may still be there.
        """
        os.ftruncate(self._fd, size)
        os.fsync(self._fd)
        self.size = size

    def touch(self) -> None:
        """Set the file's modification time to now, as a sign that its writer is alive."""
        os.utime(self._fd)

    def close(self) -> None:
        """Close the file; calling it again does nothing."""
        if self.is_open:
            # First, so that a second call cannot close a descriptor that has been given to another file since.
            self.is_open = False
            os.close(self._fd)


def sync_data(descriptor: int) -> None:
    """Force a file's data and length to the disk.

    Raises:
        OSError: they may not be on the disk.
    """
    if hasattr(os, "fdatasync"):
        os.fdatasync(descriptor)  # cheaper than fsync: not the file's times
    elif not _is_flushed(descriptor):
        os.fsync(descriptor)


def _is_flushed(descriptor: int) -> bool:
    """Flush the drive's cache too, where fsync leaves data in it: on macOS, and not on each of its file systems."""
    full_sync = getattr(fcntl, "F_FULLFSYNC", None)
    if full_sync is None:
        return False
    try:
        fcntl.fcntl(descriptor, full_sync)
    except OSError as error:
        # After any other error a second sync would succeed without writing the data.
        if error.errno not in (errno.ENOTSUP, errno.EINVAL, errno.ENOTTY):
            raise
        return False
    return True


def sync_folder(folder: Path) -> None:
    """Force a folder's entries to the disk, so that the name of a new file survives a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def replace(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Replace a file atomically: readers see the old content or the new, never a part.

    Args:
        path: the file, which need not exist.
        data: its new content.
        durable: sync the content before the rename. Without it a power cut may lose both versions, but no time is
            spent on a sync, which also delays the other processes that write to the same disk.
    """
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("wb") as file:
        file.write(data)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    temporary.replace(path)
    if durable:
        sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Create a folder and its missing parents, and force their names to the disk."""
    missing = [path for path in (folder, *folder.parents) if not os.path.isdir(path)]
    folder.mkdir(parents=True, exist_ok=True)
    for path in reversed(missing):
        sync_folder(path.parent)
