"""Tests of DNS queries and answers; the client's tests have more about pointers."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.dns import ADDRESS, POINTER, answers, knows_containers, name_server, number_of, question, reverse

ASKED = b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x06client\x00\x00\x01\x00\x01"
"""Number, recursion desired, one question: client, A, IN."""

ANSWERED = (
    b"\x00\x07\x81\x80\x00\x01\x00\x02\x00\x00\x00\x00\x06client\x00\x00\x01\x00\x01"
    b"\x06client\x00\x00\x01\x00\x01\x00\x00\x02\x58\x00\x04\xac\x12\x00\x03"
    b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x02\x58\x00\x04\xac\x12\x00\x02"
)
"""Two addresses, the one under the whole name, the other under a pointer to it."""


def test_question_is_that_of_the_standard() -> None:
    """A question has the octets of RFC 1035, and one for a long answer those of RFC 6891."""
    longer = ASKED[:11] + b"\x01" + ASKED[12:] + b"\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00"

    assert ASKED == question(7, "client", ADDRESS)
    assert longer == question(7, "client", ADDRESS, answer_bytes=4096)


def test_all_addresses_are_read() -> None:
    """The addresses of a name are returned in order; for another type or number there are none."""
    assert ["172.18.0.3", "172.18.0.2"] == answers(7, ANSWERED, ADDRESS)
    assert [] == answers(7, ANSWERED, POINTER)
    assert [] == answers(8, ANSWERED, ADDRESS)
    assert 7 == number_of(ANSWERED)
    assert -1 == number_of(b"\x00")


def test_a_name_that_is_not_known_has_none() -> None:
    """An answer without records, such as that to an unknown name, has no address."""
    assert [] == answers(7, ASKED[:2] + b"\x81\x83" + ASKED[4:], ADDRESS)


def test_records_before_the_damage_are_returned() -> None:
    """A truncated answer has the addresses that are complete."""
    assert ["172.18.0.3"] == answers(7, ANSWERED[:-1], ADDRESS)


def test_reverse_name() -> None:
    """The name of a PTR record has the octets of the address in reverse order."""
    assert "2.0.18.172.in-addr.arpa" == reverse("172.18.0.2")


@given(st.binary(max_size=200), st.sampled_from([ADDRESS, POINTER]))
def test_hostile_bytes_cause_no_harm(message: bytes, kind: int) -> None:
    """Decoding any message ends, and returns texts only."""
    for head in (b"", ANSWERED[:12], ASKED):
        assert all(isinstance(found, str) for found in answers(7, head + message, kind))


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("nameserver 127.0.0.11\noptions ndots:0\n", "127.0.0.11"),
        ("# a comment\nsearch lan\nnameserver ::1\nnameserver 10.0.0.1\nnameserver 10.0.0.2\n", "10.0.0.1"),
        ("nameserver\n", None),
        ("", None),
    ],
)
def test_name_server(tmp_path: Path, text: str, server: str | None) -> None:
    """The first IPv4 name server of the file is returned."""
    path = tmp_path / "resolv.conf"
    path.write_text(text)

    assert server == name_server(path)


def test_no_configuration_no_server(tmp_path: Path) -> None:
    """Without the file there is no name server."""
    assert name_server(tmp_path / "missing") is None


@pytest.mark.parametrize(
    ("expected", "lines"),
    [
        (True, "nameserver 127.0.0.11\noptions ndots:0\n"),
        (True, "search dns.podman example.com\nnameserver 10.89.0.1\nnameserver 192.0.2.53\n"),
        (False, "search podman.example\nnameserver 10.89.0.1\n"),
        (False, "nameserver 192.0.2.53\nnameserver 127.0.0.11\n"),
        (False, "search\n\n"),
    ],
)
def test_name_servers_of_engines(tmp_path: Path, lines: str, *, expected: bool) -> None:
    """Docker's name server is known by its address, and Podman's by the domain that it lets containers search."""
    (tmp_path / "resolv.conf").write_text(lines)

    assert expected == knows_containers(tmp_path / "resolv.conf")
    assert not knows_containers(tmp_path / "missing")
