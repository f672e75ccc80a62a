"""Agrees with the other clients on a run, since no server of ours opens one: the first that comes opens it.

A run is a folder ``logs/<run>/`` with a ``feed.json`` that says which feed it is of, how it is read and until when.
The clients of one invocation of ``python -m services`` share one run, and no other client joins it. Other clients,
which are containers, join a run that is on if all of their settings are equal; else a new one is opened by making its
folder, which only one process can.
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
from urllib.parse import urlsplit, urlunsplit

import msgspec

from services.contract.scalars import RUN_PATTERN, run_order, utc_text, utc_us
from services.runtime import durable_file, invocation, volumes
from services.runtime.invocation import NOTE
from services.runtime.settings import BY_NAME, EXTERNAL

_ITERATIONS = 100_000
"""Some hundredths of a second of processor time for each comparison."""
_SALT_BYTES = 16
_FORM = re.compile(r"pbkdf2-sha256\.[0-9a-f]{32}\.[0-9a-f]{64}\Z")


def settings_of(environment: Mapping[str, str]) -> bytes:
    """Return the canonical text of all settings that decide which feed is received and how it is read and judged."""
    # FEED itself says only that the feed is an external one, as any other of these settings does.
    names = ["SERVER_URL", *(setting.name for setting in EXTERNAL if setting.name != "FEED")]
    said = {name: environment.get(name, "").strip() or BY_NAME[name].default for name in names}
    return json.dumps({name: _without_password(text) for name, text in said.items()}, sort_keys=True).encode()


def digest(settings: bytes, salt: bytes | None = None) -> str:
    """Return a digest of settings: its function, its salt and its value; the salt is random unless one is given."""
    salt = os.urandom(_SALT_BYTES) if salt is None else salt
    return f"pbkdf2-sha256.{salt.hex()}.{hashlib.pbkdf2_hmac('sha256', settings, salt, _ITERATIONS).hex()}"


def is_of(found: str, settings: bytes) -> bool:
    """Tell whether a digest is of these settings; a malformed one is of none."""
    if not _FORM.match(found):
        return False
    return hmac.compare_digest(found, digest(settings, bytes.fromhex(found.split(".")[1])))


def _without_password(text: str) -> str:
    try:
        parts = urlsplit(text)
    except ValueError:
        return text
    user, at, host = parts.netloc.rpartition("@")
    if not at or not parts.scheme:
        return text
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}@{host}"))


_SETTLE_SECONDS = 0.5
"""Who opened a run looks once more after this long: another process may have opened one at the same time."""
_LOOKS, _LOOK_SECONDS = 40, 0.05
"""So often it is looked for the note of a run that was opened just before: its process may wait for the disk."""
_TOGETHER_US = 5_000_000
"""Of two runs that were opened within this time the older one is meant by both."""
_LONGEST_US = 86_400_000_000
"""A run without an end is joined on the day that it was opened."""


class AgreedRun(msgspec.Struct, frozen=True, kw_only=True):
    """What ``feed.json`` says: times are RFC 3339, ``until`` is null for a run that ends when its clients do.

    ``settings`` is the digest of the settings that its clients share. ``invocation`` names the invocation of
    ``python -m services`` whose run it is; it is null for a run of containers.
    """

    run: str
    url: str
    opened_at: str
    until: str | None
    settings: str = ""
    invocation: str | None = None

    def is_on(self, now_us: int) -> bool:
        """Tell whether the run still goes on; that of an invocation without an end does for as long as its parent."""
        if self.until:
            return now_us < utc_us(self.until)
        return self.invocation is not None or now_us < utc_us(self.opened_at) + _LONGEST_US


def join(
    logs: Path, url: str, seconds: float, now_us: int, settings: bytes = b"", invoked_by: str | None = None
) -> AgreedRun:
    """Return the run that this process takes part in, opened by it when there was none.

    The run of an invocation may be over: then this process came, or came back, too late.

    Args:
        logs: the folder of all runs' logs.
        url: the feed, as it may be shown.
        seconds: how long a run lasts, 0 for as long as its clients.
        now_us: epoch microseconds.
        settings: all that decides how the feed is read and judged, as `settings_of` gives it.
        invoked_by: the invocation that this process belongs to, None for a container.

    Raises:
        OSError: the folder refuses.
    """
    until = utc_text(now_us + round(seconds * 1_000_000)) if seconds else None
    new = AgreedRun(run="", url=url, opened_at=utc_text(now_us), until=until, invocation=invoked_by)
    if invoked_by is not None:
        return _join_invoked(logs, msgspec.structs.replace(new, settings=digest(settings)), invoked_by)
    found = _on(logs, url, now_us, settings)
    if found:
        return found[0]
    mine = _open(logs, msgspec.structs.replace(new, settings=digest(settings)), now_us)
    time.sleep(_SETTLE_SECONDS)
    for _ in range(_LOOKS):
        if not _unsaid(logs, mine):
            break
        time.sleep(_LOOK_SECONDS)
    for other in _on(logs, url, now_us, settings):
        is_older = run_order(other.run) < run_order(mine.run)
        if is_older and utc_us(mine.opened_at) - utc_us(other.opened_at) < _TOGETHER_US:
            (logs / mine.run / NOTE).unlink(missing_ok=True)
            (logs / mine.run).rmdir()
            return other
    return mine


def _join_invoked(logs: Path, new: AgreedRun, invoked_by: str) -> AgreedRun:
    """Return the run of an invocation: all of its clients try the same names, and one of them opens the run."""
    for name in invocation.run_names(invoked_by):
        while not _is_taken(logs, name):
            # A folder with its note in it comes into being at once: nobody meets one without, and one claim succeeds.
            with contextlib.suppress(FileExistsError):
                return _put_in_place(logs, msgspec.structs.replace(new, run=name))
        found = _load(logs, name)
        if found is not None and found.invocation == invoked_by:
            return found
    raise AssertionError("names never end")


def _is_taken(logs: Path, name: str) -> bool:
    return os.path.lexists(logs / name) or os.path.lexists(logs.parent / "ledger" / name)


def _put_in_place(logs: Path, opened: AgreedRun) -> AgreedRun:
    """Make the folder of a run with its note.

    Raises:
        FileExistsError: another process was faster.
        OSError: the folder refuses.
    """
    made = logs / f".{opened.run}.{uuid.uuid4().hex}"
    made.mkdir()
    try:
        durable_file.replace(made / NOTE, _text(opened))
        made.rename(logs / opened.run)
    except OSError as problem:
        shutil.rmtree(made, ignore_errors=True)
        if os.path.lexists(logs / opened.run):
            raise FileExistsError(opened.run) from problem
        raise
    durable_file.sync_folder(logs)
    return opened


def _on(logs: Path, url: str, now_us: int, settings: bytes) -> list[AgreedRun]:
    """Return the runs of containers with these settings that are on, the oldest first."""
    found = (_load(logs, run) for run in sorted(_names(logs), key=run_order))
    alike = [one for one in found if one and one.invocation is None and one.url == url and one.is_on(now_us)]
    # Last, for it takes some hundredths of a second.
    return [one for one in alike if is_of(one.settings, settings)]


def _names(logs: Path) -> list[str]:
    paths = logs.glob("2*Z*")
    return [path.name for path in paths if re.match(RUN_PATTERN, path.name) and path.is_dir() and not path.is_symlink()]


def _unsaid(logs: Path, mine: AgreedRun) -> bool:
    """Tell whether there is a folder of about the same time that does not say yet of which feed it is."""
    since = volumes.run_name(utc_us(mine.opened_at) - _TOGETHER_US)
    earlier = [name for name in _names(logs) if run_order(since) < run_order(name) < run_order(mine.run)]
    return any(not (logs / name / NOTE).exists() for name in earlier)


def _load(logs: Path, run: str) -> AgreedRun | None:
    """Return what a run's note says; None where there is none, or one that this software did not write for that run."""
    try:
        said = msgspec.json.decode(invocation.read_note(logs / run) or b"", type=AgreedRun)
        utc_us(said.opened_at)
        utc_us(said.until or said.opened_at)
    except (msgspec.MsgspecError, ValueError, OverflowError):
        return None
    # A note that names another folder was copied or forged: what is logged would land there.
    return said if said.run == run else None


def _open(logs: Path, new: AgreedRun, now_us: int) -> AgreedRun:
    opened = msgspec.structs.replace(new, run=volumes.claim_run(logs, now_us))
    durable_file.replace(logs / opened.run / NOTE, _text(opened))
    return opened


def _text(opened: AgreedRun) -> bytes:
    return msgspec.json.encode(opened) + b"\n"
