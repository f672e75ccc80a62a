"""Init container: makes `logs/`, `ledger/` and `summary/` writable for the services' user before any service starts.

Also lets that user read the operator's tokens and certificates, if there are any.
Runs in each `up`, as root with the capabilities CHOWN, FOWNER and FSETID only, so that the user need not create a
folder or know a uid. The services write as uid 10001. Every file keeps the group of the host's folder and is
group-writable, so that the host's user can delete it without sudo. Changes owners and modes, never contents.

With ``--stay`` it then idles until it is stopped: Compose ends an ``up --exit-code-from`` when any container exits.
"""

import contextlib
import errno
import os
import signal
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from services.runtime.control import token
from services.runtime.errors import EXIT_BAD_SETTINGS

FOLDERS = ("logs", "ledger", "summary")
WRITER = 10001
MARKER = Path("/tmp/prepared")  # noqa: S108
"""Exists, in the container, when all folders are prepared."""
SECRETS, CLIENT_FOLDER = ("tokens", "node.token", "tls.crt", "tls.key"), "client"
SECRETS_FOLDER_MODE = 0o711  # uid 10001 opens files in it by name, and needs no list of them
MODES = {stat.S_IFDIR: 0o2775, stat.S_IFREG: 0o664}  # set-group-id: new files inherit the group of the folder

NOT_READ = {
    "PORT": "each has ports of its own; PAGE_PORT is the port of the page on this machine",
    "CLIENT_ID": "it would be the same for all clients, which find names of their own",
    "SERVERS": "give --scale server=N to docker compose up",
}
"""Settings for processes alone, and what takes their place in compose."""


def prepare(folder: Path) -> None:
    """Create `folder` if it is missing, and give it and its content to uid 10001.

    Raises:
        OSError: the file system refuses, or the path is not a folder.
    """
    if not os.path.lexists(folder):
        with _access(folder.parent, os.W_OK):
            folder.mkdir()
    if folder.is_symlink() or not folder.is_dir():  # the target of a link does not exist inside the container
        raise NotADirectoryError(0, "a link" if folder.is_symlink() else "not a folder", folder)
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


@contextlib.contextmanager
def _access(root: Path, mode: int) -> Iterator[None]:
    """Own a folder for a while, if this process has not the access to it that it needs.

    Root without DAC_OVERRIDE is refused like any other user, after a checkout under umask 027 even to look into it.
    """
    owner = root.stat().st_uid
    if os.access(root, mode):
        yield
        return
    os.chown(root, os.geteuid(), -1)
    try:
        yield
    finally:
        os.chown(root, owner, -1)


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
    """Prepare the three folders under `root`, and the files in `secrets`; return the exit code.

    If that fails, folders without content that belong to root are removed: the engine made them for its mounts, and the
    host's user could not.
    """
    folder = root
    try:
        with _access(root, os.R_OK | os.X_OK):
            is_new = _is_made_by_the_engine(root)
            try:
                for folder in (root / name for name in FOLDERS):
                    prepare(folder)
            except OSError:
                _remove_empty(root)
                raise
    except OSError as error:
        print(_advice(folder, error), file=sys.stderr)
        return EXIT_BAD_SETTINGS
    if is_new:
        print("prepare: VOLUMES is a new folder of root, which the engine made; make it first for your own", flush=True)
    try:
        if secrets is not None:
            share_secrets(secrets)
    except OSError as error:
        print(f"prepare: cannot let uid {WRITER} read the files in secrets/: {error.strerror}", file=sys.stderr)
        return EXIT_BAD_SETTINGS
    return 0


def _is_made_by_the_engine(root: Path) -> bool:
    """Return whether a folder belongs to root, and has at most the empty folders that the engine mounts."""
    if root.stat().st_uid or set(os.listdir(root)) - set(FOLDERS):
        return False
    try:
        return not any(os.listdir(root / name) for name in os.listdir(root))
    except OSError:  # not empty folders of root
        return False


