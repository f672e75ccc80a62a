"""Tests of questions and answers of DNS; those about pointers are also in the client's."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.dns import ADDRESS, POINTER, answers, name_server, number_of, question, reverse

ASKED = b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x06client\x00\x00\x01\x00\x01"
"""Number, recursion desired, one question: client, A, IN."""

ANSWERED = (
    b"\x00\x07\x81\x80\x00\x01\x00\x02\x00\x00\x00\x00\x06client\x00\x00\x01\x00\x01"
    b"\x06client\x00\x00\x01\x00\x01\x00\x00\x02\x58\x00\x04\xac\x12\x00\x03"
    b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x02\x58\x00\x04\xac\x12\x00\x02"
)
"""Two addresses, the one under the whole name, the other under a pointer to it."""


def test_question_is_that_of_the_standard() -> None:
    """The question is the octets of RFC 1035; one for a long answer says so as RFC 6891 has it."""
    longer = ASKED[:11] + b"\x01" + ASKED[12:] + b"\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00"

    assert ASKED == question(7, "client", ADDRESS)
    assert longer == question(7, "client", ADDRESS, answer_bytes=4096)


def test_all_addresses_are_read() -> None:
    """A name's addresses are read in their order; of another kind, or to another question, there are none."""
    assert ["172.18.0.3", "172.18.0.2"] == answers(7, ANSWERED, ADDRESS)
    assert [] == answers(7, ANSWERED, POINTER)
    assert [] == answers(8, ANSWERED, ADDRESS)
    assert 7 == number_of(ANSWERED)
    assert -1 == number_of(b"\x00")


def test_a_name_that_is_not_known_has_none() -> None:
    """An answer without records, such as that to an unknown name, has no address."""
    assert [] == answers(7, ASKED[:2] + b"\x81\x83" + ASKED[4:], ADDRESS)


def test_records_before_the_damage_are_returned() -> None:
    """An answer that was cut short has the addresses that are whole."""
    assert ["172.18.0.3"] == answers(7, ANSWERED[:-1], ADDRESS)


def test_reverse_name() -> None:
    """An address is asked for from its end."""
    assert "2.0.18.172.in-addr.arpa" == reverse("172.18.0.2")


@given(st.binary(max_size=200), st.sampled_from([ADDRESS, POINTER]))
def test_hostile_bytes_say_nothing_bad(message: bytes, kind: int) -> None:
    """Reading any message ends, and returns texts only."""
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
    """The first IPv4 name server is asked."""
    path = tmp_path / "resolv.conf"
    path.write_text(text)

    assert server == name_server(path)


def test_no_configuration_no_server(tmp_path: Path) -> None:
    """A host without the file has no name server, and so no pointer."""
    assert name_server(tmp_path / "missing") is None
