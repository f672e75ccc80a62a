"""Durable files: claimed by creating them, appended line by line, cut back when a write fails."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import uuid
from pathlib import Path

from services.contract.scalars import is_run, run_order, utc_text
from services.runtime.errors import UnwritableFolder

SETTLED_SECONDS = 10.0
"""So long after a run's last line its collector has surely closed it."""

AHEAD_SECONDS = 86_400.0
"""A folder named as a run that is opened later than so long from now is no run of ours."""


class LineFile:
    """A file that this process alone writes, from its creation to its end.

    ``size`` is the length up to which the file is good; a failed append never leaves more than that, unless
    even cutting it back failed: then the error says so and `cut_back` is to be tried again.
    """

    def __init__(self, path: Path) -> None:
        """Create ``path``.

        Raises:
            FileExistsError: another process claimed the name first.
            OSError: the file system refuses.
        """
        self.path = path
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(path, flags, 0o664)
        self.size = 0
        self.is_open = True
        sync_folder(path.parent)

    def append(self, data: bytes) -> None:
        """Write ``data`` at the end, whole or not at all.

        Raises:
            OSError: it could not be written; the file is as it was.
        """
        done = 0
        try:
            while done < len(data):
                done += os.write(self._fd, memoryview(data)[done:] if done else data)
        except OSError:
            if done:
                self.cut_back(self.size)
            raise
        self.size += len(data)

    def sync(self) -> None:
        """Force what was appended to the disk.

        Raises:
            OSError: it may not be there; what was appended since the last good sync must be written again.
        """
        os.fdatasync(self._fd)

    def write_again(self, data: bytes, at: int) -> None:
        """Write ``data``, which stands at offset ``at``, to the same place once more.

        After a sync that failed the kernel may take for clean what never reached the disk: no later sync writes it.

        Raises:
            OSError: it could not be written; the file reads as before.
        """
        # Not by the file's own descriptor: that one appends, whatever the offset.
        fd = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            done = 0
            while done < len(data):
                done += os.pwrite(fd, memoryview(data)[done:], at + done)
        finally:
            os.close(fd)

    def cut_back(self, size: int) -> None:
        """Cut the file to its first ``size`` bytes, for good: a power cut must not bring back what was cut off.

        Raises:
            OSError: it may still be there.
        """
        os.ftruncate(self._fd, size)
        os.fsync(self._fd)
        self.size = size

    def touch(self) -> None:
        """Set the file's time to now: its writer lives."""
        os.utime(self._fd)

    def close(self) -> None:
        """Close the file; no more calls but this one."""
        if self.is_open:
            self.is_open = False
            os.close(self._fd)


