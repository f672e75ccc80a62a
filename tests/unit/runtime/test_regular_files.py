"""Tests of reading files that another program may have put there."""

from __future__ import annotations

import os
import socket
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.regular_files import FileLine, NotARegularFile, is_not_regular, lines, open_regular


def test_a_file_is_opened(tmp_path: Path) -> None:
    """The lines of a regular file are read unchanged."""
    path = tmp_path / "a"
    path.write_bytes(b"one\ntwo")
    with open_regular(path) as file:
        assert [FileLine(0, 4, b"one\n", ended=True), FileLine(4, 3, b"two", ended=False)] == list(
            lines(file, 100, 100)
        )


@pytest.mark.parametrize("kind", ["pipe", "link", "folder", "socket", "device"])
def test_another_kind_of_file_is_not_opened(tmp_path: Path, kind: str) -> None:
    """A pipe does not block, a link is not followed, and a folder, a socket or a device is not read."""
    path = tmp_path / "a"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(NotARegularFile):
        open_regular("/dev/zero" if kind == "device" else path)


def test_a_missing_file_is_another_error(tmp_path: Path) -> None:
    """A missing file raises FileNotFoundError."""
    with pytest.raises(FileNotFoundError) as missing:
        open_regular(tmp_path / "a")

    assert not is_not_regular(missing.value)


def test_a_line_that_is_too_long_is_passed_over() -> None:
    """A line beyond the maximum has only its offset and size, and the next one is read."""
    found = list(lines(BytesIO(b"a" * 20 + b"\nb\n" + b"c" * 20), 10, 1000))

    assert [
        FileLine(0, 21, None, ended=True),
        FileLine(21, 2, b"b\n", ended=True),
        FileLine(23, 20, None, ended=False),
    ] == found


def test_no_more_than_the_limit_is_looked_at() -> None:
    """Reading ends at the limit, also within a line."""
    found = list(lines(BytesIO(b"a\n" + b"b" * 100), 10, 50))

    assert [FileLine(0, 2, b"a\n", ended=True), FileLine(2, 48, None, ended=False)] == found


def test_a_giant_takes_no_memory(tmp_path: Path) -> None:
    """A sparse file of 3 GB is one line, read up to the limit."""
    path = tmp_path / "a"
    path.touch()
    os.truncate(path, 3 * 2**30)
    with open_regular(path) as file:
        assert [FileLine(0, 2**24, None, ended=False)] == list(lines(file, 2**20, 2**24))


@given(data=st.binary(max_size=200).map(lambda data: data.replace(b"\x01", b"\n")), most=st.integers(1, 30))
def test_lines_cover_a_file(data: bytes, most: int) -> None:
    """Each line begins where the one before ends, up to the end of the file, and has the bytes of its offset."""
    at = 0
    for line in lines(BytesIO(data), most, 10**9):
        assert at == line.at
        assert line.data in (None, data[at : at + line.size])
        assert (line.data is None) is (line.size > most or (line.size == most and not line.ended))
        at += line.size

    assert len(data) == at
