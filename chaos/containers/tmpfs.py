"""A small file system mounted over a folder of the host, which a test can fill or make read-only."""

from __future__ import annotations

import contextlib
import os

from tests.integration.stack import _run


class Tmpfs:
    """A small file system mounted over a folder of the host."""

    def __init__(self, path: os.PathLike[str], size: str) -> None:
        self.path = os.fspath(path)
        # Two mounts, so that the file system itself can become read-only, as when the kernel finds it damaged:
        # containers have bind mounts, whose own flags do not change after the start.
        self._disk = f"{self.path}.disk"
        for folder in (self.path, self._disk):
            os.makedirs(folder, exist_ok=True)
        _host("mount", "-t", "tmpfs", "-o", f"size={size},mode=0777", "sgtest", self._disk)
        _host("mount", "--bind", self._disk, self.path)

    def read_only(self, is_read_only: bool) -> None:
        """Make the file system read-only or writable; the kernel refuses while a file is open for writing."""
        _host("mount", "-o", f"remount,{'ro' if is_read_only else 'rw'}", self._disk)

    def fill(self) -> None:
        """Fill the file system to its last byte."""
        with contextlib.suppress(OSError), open(self._ballast, "ab", buffering=0) as ballast:
            while True:
                ballast.write(bytes(65_536))
        with contextlib.suppress(OSError), open(self._ballast, "ab", buffering=0) as ballast:
            while True:
                ballast.write(b"\0")

    def free(self) -> None:
        """Free the space that `fill` took."""
        os.unlink(self._ballast)

    @property
    def _ballast(self) -> str:
        return os.path.join(self.path, ".ballast")

    def close(self) -> None:
        """Unmount; call this after the containers have been removed."""
        for folder in (self.path, self._disk):
            _host("umount", folder)


def _host(*command: str) -> None:
    _run(list(command), dict(os.environ), check=True, timeout=30)
