"""Tests of the names of a process's clients, and of the reverse DNS query for its own."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.client.identity import ReverseLookup, base_name, identities
from services.contract.scalars import is_name
from services.runtime import dns

SIZES = (10, 25, 50)


@pytest.mark.parametrize(
    ("client_id", "hostname", "pointer", "expected"),
    [
        ("mine", "3f2a9c", "streamgauge-client-2.streamgauge_wire", ("mine", "CLIENT_ID")),
        ("", "3f2a9c", "streamgauge-client-2.streamgauge_wire", ("client-2", "reverse DNS")),
        ("", "3f2a9c", "my-app-client-12.my-app_wire", ("client-12", "reverse DNS")),
        ("", "3f2a9c", "Proj-Client-3.Proj_wire", ("client-3", "reverse DNS")),
        ("", "3f2a9c", "my_app-client-3.my_app_wire", ("client-3", "reverse DNS")),
        ("", "3f2a9c", None, ("3f2a9c", "hostname")),
        ("", "3f2a9c", "", ("3f2a9c", "hostname")),
        ("", "3f2a9c", "localhost", ("3f2a9c", "hostname")),
        ("", "3f2a9c", "router.example.com", ("3f2a9c", "hostname")),
        ("", "3f2a9c", "streamgauge-client.streamgauge_wire", ("3f2a9c", "hostname")),
        ("", "3f2a9c", "other-client-2.streamgauge_wire", ("3f2a9c", "hostname")),
        ("", "My_Laptop.local", None, ("my_laptop.local", "hostname")),
        ("", "Ünïcode Box", None, ("client--n-code-box", "hostname")),
        ("", "_x", None, ("client-_x", "hostname")),
    ],
)
def test_the_source_of_the_name(client_id: str, hostname: str, pointer: str | None, expected: tuple[str, str]) -> None:
    """The setting comes first, then the name that the container's address resolves back to, then the host name."""
    assert expected == base_name(client_id, hostname, pointer)


@given(st.text(), st.none() | st.text())
def test_any_host_gives_a_name(hostname: str, pointer: str | None) -> None:
    """Any host name and any reverse name give a name that is valid as a folder name."""
    assert is_name(base_name("", hostname, pointer)[0])


@pytest.mark.parametrize(
    ("base", "size"),
    [("client-1", 10), ("client-2", 25), ("client-3", 50), ("client-4", 10), ("client", 10), ("client-0", 10)],
)
def test_the_number_selects_the_block_size(base: str, size: int) -> None:
    """The trailing number selects the block size, cyclically; without a number it is the first."""
    assert [(base, "x", size)] == identities(base, "x", 1, SIZES)


def test_connections_are_numbered() -> None:
    """With several connections each has its own name, and the numbers continue over all processes."""
    found = [(identity.name, identity.block_size) for identity in identities("client-2", "x", 4, SIZES)]

    assert [("client-2.1", 25), ("client-2.2", 50), ("client-2.3", 10), ("client-2.4", 25)] == found


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 50))
def test_client_names_are_unique(processes: int, connections: int, sizes: int) -> None:
    """All clients of all processes have different names, and block sizes in turn."""
    block_sizes = tuple(range(1, sizes + 1))
    found = [
        identity
        for number in range(1, processes + 1)
        for identity in identities(f"client-{number}", "x", connections, block_sizes)
    ]

    assert processes * connections == len({identity.name for identity in found})
    assert [1 + index % sizes for index in range(len(found))] == [identity.block_size for identity in found]


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


def answer(number: int, message: bytes) -> str | None:
    """Return the first name in an answer."""
    return next(iter(dns.answers(number, message, dns.POINTER)), None)


def test_a_reverse_question_follows_the_standard() -> None:
    """The question has the octets of RFC 1035 for the reversed address."""
    assert QUESTION == dns.question(0x1234, dns.reverse("172.18.0.2"), dns.POINTER)


def test_answer_of_a_real_server() -> None:
    """The name is read from an answer whose owner is a pointer back into the question."""
    assert NAME == answer(0x1234, ANSWER)


def test_an_answer_to_another_question_is_ignored() -> None:
    """An answer with another number, and an answer without a record, have no name."""
    assert answer(0x1235, ANSWER) is None
    assert answer(0x1234, ANSWER[:6] + b"\x00\x00" + ANSWER[8:]) is None


def test_other_records_are_skipped() -> None:
    """A record of another type before the pointer record is skipped."""
    other = b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x02\x58\x00\x02\xc0\x0c"
    at = len(QUESTION)

    assert NAME == answer(0x1234, ANSWER[:7] + b"\x02" + ANSWER[8:at] + other + ANSWER[at:])


