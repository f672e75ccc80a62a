"""The ways to mount a log folder into a container: kinds of mount, owners, modes and users."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

WRITER, HOST_USER, ROOT = 10001, 1000, 0
"""User ids: of the images; the first user of most hosts; and root, which without capabilities has no privileges."""

LOGS = "/volumes/logs"
FIX = re.compile(
    r"error: cannot write to (?P<folder>/\S+): (?P<why>[a-z -]+) as uid (?P<uid>[0-9]+)"
    r" \(/\S* is owned by uid [0-9]+, mode [0-7]{3,4}\); fix: (?P<fix>.+)"
)


@dataclass(frozen=True)
class Cell:
    """One way of mounting, for one user.

    Attributes:
        number: unique in the matrix.
        kind: description of the mount.
        user: id of the user that runs the client.
        must_work: whether it has to work as it is; other cells work, too, or print a fix.
        target: where it is mounted; the logs are in ``volumes``/logs.
        volumes: the setting VOLUMES.
        owner: owner of the host's folder; None if the host makes none.
        mode: mode of that folder.
        options: further options of the mount.
    """

    number: int
    kind: str
    user: int
    must_work: bool
    target: str = LOGS
    volumes: str = "/volumes"
    owner: int | None = None
    mode: int | None = None
    options: str = ""

    def __str__(self) -> str:
        whose = "" if self.owner is None else f" of {self.owner}"
        mode = "" if self.mode is None else f" {self.mode:04o}"
        return f"{self.kind}{whose}{mode}{f' {self.options}' if self.options else ''}"

    @property
    def name(self) -> str:
        """The client's name."""
        return f"cell-{self.number}"

    def source(self, folder: Path, prefix: str) -> str:
        """Return the volume, or the folder of the host, that is mounted."""
        return f"{prefix}-{self.number}" if self.kind.startswith("volume") else str(folder / self.name)

    def mount(self, folder: Path, prefix: str) -> list[str]:
        """Return the ``docker run`` arguments of the mount."""
        if self.kind == "tmpfs":
            return ["--tmpfs", f"{self.target}:{self.options}"]
        read_only = ":ro" if self.options == "ro" else ""
        return ["--volume", f"{self.source(folder, prefix)}:{self.target}{read_only}"]

    def with_fix(self, fix: str) -> Cell | None:
        """Return the cell with a fix that is a mount option applied; None if the fix is a command."""
        if match := re.fullmatch(r"mount the tmpfs with (uid=[0-9]+,mode=[0-7]+)", fix):
            return replace(self, options=match[1])
        if fix.startswith("mount the folder for writing"):
            return replace(self, options="")
        return None

    def host_command(self, fix: str) -> str:
        """Return a fix that is a command, with paths for a container in which each cell is mounted below its name."""
        command = fix.replace("sudo ", "")
        if "move it away" in fix:
            command = f"mv {self.volumes}/logs {self.volumes}/moved-away"
        assert re.match(r"(chown|chmod|install|mv) ", command), fix
        return command.replace(f" {self.volumes}", f" /{self.name}{self.volumes}")


def cells() -> list[Cell]:
    """Return the matrix."""
    return [replace(cell, number=number) for number, cell in enumerate(_cells(), 1)]


def _cells() -> Iterator[Cell]:
    users = (WRITER, HOST_USER, ROOT)
    for user in users:
        # The user of the image needs no configuration; for other users the owner may have to be changed.
        yield Cell(0, "volume over the image's own folder", user, must_work=user == WRITER)
    for user in (WRITER, ROOT):
        yield Cell(0, "bind made by the engine", user, must_work=user == ROOT)
        yield Cell(0, "tmpfs", user, must_work=user == ROOT)
    yield Cell(0, "volume over another folder", WRITER, False, "/srv", "/srv")
    yield Cell(0, "volume over an open folder", HOST_USER, True, "/var/tmp", "/var/tmp")
    for owner, user in product(users, users):
        yield Cell(0, "bind", user, owner == user, owner=owner, mode=0o755)
    for user, mode in ((WRITER, 0o500), (HOST_USER, 0o000), (ROOT, 0o000)):
        yield Cell(0, "bind", user, must_work=False, owner=user, mode=mode)
    yield Cell(0, "bind", WRITER, must_work=False, owner=ROOT, mode=0o500)
    yield Cell(0, "bind", HOST_USER, must_work=True, owner=ROOT, mode=0o777)
    for mode in (0o775, 0o000):
        yield Cell(0, "bind above", WRITER, False, "/volumes", owner=HOST_USER, mode=mode)
    yield Cell(0, "tmpfs", WRITER, must_work=True, options=f"uid={WRITER},mode=755")
    yield Cell(0, "tmpfs", WRITER, must_work=False, options="mode=755")
    yield Cell(0, "bind", WRITER, must_work=False, owner=WRITER, mode=0o755, options="ro")
    yield Cell(0, "bind with a file in the way", WRITER, False, "/volumes", owner=WRITER, mode=0o755)
