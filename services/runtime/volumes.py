"""Folders on the volumes: whether they can be written to, how run folders are named and claimed, which are removed."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import shutil
import stat
import time
import uuid
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import NamedTuple

from services.contract.scalars import is_run, run_order, utc_text
from services.runtime.errors import UnwritableFolder
from services.runtime.jsonlogs import RateLimitedLog

log = logging.getLogger(__name__)

SETTLED_SECONDS = 10.0
"""A run whose last line is older than this has been closed by its collector."""

MAX_FUTURE_SECONDS = 86_400.0
"""A folder whose name is a time further ahead than this is not one of this project's runs, and is left alone."""

_ERROR_LOG_SECONDS = 60.0


def check_writable(folder: Path) -> None:
    """Create, sync, rename and remove a file in a folder, which is created if it is missing.

    Raises:
        UnwritableFolder: with uid, owner and mode, and the command that repairs it.
    """
    # A random name, not the process number: that is the same in every container, and they test one folder at one time.
    trial = folder / f".probe-{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with trial.open("wb") as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
        trial.replace(trial.with_suffix(".renamed"))
        trial.with_suffix(".renamed").unlink()
    except OSError as error:
        with contextlib.suppress(OSError):
            trial.unlink(missing_ok=True)
        reason, advice = _describe(folder, error), _advice(folder, error)
        raise UnwritableFolder(str(folder), reason, advice, lambda: _is_writable(folder)) from error


def _is_writable(folder: Path) -> bool:
    try:
        check_writable(folder)
    except UnwritableFolder:
        return False
    return True


def _describe(folder: Path, error: OSError) -> str:
    existing = _nearest_existing(folder)
    status = existing.lstat()
    return (
        f"{os.strerror(error.errno or 0).lower()} as uid {os.geteuid()}"
        f" ({existing} is owned by uid {status.st_uid}, mode {stat.S_IMODE(status.st_mode):03o})"
    )


def _advice(folder: Path, error: OSError) -> str:
    if isinstance(error, PermissionError):
        return f"fix: {_repair_command(folder)}"
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        return "fix: a file is in the place of the folder; move it away"
    if error.errno == errno.EROFS:
        return "fix: mount the folder for writing: without ro, readonly or read_only"
    return "fix: make space, or mount the folder for writing"


def _repair_command(folder: Path) -> str:
    """Return a command that lets this process write to a folder; it is the same inside and outside of a container."""
    uid, nearest = os.geteuid(), _nearest_existing(folder)
    if nearest != folder:
        # Never advise to change the owner of an existing parent, which may be the root folder: only let this user
        # enter it, and create the missing folder.
        may_enter = os.access(nearest, os.X_OK, effective_ids=os.access in os.supports_effective_ids)
        enter = "" if may_enter else f"sudo chmod a+x {nearest} && "
        return f"{enter}sudo install -d -o {uid} {folder}"
    if _file_system(folder) == "tmpfs":
        return f"mount the tmpfs with uid={uid},mode=755"
    status = folder.lstat()
    chown = [] if status.st_uid == uid else [f"sudo chown -R {uid} {folder}"]
    chmod = [] if status.st_mode & stat.S_IRWXU == stat.S_IRWXU else [f"sudo chmod u+rwx {folder}"]
    return " && ".join(chown + chmod) or "make the file system accept this user"


def _nearest_existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if os.path.lexists(path))


