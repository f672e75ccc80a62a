"""The server on a file system that refuses hard links, as some mounts do: ``python -m`` this module."""

from __future__ import annotations

import errno
import os
import runpy


def _refuse(*_: object, **__: object) -> None:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


if __name__ == "__main__":
    setattr(os, "link", _refuse)  # noqa: B010
    runpy.run_module("services.server", run_name="__main__")
