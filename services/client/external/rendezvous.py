"""Agrees with the other clients on a run of an external feed, without a server: the first client opens it.

A run is a folder ``logs/<run>/`` with a ``feed.json``, the note that describes the feed, how it is read, and when the
run ends. The clients of one invocation of ``python -m services`` share one run, which no other client joins. Other
clients, in containers, join a run that is not over and whose settings all equal their own; without such a run a client
opens one by making its folder, which only one process can do.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

import msgspec

from services.contract.scalars import RUN_PATTERN, run_order, utc_text, utc_us
from services.runtime import durable_file, invocation, volumes
from services.runtime.invocation import NOTE
from services.runtime.settings import BY_NAME, EXTERNAL

_SALT_BYTES = 16
_FORM = re.compile(r"pbkdf2-sha256\.[0-9a-f]{32}\.[0-9a-f]{64}\Z")

# Of two runs that were opened within this time both processes choose the older.
_TOGETHER_US = 5_000_000
# A run without an end is joined on the day on which it was opened.
_LONGEST_US = 86_400_000_000


class JoinPolicy(NamedTuple):
    """How long the parts of `join` take.

    Attributes:
        settle_seconds: a process that has opened a run looks once more after this time: another process may have
            opened one simultaneously.
        looks, look_seconds: how often, and how far apart, it looks for the note of a run that was opened just before:
            that process may be waiting for the disk.
        iterations: of the digest. They take some hundredths of a second of processor time for each comparison, so that
            settings cannot be guessed by trying many. All clients of a run must use the same number.
    """

    settle_seconds: float = 0.5
    looks: int = 40
    look_seconds: float = 0.05
    iterations: int = 100_000


DEFAULT_POLICY = JoinPolicy()


class AgreedRun(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of ``feed.json``.

    Attributes:
        run: name of the run.
        url: address of the feed without its secrets.
        opened_at: RFC 3339.
        until: when the run ends, RFC 3339; None for a run that ends when its clients do.
        settings: digest of the settings that its clients share.
        invocation: the invocation of ``python -m services`` that the run belongs to; None for a run of containers.
    """

    run: str
    url: str
    opened_at: str
    until: str | None
    settings: str = ""
    invocation: str | None = None

    def is_on(self, now_us: int) -> bool:
        """Return whether the run is not over; that of an invocation without an end lasts as long as its parent."""
        if self.until:
            return now_us < utc_us(self.until)
        return self.invocation is not None or now_us < utc_us(self.opened_at) + _LONGEST_US


def join(
    logs: Path,
    url: str,
    seconds: float,
    now_us: int,
    settings: bytes = b"",
    invoked_by: str | None = None,
    policy: JoinPolicy = DEFAULT_POLICY,
) -> AgreedRun:
    """Return the run that this process takes part in; open it if there is none.

    The run of an invocation may be over: then this process started, or restarted, too late.

    Args:
        logs: the folder of all runs' logs.
        url: address of the feed without its secrets.
        seconds: duration of a run, 0 for until its clients stop.
        now_us: epoch microseconds.
        settings: all settings that decide how the feed is read and judged, from `settings_of`.
        invoked_by: the invocation that this process belongs to, None for a container.
        policy: how long to look for the runs of others.

    Raises:
        OSError: the folder refuses.
    """
    until = utc_text(now_us + round(seconds * 1_000_000)) if seconds else None
    new = AgreedRun(run="", url=url, opened_at=utc_text(now_us), until=until, invocation=invoked_by)
    if invoked_by is not None:
        new = msgspec.structs.replace(new, settings=digest(settings, iterations=policy.iterations))
        return _join_invoked(logs, new, invoked_by)
    joinable = _joinable(logs, url, now_us, settings, policy)
    if joinable:
        return joinable[0]
    new = msgspec.structs.replace(new, settings=digest(settings, iterations=policy.iterations))
    own = _open(logs, new, now_us)
    time.sleep(policy.settle_seconds)
    for _ in range(policy.looks):
        if not _has_recent_without_note(logs, own):
            break
        time.sleep(policy.look_seconds)
    # Every process applies the same rule to the same folders, so all of them choose the same run: the oldest of those
    # that were opened together. Its opener stays, and the others withdraw theirs.
    for other in _joinable(logs, url, now_us, settings, policy):
        is_older = run_order(other.run) < run_order(own.run)
        if is_older and utc_us(own.opened_at) - utc_us(other.opened_at) < _TOGETHER_US:
            (logs / own.run / NOTE).unlink(missing_ok=True)
            (logs / own.run).rmdir()
            return other
    return own


def settings_of(environment: Mapping[str, str]) -> bytes:
    """Return the canonical text of all settings that decide which feed is received and how it is read and judged."""
    # Not FEED: it states only that the feed is external, as the presence of any other of these settings does.
    names = ["SERVER_URL", *(setting.name for setting in EXTERNAL if setting.name != "FEED")]
    values = {name: environment.get(name, "").strip() or BY_NAME[name].default for name in names}
    return json.dumps({name: _without_password(text) for name, text in values.items()}, sort_keys=True).encode()


