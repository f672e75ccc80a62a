"""The files that a node hands out: regular files below ``logs/`` and ``ledger/``, never reached through a link.

A folder is opened relative to the one above it, without following links, so nothing that another process changes in
between can lead out of the volumes folder.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple
from urllib.parse import unquote_to_bytes

from services.collector.scan import find_runs
from services.contract.blocklog import MAX_LINE
from services.contract.bounds import LISTED_RUNS
from services.contract.nodes import NodeFile, NodeInfo, NodeListing, encoded_name, is_log_name
from services.contract.scalars import is_name, is_run
from services.runtime.clock import boot_id
from services.runtime.regular_files import NotARegularFile

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_BLOCK = 512
"""Unit of ``st_blocks``."""


class NoSuchFile(LookupError):
    """There is no such file among those that are handed out."""


class FilePart(NamedTuple):
    """A part of a file.

    Attributes:
        data: its bytes.
        size: bytes of the whole file that can be read.
    """

    data: bytes
    size: int


def folder_id(volumes: Path) -> str:
    """Return an identity of a volumes folder, which differs from that of any other folder on this or another host."""
    status = volumes.stat()
    return f"{boot_id()}:{status.st_dev:x}:{status.st_ino:x}"


def info(volumes: Path, node: str) -> NodeInfo:
    """Return the newest runs of which a node has files.

    Raises:
        OSError: the folder cannot be read.
    """
    return NodeInfo(node=node, folder=folder_id(volumes), runs=find_runs(volumes)[-LISTED_RUNS.value :])


def listing(volumes: Path, run: str) -> NodeListing:
    """Return the files of a run; a run without files is an empty list.

    Raises:
        NoSuchFile: this is no name of a run.
        OSError: a folder cannot be read.
    """
    if not is_run(run):
        raise NoSuchFile(run)
    files = [*_files(volumes, ("ledger", run), None)]
    for client in _clients(volumes, run):
        files += _files(volumes, ("logs", run, client), client)
    return NodeListing(run=run, files=files)


def read_part(volumes: Path, run: str, client: str | None, encoded: str, first: int, count: int) -> FilePart:
    """Return bytes of a file.

    Args:
        volumes: the volumes folder.
        run: the run.
        client: whose block log it is; None for a ledger.
        encoded: percent-encoded name of the file in its folder.
        first: offset of the first byte.
        count: how many bytes, at most.

    Raises:
        NoSuchFile: there is no such file, or it is not handed out.
        OSError: the file cannot be read.
    """
    name = unquote_to_bytes(encoded)
    if not (is_run(run) and (client is None or is_name(client)) and is_log_name(name)):
        raise NoSuchFile(run)
    folders = ("ledger", run) if client is None else ("logs", run, client)
    try:
        with _open(volumes, folders, name) as file:
            size, _ = _readable(file.fileno(), os.fstat(file.fileno()))
            # Behind the end nothing is read: a file system refuses offsets that no file of it can have.
            return FilePart(os.pread(file.fileno(), max(min(count, size - first), 0), min(first, size)), size)
    except (FileNotFoundError, NotADirectoryError, NotARegularFile) as problem:
        raise NoSuchFile(run) from problem


def _open(volumes: Path, folders: Sequence[str], name: bytes) -> BinaryIO:
    folder = _open_folder(volumes, folders)
    try:
        descriptor = os.open(name, _FILE, dir_fd=folder)
    except OSError as problem:
        # A link, or a device without a driver: neither is a file of this project.
        raise NotARegularFile(problem.errno, problem.strerror) from problem
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotARegularFile(None, "not a regular file")
    return open(descriptor, "rb")


def _open_folder(volumes: Path, folders: Sequence[str]) -> int:
    """Return a descriptor of a folder. Only the first one, which the operator makes, may be a link."""
    descriptor = os.open(volumes / folders[0], _FOLDER)
    for name in folders[1:]:
        above = descriptor
        try:
            descriptor = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=above)
        except OSError as problem:
            raise NotADirectoryError(problem.errno, problem.strerror, name) from problem
        finally:
            os.close(above)
    return descriptor


def _clients(volumes: Path, run: str) -> list[str]:
    try:
        folder = _open_folder(volumes, ("logs", run))
    except (FileNotFoundError, NotADirectoryError):
        return []
    try:
        with os.scandir(folder) as entries:
            return sorted(
                entry.name for entry in entries if is_name(entry.name) and entry.is_dir(follow_symlinks=False)
            )
    finally:
        os.close(folder)


def _files(volumes: Path, folders: Sequence[str], client: str | None) -> Iterator[NodeFile]:
    try:
        folder = _open_folder(volumes, folders)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        for text in sorted(os.listdir(folder)):
            name = os.fsencode(text)
            if not is_log_name(name):
                continue
            try:
                status = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if stat.S_ISREG(status.st_mode):
                    size, has_hole = _size(folder, name, status)
                    yield NodeFile(
                        client=client,
                        name=encoded_name(name),
                        size=size,
                        changed_ns=status.st_mtime_ns,
                        has_hole=has_hole,
                    )
            except FileNotFoundError:  # removed since the folder was listed
                continue
    finally:
        os.close(folder)


def _size(folder: int, name: bytes, status: os.stat_result) -> tuple[int, bool]:
    if not _may_have_holes(status):
        return status.st_size, False
    descriptor = os.open(name, _FILE, dir_fd=folder)
    try:
        return _readable(descriptor, status)
    finally:
        os.close(descriptor)


def _may_have_holes(status: os.stat_result) -> bool:
    return status.st_size - status.st_blocks * _BLOCK > MAX_LINE


def _readable(descriptor: int, status: os.stat_result) -> tuple[int, bool]:
    """Return the bytes up to the first hole, and whether there is one: it costs nothing here, and much elsewhere."""
    if not _may_have_holes(status):
        return status.st_size, False
    try:
        return os.lseek(descriptor, 0, os.SEEK_HOLE), True
    except OSError:  # the file system knows no holes
        return status.st_size, False
