"""The default control token: drawn at random by the server, and passed on in a file beside the ledgers.

Several servers of one folder have the token of that file in common.

Any process that can read the file may control the run. No client can: its container does not mount ``ledger/``.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from services.runtime.regular_files import open_regular

log = logging.getLogger(__name__)

NAME = "control.token"
MODE = 0o640
"""Readable for the host's user, whose group owns the folder, but not for other users of the host."""


def draw(folder: Path) -> str:
    """Draw a random token and write it into ``folder`` by an atomic replacement; return it.

    Raises:
        OSError: the file could not be written.
    """
    token = secrets.token_urlsafe(24)
    write(folder, token)
    return token


def write(folder: Path, token: str) -> None:
    """Write a token into ``folder`` by an atomic replacement.

    Raises:
        OSError: the file could not be written.
    """
    temporary = folder / f".{NAME}.new"
    # A file that a crash left, or a link that another user planted, must not receive the token.
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, MODE)
    with open(fd, "w", encoding="ascii") as file:
        os.fchmod(fd, MODE)  # the umask does not apply
        file.write(token + "\n")
    temporary.replace(folder / NAME)


def read(path: Path) -> str:
    """Return the token in a file.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file does not contain one line of printable ASCII.
    """
    with open_regular(path) as file:
        token = file.read(1024).decode("ascii").strip()
    if not token or not token.isprintable():
        raise ValueError(f"{path} holds no token")
    return token


def remove(folder: Path, token: str) -> None:
    """Remove the token's file, unless another process has replaced the token since."""
    with contextlib.suppress(OSError, ValueError):
        if read(folder / NAME) == token:
            (folder / NAME).unlink()


def common(folder: Path, token: str) -> str:
    """Return the token of all servers of a folder: that in its file, or this server's, which is then written there.

    Args:
        folder: where the file is.
        token: of this server; empty to draw one if there is no file.

    Raises:
        OSError: the file could not be written.
    """
    with contextlib.suppress(OSError, ValueError):
        return read(folder / NAME)
    if not token:
        return draw(folder)
    write(folder, token)
    return token


@contextlib.contextmanager
def published(
    folder: Path, own: str = "", has_siblings: Callable[[], bool] = lambda: False, *, is_joining: bool = False
) -> Iterator[str]:
    """Publish a new token in ``folder`` while the block runs; yield it.

    Beside other servers, their token is used, and it stays in its file at the end.

    If the file cannot be written, a warning is logged and the token is empty: the run can then be controlled from
    loopback only.

    Args:
        folder: where the file is.
        own: a token set by the operator; it is used instead and not written to any file.
        has_siblings: returns whether other servers use the folder.
        is_joining: other servers may use it, as far as is known yet.
    """
    token = own
    if not own:
        try:
            token = common(folder, "") if is_joining or has_siblings() else draw(folder)
        except OSError as error:
            log.warning("control token not written", extra={"folder": str(folder), "why": str(error)})
    try:
        yield token
    finally:
        if not own and not has_siblings():
            remove(folder, token)
