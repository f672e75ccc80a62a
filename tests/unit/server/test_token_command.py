"""Tests of services/server/token_command.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.server import token_command
from services.server.__main__ import main


def test_the_default_folder_is_known_to_git() -> None:
    """Without a folder the files go where the repository keeps them out of every commit."""
    assert Path("secrets") == token_command.DEFAULT_FOLDER


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--host", "no name"], "no host name"),
        (["--host", "a,b"], "no host name"),
        (["--client", "Edge"], "no name of clients"),
        (["--client", "a b"], "no name of clients"),
    ],
)
def test_a_wrong_argument_is_refused(
    arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names that a certificate or a token file cannot hold exit 104 before anything is made."""
    with pytest.raises(SystemExit) as ended:
        main(["token", str(tmp_path), *arguments])

    assert 104 == ended.value.code
    assert says in capsys.readouterr().err
    assert [] == list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A place where no folder can be is reported in one line with exit code 104."""
    (tmp_path / "file").touch()

    assert 104 == main(["token", str(tmp_path / "file" / "secrets")])
    assert 1 == len(capsys.readouterr().err.splitlines())


def test_the_output_names_files_and_settings_and_no_token(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints the files and the settings that use them, and no token."""
    assert 0 == main(["token", str(tmp_path)])
    shown = capsys.readouterr().out

    assert 5 == shown.count("made ")
    assert "NODE_TOKEN_FILE" not in shown
    assert f"FEED_TOKEN_FILE={tmp_path / 'client' / 'tokens'}" in shown
    assert not [line for line in (tmp_path / "tokens").read_text().split() if len(line) > 16 and line in shown]


def test_the_token_of_hosts_is_made_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With ``--node`` the output names one more file, and the setting that uses it."""
    assert 0 == main(["token", str(tmp_path), "--node"])
    shown = capsys.readouterr().out

    assert 6 == shown.count("made ")
    assert f"NODE_TOKEN_FILE={tmp_path / 'node.token'}" in shown
