"""A user who is not root, with a narrow umask, starts the containers from a checkout of their own."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.processes import ROOT, environment
from tests.integration.programs import program
from tests.integration.stack import UP_SECONDS

pytestmark = [pytest.mark.containers, pytest.mark.slow]

USER, GROUP = 12345, 23456
SOCKET = Path("/var/run/docker.sock")


@pytest.fixture
def home(engine: None) -> Iterator[Path]:
    """A folder that the user owns and can reach, unlike those that pytest makes for root."""
    if os.geteuid() != 0:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("only root can act as another user")
    program("setpriv", "util-linux")
    assert SOCKET.exists(), "the engine's socket is elsewhere"
    made = Path(tempfile.mkdtemp(prefix="sgtest-", dir="/tmp"))
    os.chown(made, USER, GROUP)
    yield made
    shutil.rmtree(made)


class OtherUser:
    """Runs shell commands as a user whose only privilege is the engine's group."""

    def __init__(self, home: Path, umask: str) -> None:
        self.home, self.umask, self.project = home, umask, f"sgtest{secrets.token_hex(4)}"
        self._settings = {"HOME": home, "COMPOSE_PROJECT_NAME": self.project, "PAGE_PORT": 0}

    def run(self, command: str, stdin: bytes = b"", **settings: object) -> subprocess.CompletedProcess[str]:
        """Run a command in the user's folder."""
        groups = str(SOCKET.stat().st_gid)
        done = subprocess.run(
            [
                "setpriv",
                "--reuid",
                str(USER),
                "--regid",
                str(GROUP),
                "--groups",
                groups,
                "sh",
                "-c",
                f"umask {self.umask}; {command}",
            ],
            cwd=self.home,
            env=environment({**self._settings, **settings}),
            input=stdin,
            capture_output=True,
            timeout=UP_SECONDS,
            check=False,
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        )

    def check_out(self) -> None:
        """Unpack the repository's files, as `git clone` would."""
        names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
        packed = subprocess.run(
            ["tar", "--null", "--files-from=-", "--create"], cwd=ROOT, input=names, capture_output=True, check=True
        )
        unpacked = self.run("mkdir checkout && tar --extract --directory checkout", packed.stdout)
        assert 0 == unpacked.returncode, unpacked.stderr


def test_a_narrow_umask_is_no_obstacle(home: Path) -> None:
    """After a checkout under umask 027 a run passes, and the user can delete all that it leaves."""
    user = OtherUser(home, "027")
    user.check_out()
    volumes = home / "checkout" / "volumes"
    before = volumes.stat()
    up = "cd checkout && docker compose --ansi never --profile verdict"
    try:
        done = user.run(f"{up} up --exit-code-from verdict --scale client=2", RECORDS=200, RATE=200)
        assert 0 == done.returncode, done.stdout + done.stderr
    finally:
        user.run(f"{up} down --timeout 1")
    assert (USER, GROUP, stat.S_IMODE(before.st_mode)) == (
        volumes.stat().st_uid,
        volumes.stat().st_gid,
        stat.S_IMODE(volumes.stat().st_mode),
    )
    removed = user.run("rm -r checkout/volumes/logs checkout/volumes/ledger checkout/volumes/summary")
    assert 0 == removed.returncode, removed.stderr
