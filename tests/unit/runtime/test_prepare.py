"""Tests of the init container that makes the volumes writable; in its container it runs as root."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.runtime import prepare
from services.runtime.control import token
from services.runtime.errors import EXIT_BAD_SETTINGS
from services.runtime.prepare import FOLDERS, WRITER, main
from tests.repo.repository import ROOT

OWNER, GROUP = 12345, 23456
"""The host's user, whose folder it is."""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away; the container tests do it too")


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    """Return a volumes folder as a checkout has it, of a user of the host."""
    folder = tmp_path / "volumes"
    folder.mkdir(mode=0o755)
    if os.geteuid() == 0:
        os.chown(folder, OWNER, GROUP)
    return folder


def ownership(path: Path) -> tuple[int, int, int]:
    """Return uid, gid and mode of a file, without following links."""
    found = path.lstat()
    return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)


@as_root
def test_makes_the_folders(volumes: Path) -> None:
    """All three folders exist afterwards, owned by uid 10001 and writable for the host's group."""
    code = main(volumes)

    assert code == 0
    assert sorted(FOLDERS) == sorted(path.name for path in volumes.iterdir())
    assert {ownership(volumes / name) for name in FOLDERS} == {(WRITER, GROUP, 0o2775)}


@as_root
def test_lets_the_services_read_secrets(tmp_path: Path, volumes: Path) -> None:
    """The operator's tokens and keys become readable for uid 10001 and the folder's group; nothing else changes."""
    secrets = tmp_path / "secrets"
    for folder in (secrets, secrets / "client"):
        folder.mkdir(mode=0o700)
        for name in ("tokens", "tls.key", "README.md"):
            (folder / name).touch(mode=0o600)
            os.chown(folder / name, OWNER, GROUP)
        os.chown(folder, OWNER, GROUP)
    (secrets / "tls.crt").symlink_to(secrets / "README.md")

    assert 0 == main(volumes, secrets)
    for folder in (secrets, secrets / "client"):
        assert (OWNER, GROUP, 0o711) == ownership(folder)
        assert {(WRITER, GROUP, 0o640)} == {ownership(folder / name) for name in ("tokens", "tls.key")}
        assert (OWNER, GROUP, 0o600) == ownership(folder / "README.md")


@as_root
def test_does_without_secrets(tmp_path: Path, volumes: Path) -> None:
    """A folder of secrets that is empty, or is not there, changes nothing."""
    (tmp_path / "secrets").mkdir()

    assert 0 == main(volumes, tmp_path / "secrets")
    assert 0 == main(volumes, tmp_path / "nothing")


@as_root
def test_leaves_the_parent_alone(volumes: Path) -> None:
    """Owner and mode of the parent folder are unchanged."""
    before = ownership(volumes)
    main(volumes)

    assert before == ownership(volumes)


@as_root
def test_hands_over_what_is_there(volumes: Path) -> None:
    """Files of earlier runs, of any owner and mode, get uid 10001; their contents are unchanged."""
    old = volumes / "logs" / "20261122T073000Z" / "client-1"
    old.mkdir(parents=True, mode=0o700)
    file = old / "0001-0001.jsonl"
    file.write_text("a line\n")
    file.chmod(0o600)
    main(volumes)

    assert ownership(old) == ownership(old.parent) == (WRITER, GROUP, 0o2775)
    assert ownership(file) == (WRITER, GROUP, 0o664)
    assert file.read_text() == "a line\n"


@as_root
def test_the_token_stays_unreadable_for_others(volumes: Path) -> None:
    """The token of a running server stays unreadable for other users."""
    main(volumes)
    file = volumes / "ledger" / token.NAME
    token.draw(file.parent)
    file.chmod(0o600)
    main(volumes)

    assert (WRITER, GROUP, 0o640) == ownership(file)


@as_root
def test_only_adds_rights(volumes: Path) -> None:
    """Permissions that a file has besides are kept."""
    (volumes / "summary").mkdir()
    file = volumes / "summary" / "script"
    file.touch()
    file.chmod(0o777)
    main(volumes)

    assert ownership(file) == (WRITER, GROUP, 0o777)


@as_root
def test_follows_no_link(volumes: Path, tmp_path: Path) -> None:
    """A link inside a folder is not followed, and its owner is not changed."""
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    (outside / "secret").touch(mode=0o600)
    (volumes / "logs").mkdir()
    for name, target in (("folder", outside), ("file", outside / "secret")):
        (volumes / "logs" / name).symlink_to(target)
    before = [ownership(path) for path in (outside, outside / "secret", volumes / "logs" / "file")]
    main(volumes)

    assert before == [ownership(path) for path in (outside, outside / "secret", volumes / "logs" / "file")]


