"""Tests of one question and one answer of DNS."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.client import reverse_dns
from services.client.reverse_dns import answer, pointer_name, question

QUESTION = (
    b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x012\x010\x0218\x03172\x07in-addr\x04arpa\x00\x00\x0c\x00\x01"
)
"""Number, recursion desired, one question: 2.0.18.172.in-addr.arpa, PTR, IN."""

ANSWER = (
    b"\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00"
    b"\x012\x010\x0218\x03172\x07in-addr\x04arpa\x00\x00\x0c\x00\x01"
    b"\xc0\x0c\x00\x0c\x00\x01\x00\x00\x02\x58\x00\x27"
    b"\x14streamgauge-client-2\x10streamgauge_wire\x00"
)
"""As Docker's name server gives it: the question, then a pointer back to its name, PTR, IN, 600 s, 39 bytes."""

NAME = "streamgauge-client-2.streamgauge_wire"


def test_question_is_that_of_the_standard() -> None:
    """The question is the octets of RFC 1035 for the reversed address."""
    assert QUESTION == question(0x1234, "172.18.0.2")


def test_answer_of_a_real_server() -> None:
    """The name is read from an answer whose owner is a pointer back into the question."""
    assert NAME == answer(0x1234, ANSWER)


def test_an_answer_to_another_question_is_none() -> None:
    """An answer with another number, and one that holds no record, say nothing."""
    assert answer(0x1235, ANSWER) is None
    assert answer(0x1234, ANSWER[:6] + b"\x00\x00" + ANSWER[8:]) is None


def test_other_records_are_passed_over() -> None:
    """A record of another type before the pointer is passed over."""
    other = b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x02\x58\x00\x02\xc0\x0c"
    at = len(QUESTION)

    assert NAME == answer(0x1234, ANSWER[:7] + b"\x02" + ANSWER[8:at] + other + ANSWER[at:])


def test_a_name_may_end_in_a_pointer() -> None:
    """The labels of a name may go on elsewhere in the message."""
    squeezed = ANSWER[: len(QUESTION) + 10] + b"\x00\x09\x06client\xc0\x0c"

    assert "client.2.0.18.172.in-addr.arpa" == answer(0x1234, squeezed)


@given(st.binary(max_size=200))
def test_hostile_bytes_say_nothing_bad(message: bytes) -> None:
    """Whatever comes back, the reading ends and gives a name or none."""
    for head in (b"", ANSWER[:12], ANSWER[: len(QUESTION)]):
        assert answer(0x1234, head + message) is None or isinstance(answer(0x1234, head + message), str)


@given(st.integers(0, len(ANSWER) - 1), st.integers(0, 255))
def test_damaged_answers_say_nothing_bad(at: int, byte: int) -> None:
    """An answer with any byte changed, or cut short anywhere, gives a name or none."""
    damaged = ANSWER[:at] + bytes([byte]) + ANSWER[at + 1 :]

    assert isinstance(answer(0x1234, damaged), str | None)
    assert isinstance(answer(0x1234, ANSWER[:at]), str | None)


def test_a_circle_of_pointers_ends() -> None:
    """A name that points at itself is none."""
    assert answer(0x1234, ANSWER[: len(QUESTION)] + b"\xc0" + bytes([len(QUESTION)])) is None


def test_asks_the_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """The question goes to the name server, and its answer is the name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        sent: list[bytes] = []

        class Asking(socket.socket):
            def recv(self, *_: int) -> bytes:
                data, peer = server.recvfrom(4096)
                sent.append(data)
                server.sendto(data[:2] + ANSWER[2:], peer)
                return super().recv(4096)

        monkeypatch.setattr(reverse_dns, "_PORT", server.getsockname()[1])
        monkeypatch.setattr(reverse_dns, "name_server", lambda _: "127.0.0.1")
        monkeypatch.setattr(socket, "gethostbyname", lambda _: "172.18.0.2")
        monkeypatch.setattr(socket, "socket", Asking)

        assert NAME == pointer_name()
        assert [QUESTION[2:]] == [data[2:] for data in sent]


@contextmanager
def answering(monkeypatch: pytest.MonkeyPatch, replies: list[bytes], *, docker: bool) -> Iterator[None]:
    """Have a name server, Docker's or another, that gives these replies, less their numbers, one after the other."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)

        class Asking(socket.socket):
            def recv(self, *_: int) -> bytes:
                data, peer = server.recvfrom(4096)
                server.sendto(data[:2] + replies.pop(0), peer)
                return super().recv(4096)

        monkeypatch.setattr(reverse_dns, "_PORT", server.getsockname()[1])
        monkeypatch.setattr(reverse_dns, "_AGAIN_SECONDS", 0.001)
        monkeypatch.setattr(reverse_dns, "name_server", lambda _: "127.0.0.1")
        monkeypatch.setattr(reverse_dns, "DOCKER", "127.0.0.1" if docker else "127.0.0.11")
        monkeypatch.setattr(socket, "gethostbyname", lambda _: "172.18.0.2")
        monkeypatch.setattr(socket, "socket", Asking)
        yield


@pytest.mark.parametrize(("docker", "asked"), [(True, 3), (False, 1)])
def test_a_container_insists(monkeypatch: pytest.MonkeyPatch, docker: bool, asked: int) -> None:
    """A container has a name even if Docker's name server does not know it yet; another host may have none."""
    unknown = ANSWER[2:6] + bytes(2) + ANSWER[8:]
    replies = [unknown, unknown, ANSWER[2:]]
    with answering(monkeypatch, replies, docker=docker):
        assert (NAME if docker else None) == pointer_name()
    assert 3 - asked == len(replies)


@pytest.mark.parametrize("docker", [True, False])
def test_a_container_waits_for_its_name_server(monkeypatch: pytest.MonkeyPatch, docker: bool) -> None:
    """A container whose name server refuses, or whose own address is not known yet, asks again; others do not."""
    troubles: list[OSError] = [ConnectionRefusedError(), socket.gaierror()]

    def address_of(_: str) -> str:
        if troubles:
            raise troubles.pop()
        return "172.18.0.2"

    with answering(monkeypatch, [ANSWER[2:]], docker=docker):
        monkeypatch.setattr(socket, "gethostbyname", address_of)
        assert (NAME if docker else None) == pointer_name()


def test_a_silent_name_server_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a name server, and when none answers in time, there is no pointer."""
    monkeypatch.setattr(reverse_dns, "ASK_SECONDS", 0.05)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        monkeypatch.setattr(reverse_dns, "_PORT", silent.getsockname()[1])
        monkeypatch.setattr(reverse_dns, "name_server", lambda _: "127.0.0.1")
        assert pointer_name(0.01) is None
    monkeypatch.setattr(reverse_dns, "name_server", lambda _: None)

    assert pointer_name(0.01) is None


def test_golden_messages_agree() -> None:
    """The golden answer begins with the golden question, and says how long its record is."""
    assert QUESTION[12:] == ANSWER[12 : len(QUESTION)]
    assert len(ANSWER) - len(QUESTION) - 12 == struct.unpack_from("!H", ANSWER, len(QUESTION) + 10)[0]