def digest(settings: bytes, salt: bytes | None = None, iterations: int = DEFAULT_POLICY.iterations) -> str:
    """Return a digest of settings: its function, its salt and its value; the salt is random unless one is given.

    Salted and slow, because settings may contain secrets and the log folder is read by others.
    """
    salt = os.urandom(_SALT_BYTES) if salt is None else salt
    return f"pbkdf2-sha256.{salt.hex()}.{hashlib.pbkdf2_hmac('sha256', settings, salt, iterations).hex()}"


def is_of(settings_digest: str, settings: bytes, iterations: int = DEFAULT_POLICY.iterations) -> bool:
    """Return whether a digest is of these settings; False for a malformed one."""
    if not _FORM.match(settings_digest):
        return False
    salt = bytes.fromhex(settings_digest.split(".")[1])
    return hmac.compare_digest(settings_digest, digest(settings, salt, iterations))


def _without_password(text: str) -> str:
    try:
        parts = urlsplit(text)
    except ValueError:
        return text
    user, at, host = parts.netloc.rpartition("@")
    if not at or not parts.scheme:
        return text
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}@{host}"))


def _join_invoked(logs: Path, new: AgreedRun, invoked_by: str) -> AgreedRun:
    """Return the run of an invocation: all of its clients try the same names, and the first one opens the run."""
    for name in invocation.run_names(invoked_by):
        while not _is_taken(logs, name):
            # The folder appears together with its note, in one step: no process finds it without the note, and of
            # several processes that try this name one succeeds.
            with contextlib.suppress(FileExistsError):
                return _move_into_place(logs, msgspec.structs.replace(new, run=name))
        run = _load(logs, name)
        if run is not None and run.invocation == invoked_by:
            return run
    raise AssertionError("names never end")


def _is_taken(logs: Path, name: str) -> bool:
    return os.path.lexists(logs / name) or os.path.lexists(logs.parent / "ledger" / name)


def _move_into_place(logs: Path, opened: AgreedRun) -> AgreedRun:
    """Make the folder of a run with its note.

    Raises:
        FileExistsError: another process was faster.
        OSError: the folder refuses.
    """
    # Hidden and random, so that no other process takes it for a run or uses the same name.
    temporary = logs / f".{opened.run}.{uuid.uuid4().hex}"
    temporary.mkdir()
    try:
        durable_file.replace(temporary / NOTE, _text(opened))
        temporary.rename(logs / opened.run)
    except OSError as problem:
        shutil.rmtree(temporary, ignore_errors=True)
        if os.path.lexists(logs / opened.run):
            raise FileExistsError(opened.run) from problem
        raise
    durable_file.sync_folder(logs)
    return opened


def _joinable(logs: Path, url: str, now_us: int, settings: bytes, policy: JoinPolicy) -> list[AgreedRun]:
    """Return the runs of containers with these settings that are not over, oldest first."""
    runs = (_load(logs, name) for name in sorted(_names(logs), key=run_order))
    candidates = [run for run in runs if run and run.invocation is None and run.url == url and run.is_on(now_us)]
    # The digest is compared last, since it takes some hundredths of a second.
    return [run for run in candidates if is_of(run.settings, settings, policy.iterations)]


def _names(logs: Path) -> list[str]:
    paths = logs.glob("2*Z*")
    return [path.name for path in paths if re.match(RUN_PATTERN, path.name) and path.is_dir() and not path.is_symlink()]


def _has_recent_without_note(logs: Path, own: AgreedRun) -> bool:
    """Return whether a folder of about the same time has no note yet, so that its feed is unknown."""
    since = volumes.run_name(utc_us(own.opened_at) - _TOGETHER_US)
    earlier = [name for name in _names(logs) if run_order(since) < run_order(name) < run_order(own.run)]
    return any(not (logs / name / NOTE).exists() for name in earlier)


def _load(logs: Path, run: str) -> AgreedRun | None:
    """Return the note of a run; None without one, or if this software did not write it for that run."""
    try:
        note = msgspec.json.decode(invocation.read_note(logs / run) or b"", type=AgreedRun)
        utc_us(note.opened_at)
        utc_us(note.until or note.opened_at)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
        return None
    # A note that names another folder was copied or forged: this client's log would be written there.
    return note if note.run == run else None


def _open(logs: Path, new: AgreedRun, now_us: int) -> AgreedRun:
    opened = msgspec.structs.replace(new, run=volumes.claim_run(logs, now_us))
    durable_file.replace(logs / opened.run / NOTE, _text(opened))
    return opened


def _text(opened: AgreedRun) -> bytes:
    return msgspec.json.encode(opened) + b"\n"
