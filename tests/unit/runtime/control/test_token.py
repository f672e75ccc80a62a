"""Tests of the token of a run's control."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from services.runtime.control import token


def test_is_handed_on_by_a_file(tmp_path: Path) -> None:
    """What is drawn stands in the file, and nothing else is left in the folder."""
    drawn = token.draw(tmp_path)

    assert drawn == token.read(tmp_path / token.NAME)
    assert [token.NAME] == [path.name for path in tmp_path.iterdir()]


def test_is_for_owner_and_group(tmp_path: Path) -> None:
    """Nobody but the owner and his group can read the file, and nobody but the owner can write it."""
    token.draw(tmp_path)

    assert 0o640 == stat.S_IMODE((tmp_path / token.NAME).stat().st_mode)


def test_is_another_each_time(tmp_path: Path) -> None:
    """A new token takes the old one's place, even where a crash left half of one behind."""
    first = token.draw(tmp_path)
    (tmp_path / f".{token.NAME}.new").write_text("half")
    second = token.draw(tmp_path)

    assert first != second == token.read(tmp_path / token.NAME)
    assert 32 == len(second)


def test_is_withdrawn_by_who_drew_it(tmp_path: Path) -> None:
    """A process removes its own token at its end, and leaves the one of another that has come since."""
    first = token.draw(tmp_path)
    second = token.draw(tmp_path)
    token.withdraw(tmp_path, first)
    assert second == token.read(tmp_path / token.NAME)
    token.withdraw(tmp_path, second)
    token.withdraw(tmp_path, second)

    assert [] == list(tmp_path.iterdir())


def test_is_there_while_it_is_needed(tmp_path: Path) -> None:
    """A process hands its token on until its work is done."""
    with token.handed_on(tmp_path) as drawn:
        assert drawn == token.read(tmp_path / token.NAME)

    assert [] == list(tmp_path.iterdir())


def test_of_the_operator_is_written_nowhere(tmp_path: Path) -> None:
    """A token that the operator set is used, and the file of another process is left alone."""
    other = token.draw(tmp_path)
    with token.handed_on(tmp_path, other) as used:
        assert other == used

    assert other == token.read(tmp_path / token.NAME)


def test_that_cannot_be_written_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where the folder refuses it there is no token, and the log says why."""
    with token.handed_on(tmp_path / "none") as drawn:
        assert "" == drawn

    assert ["no token of control"] == [record.message for record in caplog.records]


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines\n", b"\xff\xfe"])
def test_a_file_without_a_token_is_said(tmp_path: Path, content: bytes) -> None:
    """What is not one line of ASCII is no token."""
    path = tmp_path / "file"
    path.write_bytes(content)

    with pytest.raises(ValueError, match=r"no token|ascii"):
        token.read(path)