def _file_system(folder: Path) -> str:
    """Return the type of the file system mounted at exactly this folder; empty if there is none or it is unknown."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        return ""
    for mount in mounts:
        location, _, kind = mount.partition(" - ")
        if location.split(" ")[4] == str(folder):
            return kind.split(" ")[0]
    return ""


def run_name(epoch_us: int) -> str:
    """Return the name of a run that is opened at a time (epoch microseconds), such as ``20261122T073000Z``."""
    return utc_text(epoch_us)[:19].replace("-", "").replace(":", "") + "Z"


def run_names(stem: str) -> Iterator[str]:
    """Yield the names of runs opened in the same second, in order: ``stem``, ``stem-2``, ``stem-3`` and so on."""
    yield stem
    yield from (f"{stem}-{number}" for number in count(2))


def claim_run(root: Path, epoch_us: int) -> str:
    """Create the folder of a new run and return its name.

    Creating the folder is the claim: of several processes that try the same name, one succeeds and the others go on to
    the next name.

    Args:
        root: the folder with one folder per run.
        epoch_us: when the run is opened, epoch microseconds.

    Raises:
        OSError: the folder cannot be created.
    """
    for name in run_names(run_name(epoch_us)):
        with contextlib.suppress(FileExistsError):
            (root / name).mkdir()
            return name
    raise AssertionError("run_names() never ends")


def run_folders(root: Path) -> list[str]:
    """Return the names of the folders that are named like runs; links and other names are skipped.

    Raises:
        OSError: the folder cannot be read.
    """
    if not root.is_dir():
        return []
    # A link could lead to a folder outside, whose content must not be removed.
    with os.scandir(root) as entries:
        return [entry.name for entry in entries if is_run(entry.name) and entry.is_dir(follow_symlinks=False)]


def remove_old_runs(root: Path, keep: int, now_s: float) -> None:
    """Remove the folders of all runs but the newest ``keep``; 0 keeps all.

    Only folders that are named like runs, at a time that is not in the future, are considered. A folder without a
    ``.jsonl`` file does not count as one of the kept runs; it is removed if it is older than those. A run that was
    changed less than `SETTLED_SECONDS` ago is kept for now: its collector may not have closed it yet, or its first
    client has made the folder and not yet its log.

    Args:
        root: the folder with one folder per run.
        keep: how many runs remain.
        now_s: epoch seconds.

    Raises:
        OSError: the folder cannot be read.
    """
    latest = run_order(run_name(int(now_s + MAX_FUTURE_SECONDS) * 1_000_000))
    names = sorted((name for name in run_folders(root) if run_order(name) <= latest), key=run_order)
    states = {name: _state_of(root / name) for name in names}
    kept = [name for name in names if states[name].has_log][-keep:] if keep else names
    for name in names:
        if kept and run_order(name) < run_order(kept[0]) and now_s - states[name].changed_s > SETTLED_SECONDS:
            # Every client of the run removes it at the same time, so a file that is gone already is no error.
            shutil.rmtree(root / name, ignore_errors=True)


async def remove_old_runs_regularly(root: Path, keep: int, interval_seconds: float) -> None:
    """Call `remove_old_runs` in a thread, again and again until cancelled; return at once if ``keep`` is 0.

    A failure is logged at most once a minute: the service works without the removal.
    """
    error_log = RateLimitedLog(_ERROR_LOG_SECONDS)
    while keep:
        try:
            await asyncio.to_thread(remove_old_runs, root, keep, time.time())
        except OSError as error:
            if error_log.allow(time.monotonic()):
                log.warning("old runs not removed", extra={"path": str(root), "why": str(error)})
        await asyncio.sleep(interval_seconds)


class _RunState(NamedTuple):
    """Whether a run has a log, and when it was last changed: its logs or, without any, its folders. Epoch seconds."""

    has_log: bool
    changed_s: float


def _state_of(run: Path) -> _RunState:
    written_s: list[float] = []
    changed_s = 0.0
    for folder, _, names in os.walk(run):
        for path in (folder, *(os.path.join(folder, name) for name in names if name.endswith(".jsonl"))):
            with contextlib.suppress(OSError):
                status = os.lstat(path)
                changed_s = max(changed_s, status.st_mtime)
                if stat.S_ISREG(status.st_mode):
                    written_s.append(status.st_mtime)
    return _RunState(True, max(written_s)) if written_s else _RunState(False, changed_s)