@as_root
def test_second_time_touches_nothing(volumes: Path) -> None:
    """Files with the right owner and mode are not written to, so that a large folder costs reads only."""
    main(volumes)
    (volumes / "logs" / "run").mkdir()
    main(volumes)
    before = [path.stat().st_ctime_ns for path in volumes.rglob("*")]
    main(volumes)

    assert before == [path.stat().st_ctime_ns for path in volumes.rglob("*")]


@as_root
def test_hands_the_group_on(volumes: Path) -> None:
    """Files that are created later inherit the host's group."""
    main(volumes)
    made = volumes / "ledger" / "20261122T073000Z"
    made.mkdir()

    assert made.stat().st_gid == GROUP
    assert made.stat().st_mode & stat.S_ISGID


@as_root
def test_what_vanishes_is_passed_over(volumes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that a running service replaces or deletes meanwhile is no error."""
    (volumes / "logs").mkdir()
    (volumes / "logs" / "gone").touch()
    (volumes / "logs" / "here").touch()
    chown = os.chown

    def late(path: Any, *ownership: int, **options: Any) -> None:
        if path == "gone":
            (volumes / "logs" / "gone").unlink()
        chown(path, *ownership, **options)

    monkeypatch.setattr(os, "chown", late)

    assert main(volumes) == 0
    assert ownership(volumes / "logs" / "here") == (WRITER, GROUP, 0o664)


@as_root
def test_a_refusal_inside_a_folder_is_reported(
    volumes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file whose owner cannot be changed, on any file system, is reported instead of skipped."""
    (volumes / "logs").mkdir()
    (volumes / "logs" / "file").touch()
    chown = os.chown

    def refuse(path: Any, *ownership: int, **options: Any) -> None:
        if path == "file":
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        chown(path, *ownership, **options)

    monkeypatch.setattr(os, "chown", refuse)

    assert main(volumes) == EXIT_BAD_SETTINGS
    assert "Operation not permitted" in capsys.readouterr().err


def test_runs_as_a_program(tmp_path: Path) -> None:
    """The program prepares the folder of its argument, and its exit code is that of the container."""
    (tmp_path / "logs").touch()
    command = [sys.executable, "-m", "services.runtime.prepare", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert ended.returncode == EXIT_BAD_SETTINGS
    assert ended.stderr.startswith(f"prepare: cannot give {tmp_path / 'logs'} to uid {WRITER}")


@pytest.mark.parametrize("kind", ["file", "link", "dead link"])
def test_refuses_what_is_no_folder(
    volumes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """A file or link in the place of a folder is reported in one line with the remedy, and the code is 104."""
    logs = volumes / "logs"
    if kind == "file":
        logs.touch()
    else:
        logs.symlink_to(tmp_path if kind == "link" else tmp_path / "nowhere")
    code = main(volumes)
    (line,) = capsys.readouterr().err.splitlines()

    assert code == EXIT_BAD_SETTINGS == 104
    fault = "not a folder" if kind == "file" else "a link"
    assert re.match(rf"prepare: cannot give {logs} to uid {WRITER}: {fault} \({logs} has uid \d+, mode \d+\); ", line)
    assert "put a folder in the place of logs/" in line
    assert "chown" not in line


@as_root
def test_nothing_is_left_behind(volumes: Path) -> None:
    """Empty folders that the engine has made for its mounts are removed if the start is refused; others stay."""
    (volumes / "logs").mkdir()
    (volumes / "ledger").mkdir()
    (volumes / "ledger" / "kept").touch()
    (volumes / "summary").touch()
    main(volumes)

    assert ["ledger", "summary"] == sorted(path.name for path in volumes.iterdir())


@pytest.mark.parametrize(
    ("number", "files", "mounted", "expected"),
    [
        (errno.EROFS, {}, True, "remount,rw"),
        (errno.EROFS, {}, False, "there is none"),
        (errno.ENOENT, {}, False, "there is none"),
        (errno.ENOSPC, {}, True, "make space"),
        (errno.EDQUOT, {}, True, "make space"),
        (errno.EPERM, {"/proc/self/uid_map": "0 100000 65536\n"}, True, "`sudo chown -R 100000` the folder of VOLUMES"),
        (errno.EPERM, {"/proc/self/uid_map": "0 0 4294967295\n"}, True, "`sudo chown -R 10001` it"),
        (errno.EACCES, {"/proc/self/attr/current": "system_u:system_r:container_t:s0"}, True, "container_file_t"),
        (errno.EACCES, {}, True, "`sudo chown -R 10001` it"),
    ],
)
def test_the_remedy_is_that_of_the_cause(
    number: int, files: dict[str, str], mounted: bool, expected: str, volumes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each cause has its own remedy: a change of owner helps only where the owner is the cause."""
    monkeypatch.setattr(prepare, "_read", lambda path: files.get(path, ""))
    monkeypatch.setattr(os.path, "ismount", lambda _: mounted)
    line = prepare._advice(volumes / "logs", OSError(number, os.strerror(number)))

    assert expected in line
    assert ("chown" in expected) == ("chown" in line)


def test_settings_without_effect_are_named() -> None:
    """A setting that containers do not read is named if it is given, with what takes its place."""
    (line,) = prepare.notes(["--stay", "PORT=", "CLIENT_ID=mine", "SERVERS=", "OTHER=1"])

    assert line.startswith("prepare: CLIENT_ID=mine has no effect in containers: ")


def test_a_feed_to_judge_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With FEED beside the project's own server nothing is prepared: a PASS would be about the wrong feed."""
    assert 104 == prepare.start([str(tmp_path), "--stay"], {"FEED": "binance-depth"})

    assert "prepare: FEED=binance-depth: this compose file plays a feed of its own" in capsys.readouterr().err
    assert [] == list(tmp_path.iterdir())
    assert prepare.refusal({"FEED": "", "FEED_SEQ": "$.seq"}) is None


CLOSED = """
import os, sys
from pathlib import Path
from services.runtime.prepare import main
sys.exit(main(Path(sys.argv[1])))
"""


def without_override(volumes: Path) -> subprocess.CompletedProcess[str]:
    """Prepare the folders as root with the capabilities that the container has."""
    if shutil.which("setpriv") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("setpriv is not installed; Debian has it in util-linux")
    kept = "-all,+chown,+fowner,+fsetid"
    command = ["setpriv", "--bounding-set", kept, "--inh-caps", kept, sys.executable, "-c", CLOSED, str(volumes)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


@as_root
@pytest.mark.parametrize("mode", [0o750, 0o700])
def test_a_folder_that_root_may_not_enter(volumes: Path, mode: int) -> None:
    """After a checkout under umask 027 or 077, root without DAC_OVERRIDE prepares the folders; the parent stays."""
    volumes.chmod(mode)
    before = ownership(volumes)
    ended = without_override(volumes)

    assert (0, "") == (ended.returncode, ended.stderr)
    assert before == ownership(volumes)
    assert {ownership(volumes / name) for name in FOLDERS} == {(WRITER, GROUP, 0o2775)}


@as_root
def test_a_prepared_folder_keeps_its_owner_throughout(volumes: Path) -> None:
    """Where there is nothing to create, the owner of the parent is not changed even for a moment."""
    main(volumes)
    before = volumes.stat().st_ctime_ns
    without_override(volumes)

    assert before == volumes.stat().st_ctime_ns


@pytest.mark.skipif(os.geteuid() == 0, reason="root is refused nothing here")
def test_a_refusal_is_reported_with_its_remedy(volumes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the right to change owners the error is one line with the remedy, and the code is 104."""
    code = main(volumes)
    (line,) = capsys.readouterr().err.splitlines()

    assert code == EXIT_BAD_SETTINGS
    assert f"sudo chown -R {WRITER}" in line


@as_root
def test_a_read_only_disk_is_reported_with_its_remedy(
    volumes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For a read-only file system the remedy is to mount it for writing."""
    (volumes / "logs").mkdir()

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "chown", refuse)
    monkeypatch.setattr(os.path, "ismount", lambda _: True)
    code = main(volumes)
    (line,) = capsys.readouterr().err.splitlines()

    assert code == EXIT_BAD_SETTINGS
    assert "Read-only file system" in line
    assert "mount its disk for writing" in line
    assert "chown" not in line


def test_a_missing_volume_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error about a missing volumes folder describes the nearest folder that exists."""
    code = main(tmp_path / "nowhere")
    (line,) = capsys.readouterr().err.splitlines()

    assert code == EXIT_BAD_SETTINGS
    assert f"({tmp_path} has uid" in line
