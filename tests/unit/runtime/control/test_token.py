"""Tests of the control token's file."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from services.runtime.control import token


def test_a_drawn_token_is_in_the_file(tmp_path: Path) -> None:
    """The file contains the drawn token, and no other file is left in the folder."""
    drawn = token.draw(tmp_path)

    assert drawn == token.read(tmp_path / token.NAME)
    assert [token.NAME] == [path.name for path in tmp_path.iterdir()]


def test_only_owner_and_group_can_read_it(tmp_path: Path) -> None:
    """Only the owner and its group can read the file, and only the owner can write it."""
    token.draw(tmp_path)

    assert 0o640 == stat.S_IMODE((tmp_path / token.NAME).stat().st_mode)


def test_each_token_is_new(tmp_path: Path) -> None:
    """A new token replaces the old one, even if a crash left an incomplete temporary file."""
    first = token.draw(tmp_path)
    (tmp_path / f".{token.NAME}.new").write_text("half")
    second = token.draw(tmp_path)

    assert first != second == token.read(tmp_path / token.NAME)
    assert 32 == len(second)


def test_a_process_removes_its_own_token_only(tmp_path: Path) -> None:
    """A process removes its own token, and leaves a token that another process has drawn since."""
    first = token.draw(tmp_path)
    second = token.draw(tmp_path)
    token.remove(tmp_path, first)
    assert second == token.read(tmp_path / token.NAME)
    token.remove(tmp_path, second)
    token.remove(tmp_path, second)

    assert [] == list(tmp_path.iterdir())


def test_a_token_is_published_while_the_block_runs(tmp_path: Path) -> None:
    """The file exists while the block runs and is removed afterwards."""
    with token.published(tmp_path) as drawn:
        assert drawn == token.read(tmp_path / token.NAME)

    assert [] == list(tmp_path.iterdir())


def test_the_operators_token_is_not_written(tmp_path: Path) -> None:
    """A token that the operator set is used as it is, and the file of another process stays unchanged."""
    other = token.draw(tmp_path)
    with token.published(tmp_path, other) as used:
        assert other == used

    assert other == token.read(tmp_path / token.NAME)


def test_a_token_that_cannot_be_written_is_empty(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """If the file cannot be written, the token is empty and a warning is logged."""
    with token.published(tmp_path / "none") as drawn:
        assert "" == drawn

    assert ["control token not written"] == [record.message for record in caplog.records]


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines\n", b"\xff\xfe"])
def test_a_file_without_a_token_is_an_error(tmp_path: Path, content: bytes) -> None:
    """A file that is not one line of ASCII raises an error."""
    path = tmp_path / "file"
    path.write_bytes(content)

    with pytest.raises(ValueError, match=r"no token|ascii"):
        token.read(path)


def test_a_server_that_joins_others_uses_their_token(tmp_path: Path) -> None:
    """A server that finds a run of others keeps the token in the file, before it is certain that they live."""
    with token.published(tmp_path) as first, token.published(tmp_path, is_joining=True) as second:
        assert first == second == token.read(tmp_path / token.NAME)

    assert [] == list(tmp_path.iterdir())


def test_servers_of_one_folder_have_one_token(tmp_path: Path) -> None:
    """A server beside others uses their token and leaves its file; a token whose file is gone is written again."""
    with token.published(tmp_path) as first:
        with token.published(tmp_path, has_siblings=lambda: True) as second:
            assert first == second
        assert first == token.read(tmp_path / token.NAME)
        (tmp_path / token.NAME).unlink()
        assert second == token.common(tmp_path, second) == token.common(tmp_path, "other")

    assert [] == list(tmp_path.iterdir())