def _remove_empty(root: Path) -> None:
    with contextlib.suppress(OSError), _access(root, os.W_OK):
        for name in FOLDERS:
            with contextlib.suppress(OSError):
                if (root / name).lstat().st_uid in (os.geteuid(), WRITER):
                    (root / name).rmdir()


def _advice(folder: Path, error: OSError) -> str:
    existing = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    state = f"{existing} has uid {existing.lstat().st_uid}, mode {stat.S_IMODE(existing.lstat().st_mode):04o}"
    return f"prepare: cannot give {folder} to uid {WRITER}: {error.strerror} ({state}); {_cure(folder, error)}"


def _cure(folder: Path, error: OSError) -> str:
    """Return what the operator has to do on the host."""
    elsewhere, name = "or let VOLUMES name another folder", f"{folder.name}/"
    if isinstance(error, NotADirectoryError):
        return f"on the host, put a folder in the place of {name}, {elsewhere}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        is_out_of_inodes = os.statvfs(folder.parent).f_favail == 0
        return f"on the host, {'free inodes (`df -i`)' if is_out_of_inodes else 'make space'}, {elsewhere}"
    if error.errno in (errno.EROFS, errno.ENOENT):  # a change of owner would not help
        is_mounted = os.path.ismount(folder.parent)
        missing = f"mount a folder of the host at {folder.parent}: there is none"
        return (
            f"on the host, mount its disk for writing (`mount -o remount,rw`), {elsewhere}" if is_mounted else missing
        )
    return _cure_of_refusal(name, error)


def _cure_of_refusal(name: str, error: OSError) -> str:
    if (root := _mapped_root()) is not None:
        cause = "the engine maps users (userns-remap, or Podman without root)"
        return f"{cause}: on the host, `sudo chown -R {root}` the folder of VOLUMES"
    if error.errno == errno.EACCES and "container_t" in _read("/proc/self/attr/current"):
        return "SELinux forbids it: on the host, `sudo chcon -R -t container_file_t` the folder of VOLUMES"
    return f"on the host, move {name} away or `sudo chown -R {WRITER}` it, or let VOLUMES name a local disk"


def _mapped_root() -> int | None:
    """Return the host's uid of this container's root; None if the engine maps no users."""
    fields = _read("/proc/self/uid_map").split()
    return int(fields[1]) if len(fields) >= 3 and fields[0] == "0" and fields[1] != "0" else None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def stay(marker: Path = MARKER) -> None:
    """Create the file that the health probe looks for; return when the process is told to stop."""
    stops = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    # Blocked before the file exists, or a signal that follows it at once would be an exit code other than 0.
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    marker.touch()
    signal.sigwait(stops)


def notes(options: Iterable[str]) -> Iterator[str]:
    """Yield a line about each setting that is given and that containers do not read, from options like ``PORT=80``."""
    for option in options:
        name, _, value = option.partition("=")
        if value and name in NOT_READ:
            yield f"prepare: {name}={value} has no effect in containers: {NOT_READ[name]}"


def refusal(environment: Mapping[str, str]) -> str | None:
    """Return why no service may start with this environment; None if nothing is against it.

    A feed to judge beside the project's own server would have no effect, and a PASS would be about the wrong feed.
    """
    if not (feed := environment.get("FEED")):
        return None
    return (
        f"prepare: FEED={feed}: this compose file plays a feed of its own, so the verdict would not be on that one;"
        " judge another feed with deploy/judge.yml, or judge.release.yml of a release"
    )


def start(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the program; return the exit code."""
    if reason := refusal(environment):
        print(reason, file=sys.stderr)
        return EXIT_BAD_SETTINGS
    code = main(*(Path(argument) for argument in arguments if argument.startswith("/")))
    for line in notes(arguments):
        print(line, flush=True)
    if code == 0 and "--stay" in arguments:
        stay()
    return code


if __name__ == "__main__":
    sys.exit(start(sys.argv[1:], os.environ))
