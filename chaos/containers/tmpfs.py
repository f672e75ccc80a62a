"""A small file system in place of a folder of the host: it fills up, and it can be mounted read-only."""

from __future__ import annotations

import contextlib
import os

from tests.integration.stack import _run


class Tmpfs:
    """A small file system of its own in place of a folder of the host."""

    def __init__(self, path: os.PathLike[str], size: str) -> None:
        self.path = os.fspath(path)
        # What turns read-only is the disk, as when the kernel finds it damaged, and not the mount that containers have
        # of it: that would stay as it was when they were started.
        self._disk = f"{self.path}.disk"
        for folder in (self.path, self._disk):
            os.makedirs(folder, exist_ok=True)
        _host("mount", "-t", "tmpfs", "-o", f"size={size},mode=0777", "sgtest", self._disk)
        _host("mount", "--bind", self._disk, self.path)

    def read_only(self, on: bool) -> None:
        """Let it be written, or not; refused by the kernel while somebody has a file open for writing."""
        _host("mount", "-o", f"remount,{'ro' if on else 'rw'}", self._disk)

    def fill(self) -> None:
        """Leave no byte free."""
        with contextlib.suppress(OSError), open(self._ballast, "ab", buffering=0) as ballast:
            while True:
                ballast.write(bytes(65_536))
        with contextlib.suppress(OSError), open(self._ballast, "ab", buffering=0) as ballast:
            while True:
                ballast.write(b"\0")

    def free(self) -> None:
        """Give the space back."""
        os.unlink(self._ballast)

    @property
    def _ballast(self) -> str:
        return os.path.join(self.path, ".ballast")

    def close(self) -> None:
        """Unmount, once the containers are gone."""
        for folder in (self.path, self._disk):
            _host("umount", folder)


def _host(*command: str) -> None:
    _run(list(command), dict(os.environ), check=True, timeout=30)