def test_a_name_may_end_in_a_pointer() -> None:
    """The labels of a name may continue elsewhere in the message."""
    squeezed = ANSWER[: len(QUESTION) + 10] + b"\x00\x09\x06client\xc0\x0c"

    assert "client.2.0.18.172.in-addr.arpa" == answer(0x1234, squeezed)


@given(st.binary(max_size=200))
def test_hostile_bytes_are_survived(message: bytes) -> None:
    """Decoding any bytes ends, with a name or without."""
    for head in (b"", ANSWER[:12], ANSWER[: len(QUESTION)]):
        assert answer(0x1234, head + message) is None or isinstance(answer(0x1234, head + message), str)


@given(st.integers(0, len(ANSWER) - 1), st.integers(0, 255))
def test_damaged_answers_are_survived(at: int, byte: int) -> None:
    """An answer with any byte changed, or cut short anywhere, gives a name or none."""
    damaged = ANSWER[:at] + bytes([byte]) + ANSWER[at + 1 :]

    assert isinstance(answer(0x1234, damaged), str | None)
    assert isinstance(answer(0x1234, ANSWER[:at]), str | None)


def test_a_loop_of_pointers_ends() -> None:
    """A name that points at itself is rejected."""
    assert answer(0x1234, ANSWER[: len(QUESTION)] + b"\xc0" + bytes([len(QUESTION)])) is None


@contextmanager
def name_server(tmp_path: Path, answers: list[bytes], **given: Any) -> Iterator[tuple[ReverseLookup, list[bytes]]]:
    """Serve these answers, less their numbers, one after the other; yield a lookup that asks there, and the questions.

    No answer is given to a question beyond them.
    """
    questions: list[bytes] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)

        def serve() -> None:
            for reply in answers:
                question, peer = server.recvfrom(4096)
                questions.append(question)
                server.sendto(question[:2] + reply, peer)

        (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        serving = Thread(target=serve, daemon=True)
        serving.start()
        port = server.getsockname()[1]
        defaults: dict[str, Any] = {"docker": "127.0.0.1", "retry_seconds": 0.001, "own_address": lambda: "172.18.0.2"}
        yield ReverseLookup(tmp_path / "resolv.conf", port, **(defaults | given)), questions
        if len(questions) == len(answers):
            serving.join()


def test_the_name_server_is_asked(tmp_path: Path) -> None:
    """The question is sent to the name server of ``resolv.conf``, and its answer is the name."""
    with name_server(tmp_path, [ANSWER[2:]]) as (lookup, questions):
        assert NAME == lookup.name()
    assert [QUESTION[2:]] == [question[2:] for question in questions]


@pytest.mark.parametrize(("docker", "asked"), [("127.0.0.1", 3), ("127.0.0.11", 1)])
def test_docker_is_asked_until_it_knows_the_name(tmp_path: Path, docker: str, asked: int) -> None:
    """Docker's name server is asked again while it does not know the name yet; another name server is not."""
    unknown = ANSWER[2:6] + bytes(2) + ANSWER[8:]
    with name_server(tmp_path, [unknown, unknown, ANSWER[2:]][:asked], docker=docker) as (lookup, questions):
        assert (NAME if asked == 3 else None) == lookup.name()
    assert asked == len(questions)


@pytest.mark.parametrize("docker", ["127.0.0.1", "127.0.0.11"])
def test_a_container_waits_for_its_network(tmp_path: Path, docker: str) -> None:
    """A container whose name server refuses, or whose own address is unknown yet, asks again; other hosts do not."""
    problems: list[OSError] = [ConnectionRefusedError(), socket.gaierror()]

    def own_address() -> str:
        if problems:
            raise problems.pop()
        return "172.18.0.2"

    answers = [ANSWER[2:]] if docker == "127.0.0.1" else []
    with name_server(tmp_path, answers, docker=docker, own_address=own_address) as (lookup, _):
        assert (NAME if answers else None) == lookup.name()


def test_a_silent_name_server_gives_no_name(tmp_path: Path) -> None:
    """Without a name server, and when none answers in time, there is no name."""
    given = {"docker": "127.0.0.11", "other_seconds": 0.05, "timeout_seconds": 0.01}
    with name_server(tmp_path, [], **given) as (lookup, _):
        assert lookup.name() is None

    assert ReverseLookup(tmp_path / "missing").name() is None


def test_golden_messages_agree() -> None:
    """The recorded answer begins with the recorded question, and states the length of its record."""
    assert QUESTION[12:] == ANSWER[12 : len(QUESTION)]
    assert len(ANSWER) - len(QUESTION) - 12 == struct.unpack_from("!H", ANSWER, len(QUESTION) + 10)[0]
