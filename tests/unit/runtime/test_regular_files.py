"""Tests of reading files that something else may have put there."""

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
    """A regular file is read as it stands."""
    path = tmp_path / "a"
    path.write_bytes(b"one\ntwo")
    with open_regular(path) as file:
        assert [FileLine(0, 4, b"one\n", ended=True), FileLine(4, 3, b"two", ended=False)] == list(
            lines(file, 100, 100)
        )


@pytest.mark.parametrize("kind", ["pipe", "link", "folder", "socket", "device"])
def test_what_is_no_file_is_is_not_regular(tmp_path: Path, kind: str) -> None:
    """A pipe is not waited for, a link not followed, and a folder, a socket or a device not read."""
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


def test_what_is_missing_is_not_is_not_regular(tmp_path: Path) -> None:
    """A file that is not there is said to be missing, as by any other way of opening it."""
    with pytest.raises(FileNotFoundError) as missing:
        open_regular(tmp_path / "a")

    assert not is_not_regular(missing.value)


def test_a_line_that_is_too_long_is_passed_over() -> None:
    """Of a line beyond the most only place and size are given, and the next one is read again."""
    found = list(lines(BytesIO(b"a" * 20 + b"\nb\n" + b"c" * 20), 10, 1000))

    assert [
        FileLine(0, 21, None, ended=True),
        FileLine(21, 2, b"b\n", ended=True),
        FileLine(23, 20, None, ended=False),
    ] == found


def test_no_more_than_the_limit_is_looked_at() -> None:
    """Reading ends at the limit, within a line that reaches beyond."""
    found = list(lines(BytesIO(b"a\n" + b"b" * 100), 10, 50))

    assert [FileLine(0, 2, b"a\n", ended=True), FileLine(2, 48, None, ended=False)] == found


def test_a_giant_takes_no_memory(tmp_path: Path) -> None:
    """A sparse file of 3 GB is one line, looked at as far as the limit."""
    path = tmp_path / "a"
    path.touch()
    os.truncate(path, 3 * 2**30)
    with open_regular(path) as file:
        assert [FileLine(0, 2**24, None, ended=False)] == list(lines(file, 2**20, 2**24))


@given(data=st.binary(max_size=200).map(lambda data: data.replace(b"\x01", b"\n")), most=st.integers(1, 30))
def test_lines_cover_a_file(data: bytes, most: int) -> None:
    """One line begins where the one before ends, to the end of the file, and what is given of it stands there."""
    at = 0
    for line in lines(BytesIO(data), most, 10**9):
        assert at == line.at
        assert line.data in (None, data[at : at + line.size])
        assert (line.data is None) is (line.size > most or (line.size == most and not line.ended))
        at += line.size

    assert len(data) == at
