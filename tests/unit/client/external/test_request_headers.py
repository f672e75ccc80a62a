"""Tests of the headers of the opening handshake."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.client.external.request_headers import authorization, request_headers
from services.runtime.errors import BadSettings
from tests.unit.client.external.fakes import feed_settings


def headers_of(path: Path, **changed: str) -> list[tuple[str, str]]:
    """Return the headers of a file."""
    return request_headers(feed_settings(FEED_HEADERS_FILE=str(path), **changed).reach)


def test_a_file_has_a_header_a_line(tmp_path: Path) -> None:
    """Every line is a header; empty lines and space around name and value do not count, and a name may come twice."""
    path = tmp_path / "headers"
    path.write_text("X-API-Key: abc:def\r\n\nCookie:a=b; c=d\n X-Two : 1\nX-Two: 2\n")

    assert [("X-API-Key", "abc:def"), ("Cookie", "a=b; c=d"), ("X-Two", "1"), ("X-Two", "2")] == headers_of(path)


def test_authorization_comes_from_its_own_file(tmp_path: Path) -> None:
    """Both files together give all headers; without files there are none."""
    (tmp_path / "authorization").write_text("Bearer abc\n")
    (tmp_path / "headers").write_text("X-A: 1\n")

    assert [("Authorization", "Bearer abc"), ("X-A", "1")] == headers_of(
        tmp_path / "headers", FEED_AUTHORIZATION_FILE=str(tmp_path / "authorization")
    )
    assert [] == request_headers(feed_settings().reach)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("hunter2", "line 2: expected Name: value"),
        ("my key: hunter2", "line 2: expected Name: value"),
        (": hunter2", "line 2: expected Name: value"),
        ("X-Key:", "line 2: X-Key has no value"),
        ("X-Key: hunter2\x07", "line 2: X-Key has a control character in its value"),
        ("Host: hunter2", "line 2: Host belongs to the client's own handshake"),
        ("Sec-WebSocket-Protocol: hunter2", "line 2: Sec-WebSocket-Protocol .*; set FEED_SUBPROTOCOL"),
        ("Sec-WebSocket-Key: hunter2", "line 2: Sec-WebSocket-Key belongs to the client's own handshake"),
    ],
)
def test_a_bad_line_is_reported_without_its_value(tmp_path: Path, line: str, problem: str) -> None:
    """The error has number and fault of the line, and never its value."""
    path = tmp_path / "headers"
    path.write_text(f"X-Good: 1\n{line}\n")

    with pytest.raises(BadSettings, match=problem) as found:
        headers_of(path)
    assert "hunter2" not in str(found.value)


def test_all_bad_lines_are_reported(tmp_path: Path) -> None:
    """Several bad lines are reported together."""
    path = tmp_path / "headers"
    path.write_text("a\nX: 1\nb\n")

    with pytest.raises(BadSettings) as found:
        headers_of(path)
    assert ["line 1", "line 3"] == [problem.split(": ")[1] for problem in found.value.problems]


@pytest.mark.parametrize("content", [None, "é"])
def test_an_unusable_file_is_reported(tmp_path: Path, content: str | None) -> None:
    """A file that is missing, or is no ASCII text, is reported in one line."""
    path = tmp_path / "headers"
    if content is not None:
        path.write_text(content)

    with pytest.raises(BadSettings, match=r"FEED_HEADERS_FILE='.*': (No such file|expected ASCII)"):
        headers_of(path)


@pytest.mark.parametrize(("name", "setting"), [("authorization", "FEED_AUTHORIZATION_FILE"), ("ORIGIN", "FEED_ORIGIN")])
def test_a_header_that_is_given_twice_is_reported(tmp_path: Path, name: str, setting: str) -> None:
    """A header of the file that another setting gives as well is a contradiction."""
    (tmp_path / "headers").write_text(f"{name}: https://a\n")
    (tmp_path / "authorization").write_text("Bearer abc\n")
    others = {"FEED_AUTHORIZATION_FILE": str(tmp_path / "authorization"), "FEED_ORIGIN": "https://a"}

    with pytest.raises(BadSettings, match=f"{name} is given by {setting} too"):
        headers_of(tmp_path / "headers", **{setting: others[setting]})
    assert [(name, "https://a")] == headers_of(tmp_path / "headers")


@pytest.mark.parametrize("content", [None, "", "two\nlines", "\x07"])
def test_an_unusable_authorization_is_reported(tmp_path: Path, content: str | None) -> None:
    """A file that is missing, or does not contain the value of a header, is reported in one line."""
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_text(content)

    with pytest.raises(BadSettings, match="FEED_AUTHORIZATION_FILE"):
        authorization(feed_settings(FEED_AUTHORIZATION_FILE=str(secret)).reach)
