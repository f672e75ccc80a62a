"""Gives `logs/`, `ledger/` and `summary/` to the containers' user, before any service starts.

Runs once per `up`, as root with CHOWN, FOWNER and FSETID and no other power, so that nobody has to create a
folder or know a uid. The services write as uid 10001; everything keeps the group of the host's own folder and
is open to it, so that its owner deletes all of it without sudo. Changes owners and modes, never contents.
"""

import errno
import os
import stat
import sys
from pathlib import Path

from services.runtime.control import token
from services.runtime.errors import EXIT_BAD_SETTINGS

FOLDERS = ("logs", "ledger", "summary")
WRITER = 10001
MODES = {stat.S_IFDIR: 0o2775, stat.S_IFREG: 0o664}  # set-group-id hands the group on to what is made inside


def prepare(folder: Path) -> None:
    """Make `folder` exist, and it and all that is in it writable for uid 10001; raises OSError if refused."""
    if not os.path.lexists(folder):
        _create(folder)
    if folder.is_symlink() or not folder.is_dir():  # a link leads nowhere from inside a container
        raise NotADirectoryError(0, "not a folder", folder)
    group = folder.parent.stat().st_gid
    _hand_over(folder, group)
    # Top down: the walk enters a folder after it was handed over, for only that gives the right to read it.
    for _, folders, files, descriptor in os.fwalk(folder, onerror=_pass_over_vanished):
        for name in folders + files:
            _hand_over(name, group, descriptor)


def _create(folder: Path) -> None:
    # Root without DAC_OVERRIDE may not write into another user's folder: it owns it for this one moment.
    owner = folder.parent.stat().st_uid
    os.chown(folder.parent, os.geteuid(), -1)
    try:
        folder.mkdir()
    finally:
        os.chown(folder.parent, owner, -1)


def _hand_over(name: Path | str, group: int, descriptor: int | None = None) -> None:
    try:
        found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        mode = token.MODE if name == token.NAME else MODES.get(stat.S_IFMT(found.st_mode))
        if mode is None:  # a link or a socket is none of ours
            return
        if (found.st_uid, found.st_gid) != (WRITER, group):
            os.chown(name, WRITER, group, dir_fd=descriptor, follow_symlinks=False)
        if found.st_mode & mode != mode:
            os.chmod(name, stat.S_IMODE(found.st_mode) | mode, dir_fd=descriptor)
    except OSError as error:
        _pass_over_vanished(error)


def _pass_over_vanished(error: OSError) -> None:
    # A second `up` meets running services, which replace the summary and delete old runs as we look.
    if not isinstance(error, FileNotFoundError):
        raise error


def main(root: Path) -> int:
    """Prepare the three folders under `root`; return the exit code."""
    for folder in (root / name for name in FOLDERS):
        try:
            prepare(folder)
        except OSError as error:
            print(_advice(folder, error), file=sys.stderr)
            return EXIT_BAD_SETTINGS
    return 0


def _advice(folder: Path, error: OSError) -> str:
    seen = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    state = f"{seen} has uid {seen.lstat().st_uid}, mode {stat.S_IMODE(seen.lstat().st_mode):04o}"
    cure = f"on the host, move {folder.name}/ away or `sudo chown -R {WRITER}` it, or let VOLUMES name a local disk"
    if error.errno == errno.EROFS:  # no owner helps
        cure = "on the host, mount its disk for writing (`mount -o remount,rw`), or let VOLUMES name another"
    return f"prepare: cannot give {folder} to uid {WRITER}: {error.strerror} ({state}); {cure}"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