def sync_folder(folder: Path) -> None:
    """Force a folder's entries to the disk, so that a new file's name survives a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def replace(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part.

    Unless it is ``durable``, a power cut may leave neither: then nobody waits for the disk, which others wait for too.
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
    """Make a folder and its parents, and force their names to the disk."""
    missing = [path for path in (folder, *folder.parents) if not os.path.isdir(path)]
    folder.mkdir(parents=True, exist_ok=True)
    for path in reversed(missing):
        sync_folder(path.parent)


def probe(folder: Path) -> None:
    """Make sure that this process can write durably in a folder, making it first if need be.

    Raises:
        UnwritableFolder: with uid, owner and mode, and the command that mends it.
    """
    # Not the pid: that is the same number in every container, and they probe one folder at one time.
    trial = folder / f".probe-{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with trial.open("wb") as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
        trial.replace(trial.with_suffix(".renamed"))
        trial.with_suffix(".renamed").unlink()
    except OSError as problem:
        with contextlib.suppress(OSError):
            trial.unlink(missing_ok=True)
        why, fix = _describe(folder, problem), _fix(folder, problem)
        raise UnwritableFolder(str(folder), why, fix, lambda: _takes_files(folder)) from problem


def _takes_files(folder: Path) -> bool:
    try:
        probe(folder)
    except UnwritableFolder:
        return False
    return True


def _describe(folder: Path, problem: OSError) -> str:
    existing = _nearest(folder)
    status = existing.lstat()
    return (
        f"{os.strerror(problem.errno or 0).lower()} as uid {os.geteuid()}"
        f" ({existing} is owned by uid {status.st_uid}, mode {stat.S_IMODE(status.st_mode):03o})"
    )


def _fix(folder: Path, problem: OSError) -> str:
    if isinstance(problem, PermissionError):
        return f"fix: {_cure(folder)}"
    if isinstance(problem, (FileExistsError, NotADirectoryError)):
        return "fix: a file stands where the folder should be; move it away"
    if problem.errno == errno.EROFS:
        return "fix: mount the folder for writing: without ro, readonly or read_only"
    return "fix: make space, or mount the folder for writing"


def _cure(folder: Path) -> str:
    """Return the command that opens a folder to this process, on whichever side of a mount it is typed."""
    uid, nearest = os.geteuid(), _nearest(folder)
    if nearest != folder:
        # Never a change of what is there already, which may be the root of all: only a way in, and the folder.
        may_enter = os.access(nearest, os.X_OK, effective_ids=os.access in os.supports_effective_ids)
        enter = "" if may_enter else f"sudo chmod a+x {nearest} && "
        return f"{enter}sudo install -d -o {uid} {folder}"
    if _file_system(folder) == "tmpfs":
        return f"mount the tmpfs with uid={uid},mode=755"
    status = folder.lstat()
    chown = [] if status.st_uid == uid else [f"sudo chown -R {uid} {folder}"]
    chmod = [] if status.st_mode & stat.S_IRWXU == stat.S_IRWXU else [f"sudo chmod u+rwx {folder}"]
    return " && ".join(chown + chmod) or "make the file system accept this user"


def _nearest(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if os.path.lexists(path))


def _file_system(folder: Path) -> str:
    """Return the type of what is mounted at exactly this folder; empty when nothing is, or nobody can tell."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        return ""
    for mount in mounts:
        place, _, kind = mount.partition(" - ")
        if place.split(" ")[4] == str(folder):
            return kind.split(" ")[0]
    return ""


def run_folders(root: Path) -> list[str]:
    """Return the names of the folders that are named as runs are; links and all other names are passed over.

    Raises:
        OSError: the folder cannot be read.
    """
    if not root.is_dir():
        return []
    with os.scandir(root) as found:
        return [entry.name for entry in found if is_run(entry.name) and entry.is_dir(follow_symlinks=False)]


def forget_old_runs(root: Path, keep: int, now_s: float) -> None:
    """Remove what this process's side wrote about runs beyond the newest ``keep`` (0 keeps all).

    Only folders that are named as runs are, and not after a time to come, are looked at. One without a file of lines
    counts for nothing, and is removed when it is older than those that are kept. A run that was written to in the last
    `SETTLED_SECONDS` stays for now: the collector may not have closed it.

    Args:
        root: the folder with one folder per run.
        keep: how many runs stay.
        now_s: epoch seconds.

    Raises:
        OSError: the folder cannot be read.
    """
    latest = run_order(_run_at(now_s + AHEAD_SECONDS))
    names = sorted((name for name in run_folders(root) if run_order(name) <= latest), key=run_order)
    written = {name: _written_s(root / name) for name in names}
    kept = [name for name in names if written[name] is not None][-keep:] if keep else names
    for name in names:
        if kept and run_order(name) < run_order(kept[0]) and now_s - (written[name] or 0.0) > SETTLED_SECONDS:
            shutil.rmtree(root / name, ignore_errors=True)


def _run_at(epoch_s: float) -> str:
    """Return the name of a run that is opened at a time."""
    return utc_text(int(epoch_s) * 1_000_000)[:19].replace("-", "").replace(":", "") + "Z"


def _written_s(run: Path) -> float | None:
    """Return when a run's files of lines were last written to, epoch seconds; None when it has none."""
    latest: float | None = None
    for folder, _, names in os.walk(run):
        for name in names:
            if name.endswith(".jsonl"):
                with contextlib.suppress(OSError):
                    status = os.lstat(os.path.join(folder, name))
                    if stat.S_ISREG(status.st_mode):
                        latest = max(latest or 0.0, status.st_mtime)
    return latest
