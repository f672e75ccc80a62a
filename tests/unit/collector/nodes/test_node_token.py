"""Tests of the token that nodes require."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.collector.nodes.node_token import read
from services.runtime.errors import BadSettings


def test_a_token_is_one_line(tmp_path: Path) -> None:
    """The token is the line of the file, without its newline."""
    (tmp_path / "token").write_text("secret-1\n")

    assert "secret-1" == read("NODE_TOKEN_FILE", str(tmp_path / "token"))


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"two\nlines", b"\xff", b"x" * 2000])
def test_a_file_without_a_token_is_refused(tmp_path: Path, content: bytes) -> None:
    """An empty file, several words and bytes that no header can have are refused, and not shown."""
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(BadSettings, match="expected one line of 1 to 512 ASCII characters") as refused:
        read("NODE_TOKEN_FILE", str(tmp_path / "token"))

    assert "words" not in str(refused.value)


def test_a_file_is_required(tmp_path: Path) -> None:
    """No setting, and a file that cannot be read, are refused with the reason."""
    with pytest.raises(BadSettings, match="NODE_TOKEN_FILE: expected a file with a token"):
        read("NODE_TOKEN_FILE", "")
    with pytest.raises(BadSettings, match="cannot be read: no such file or directory"):
        read("NODE_TOKEN_FILE", str(tmp_path / "nothing"))
