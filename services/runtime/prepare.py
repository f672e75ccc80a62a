"""Init container: makes `logs/`, `ledger/` and `summary/` writable for the services' user before any service starts.

Also lets that user read the operator's tokens and certificates, if there are any.
Runs once per `up`, as root with the capabilities CHOWN, FOWNER and FSETID only, so that the user need not create a
folder or know a uid. The services write as uid 10001. Every file keeps the group of the host's folder and is
group-writable, so that the host's user can delete it without sudo. Changes owners and modes, never contents.
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
SECRETS, CLIENT_FOLDER = ("tokens", "tls.crt", "tls.key"), "client"
SECRETS_FOLDER_MODE = 0o711  # uid 10001 opens files in it by name, and needs no list of them
MODES = {stat.S_IFDIR: 0o2775, stat.S_IFREG: 0o664}  # set-group-id: new files inherit the group of the folder


def prepare(folder: Path) -> None:
    """Create `folder` if it is missing, and give it and its content to uid 10001.

    Raises:
        OSError: the file system refuses, or the path is not a folder.
    """
    if not os.path.lexists(folder):
        _create(folder)
    if folder.is_symlink() or not folder.is_dir():  # the target of a link does not exist inside the container
        raise NotADirectoryError(0, "not a folder", folder)
    group = folder.parent.stat().st_gid
    _give_to_writer(folder, group)
    # Top down: this process may read a folder only after it has changed its owner and mode.
    for _, folders, files, descriptor in os.fwalk(folder, onerror=_pass_over_vanished):
        for name in folders + files:
            _give_to_writer(name, group, descriptor)


def share_secrets(folder: Path) -> None:
    """Let uid 10001 read the files of `services.server token` in `folder`, and no other user of the host.

    Raises:
        OSError: the file system refuses.
    """
    for place in (folder, folder / CLIENT_FOLDER):
        if place.is_symlink() or not place.is_dir():
            continue
        status = place.stat()
        if status.st_mode & SECRETS_FOLDER_MODE != SECRETS_FOLDER_MODE:
            place.chmod(stat.S_IMODE(status.st_mode) | SECRETS_FOLDER_MODE)
        for name in SECRETS:
            if (place / name).is_file() and not (place / name).is_symlink():
                os.chown(place / name, WRITER, status.st_gid, follow_symlinks=False)
                (place / name).chmod(token.MODE)


def _create(folder: Path) -> None:
    # Root without DAC_OVERRIDE may not write to another user's folder, so it owns the parent while it creates this one.
    owner = folder.parent.stat().st_uid
    os.chown(folder.parent, os.geteuid(), -1)
    try:
        folder.mkdir()
    finally:
        os.chown(folder.parent, owner, -1)


def _give_to_writer(name: Path | str, group: int, descriptor: int | None = None) -> None:
    try:
        status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        mode = token.MODE if name == token.NAME else MODES.get(stat.S_IFMT(status.st_mode))
        if mode is None:  # the services create no links and no sockets
            return
        if (status.st_uid, status.st_gid) != (WRITER, group):
            os.chown(name, WRITER, group, dir_fd=descriptor, follow_symlinks=False)
        # Only adds permissions: what the host's user has allowed besides stays allowed.
        if status.st_mode & mode != mode:
            os.chmod(name, stat.S_IMODE(status.st_mode) | mode, dir_fd=descriptor)
    except OSError as error:
        _pass_over_vanished(error)


def _pass_over_vanished(error: OSError) -> None:
    # During a second `up` the running services replace summaries and remove old runs while this walk goes on.
    if not isinstance(error, FileNotFoundError):
        raise error


def main(root: Path, secrets: Path | None = None) -> int:
    """Prepare the three folders under `root`, and the files in `secrets`; return the exit code."""
    for folder in (root / name for name in FOLDERS):
        try:
            prepare(folder)
        except OSError as error:
            print(_advice(folder, error), file=sys.stderr)
            return EXIT_BAD_SETTINGS
    try:
        if secrets is not None:
            share_secrets(secrets)
    except OSError as error:
        print(f"prepare: cannot let uid {WRITER} read the files in secrets/: {error.strerror}", file=sys.stderr)
        return EXIT_BAD_SETTINGS
    return 0


def _advice(folder: Path, error: OSError) -> str:
    existing = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    state = f"{existing} has uid {existing.lstat().st_uid}, mode {stat.S_IMODE(existing.lstat().st_mode):04o}"
    fix = f"on the host, move {folder.name}/ away or `sudo chown -R {WRITER}` it, or let VOLUMES name a local disk"
    if error.errno == errno.EROFS:  # a change of owner would not help
        fix = "on the host, mount its disk for writing (`mount -o remount,rw`), or let VOLUMES name another"
    return f"prepare: cannot give {folder} to uid {WRITER}: {error.strerror} ({state}); {fix}"


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
