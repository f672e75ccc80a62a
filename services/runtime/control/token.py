"""The token of a run's control that nobody has to set: the server draws it, and a file hands it on.

Whoever may read the file may control the run; so it lies beside the ledgers, which no client can read.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger(__name__)

NAME = "control.token"
MODE = 0o640
"""For the host's user, in whose group the folder is, and for nobody else on the host."""


def draw(folder: Path) -> str:
    """Draw a token at random, and write it into ``folder``: a reader sees the old one or the new one, never a part.

    Raises:
        OSError: it could not be written.
    """
    token = secrets.token_urlsafe(24)
    temporary = folder / f".{NAME}.new"
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, MODE)
    with open(fd, "w", encoding="ascii") as file:
        os.fchmod(fd, MODE)  # whatever the umask
        file.write(token + "\n")
    temporary.replace(folder / NAME)
    return token


def read(path: Path) -> str:
    """Return the token in a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it holds no token, which is one line of ASCII.
    """
    with path.open(encoding="ascii") as file:
        token = file.read(1024).strip()
    if not token or not token.isprintable():
        raise ValueError(f"{path} holds no token")
    return token


def withdraw(folder: Path, token: str) -> None:
    """Remove the token, unless another process has drawn a new one since."""
    with contextlib.suppress(OSError, ValueError):
        if read(folder / NAME) == token:
            (folder / NAME).unlink()


@contextlib.contextmanager
def handed_on(folder: Path, own: str = "") -> Iterator[str]:
    """Draw a token for as long as the block lasts; the operator's ``own`` is taken as it is, and written nowhere.

    A folder that refuses it is no reason to stop: the log says so, and the token is empty.
    """
    token = own
    if not own:
        try:
            token = draw(folder)
        except OSError as problem:
            log.warning("no token of control", extra={"folder": str(folder), "why": str(problem)})
    try:
        yield token
    finally:
        if not own:
            withdraw(folder, token)
