"""Who runs Podman: the account that ``.ci/podman`` made, or the user of this process."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.integration.processes import ROOT, environment


class Account:
    """Runs commands as a user, in a checkout that belongs to that user.

    Args:
        name: of an account; None for the user of this process.
    """

    def __init__(self, name: str | None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sgtest-", dir="/tmp"))
        self._user = pwd.getpwnam(name) if name else None
        if self._user is None:
            own = f"/run/user/{os.getuid()}" if os.getuid() else "/run"
            self.runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or own)
        else:
            self.runtime = Path(self._user.pw_dir) / "run"
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        # The interpreter of the tests may be in a home that the account cannot look into.
        self.python = sys.executable if self._user is None else "/usr/bin/python3"

    @property
    def checkout(self) -> Path:
        """The files of the repository."""
        return self.folder / "checkout"

    def check_out(self) -> None:
        """Unpack the files that git has, as `git clone` would."""
        names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
        self._copy(ROOT, self.checkout, names)

    def copy(self, source: Path, target: str) -> Path:
        """Copy a folder for this user; return the copy."""
        self._copy(source, self.folder / target, b".")
        return self.folder / target

    def _copy(self, source: Path, target: Path, names: bytes) -> None:
        read = ["tar", "--null", "--files-from=-", "--create"]
        packed = subprocess.run(read, cwd=source, input=names, capture_output=True, check=True).stdout
        write = self._command("tar", "--extract", "--no-same-owner", "--one-top-level=" + os.fspath(target))
        subprocess.run(write, cwd="/", input=packed, env=self._environment({}), capture_output=True, check=True)

    def run(
        self, *command: str, timeout: float = 60.0, settings: Mapping[str, object] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the checkout, with these settings in its environment."""
        return subprocess.run(
            self._command(*command),
            cwd=self.checkout,
            env=self._environment(settings or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a command whose output is not read."""
        quiet = subprocess.DEVNULL
        return subprocess.Popen(
            self._command(*command), cwd="/", env=self._environment({}), stdin=quiet, stdout=quiet, stderr=quiet
        )

    def _command(self, *command: str) -> list[str]:
        if self._user is None:
            return list(command)
        user = ["--reuid", str(self._user.pw_uid), "--regid", str(self._user.pw_gid), "--init-groups"]
        return ["setpriv", *user, *command]

    def _environment(self, settings: Mapping[str, object]) -> dict[str, str]:
        if self._user is None:
            return environment(settings)
        kept = {name: os.environ[name] for name in ("PATH", "PYTHON_IMAGE") if name in os.environ}
        own = {"HOME": self._user.pw_dir, "USER": self._user.pw_name, "XDG_RUNTIME_DIR": os.fspath(self.runtime)}
        return {**kept, **own, **{name: str(value) for name, value in settings.items()}}

    def remove(self) -> None:
        """Remove the folder; files of the containers have the user's group, which may delete them."""
        shutil.rmtree(self.folder)
