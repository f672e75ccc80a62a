"""Tests of the files that an operator's settings name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.client.external.setting_files import MAX_BYTES, refusal, text_in
from services.runtime.errors import BadSettings


def test_a_file_has_a_text(tmp_path: Path) -> None:
    """The text of a file is read as it is, up to the limit."""
    path = tmp_path / "login"
    path.write_bytes(b"\xc3\xbc" + b"x" * (MAX_BYTES - 2))

    assert "ü" + "x" * (MAX_BYTES - 2) == text_in(str(path), "FEED_HELLO_FILE")


@pytest.mark.parametrize(
    ("content", "encoding", "problem"),
    [
        (None, "utf-8", "No such file or directory"),
        (b"secret \xff", "utf-8", "expected UTF-8 text"),
        ("secret ü".encode(), "ascii", "expected ASCII text"),
        (b"secret" * MAX_BYTES, "utf-8", "expected at most 1,048,576 bytes"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, content: bytes | None, encoding: str, problem: str) -> None:
    """The error has the setting, the path and the fault, and nothing of the content."""
    path = tmp_path / "login"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(BadSettings) as found:
        text_in(str(path), "FEED_HELLO_FILE", encoding)
    assert (f"FEED_HELLO_FILE={str(path)!r}: {problem}",) == found.value.problems


def test_a_lack_of_permission_names_the_user() -> None:
    """The error names the uid that must read the file: a file of the host's user is often closed to a container's."""
    expected = f"Permission denied; uid {os.geteuid()} must be able to read it"

    assert expected == refusal(PermissionError(13, "Permission denied", "secret"))
    assert "Is a directory" == refusal(IsADirectoryError(21, "Is a directory"))
