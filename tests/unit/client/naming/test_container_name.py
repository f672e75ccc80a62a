"""Tests of finding the name of a client process: the queries, the numbers that clients divide, and the order."""

from __future__ import annotations

import fcntl
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.client.naming.container_name import FoundName, NetworkNames, find_name
from services.runtime import dns
from tests.repo.repository import ROOT

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
def name_server(
    tmp_path: Path, answers: list[bytes], *, engine: bool = True, **given: Any
) -> Iterator[tuple[NetworkNames, list[bytes]]]:
    """Serve these answers, less their numbers, one after the other; yield a lookup that asks there, and the questions.

    It is the name server of a container engine, or another. No answer is given to a question beyond them.
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

        search = f"search {dns.PODMAN}\n" if engine else ""
        (tmp_path / "resolv.conf").write_text(f"{search}nameserver 127.0.0.1\n")
        serving = Thread(target=serve, daemon=True)
        serving.start()
        port = server.getsockname()[1]
        defaults: dict[str, Any] = {"retry_seconds": 0.001, "own_address": lambda: "172.18.0.2"}
        yield NetworkNames(tmp_path / "resolv.conf", port, **(defaults | given)), questions
        if len(questions) == len(answers):
            serving.join()


def test_the_name_server_is_asked(tmp_path: Path) -> None:
    """The question is sent to the name server of ``resolv.conf``, and its answer is the name."""
    with name_server(tmp_path, [ANSWER[2:]]) as (lookup, questions):
        assert [NAME] == lookup.own()
    assert [QUESTION[2:]] == [question[2:] for question in questions]


@pytest.mark.parametrize(("engine", "asked"), [(True, 3), (False, 1)])
def test_an_engine_is_asked_until_it_knows_the_name(tmp_path: Path, asked: int, *, engine: bool) -> None:
    """An engine's name server is asked again while it does not know the name yet; another name server is not."""
    unknown = ANSWER[2:6] + bytes(2) + ANSWER[8:]
    with name_server(tmp_path, [unknown, unknown, ANSWER[2:]][:asked], engine=engine) as (lookup, questions):
        assert ([NAME] if asked == 3 else []) == lookup.own()
    assert asked == len(questions)


@pytest.mark.parametrize("engine", [True, False])
def test_a_container_waits_for_its_network(tmp_path: Path, *, engine: bool) -> None:
    """A container whose name server refuses, or whose own address is unknown yet, asks again; other hosts do not."""
    problems: list[OSError] = [ConnectionRefusedError(), socket.gaierror()]

    def own_address() -> str:
        if problems:
            raise problems.pop()
        return "172.18.0.2"

    answers = [ANSWER[2:]] if engine else []
    with name_server(tmp_path, answers, engine=engine, own_address=own_address) as (lookup, _):
        assert ([NAME] if answers else []) == lookup.own()


def test_a_silent_name_server_gives_no_name(tmp_path: Path) -> None:
    """Without a name server, and when none answers in time, there is no name."""
    given = {"other_seconds": 0.05, "timeout_seconds": 0.01}
    with name_server(tmp_path, [], engine=False, **given) as (lookup, _):
        assert [] == lookup.own()

    assert [] == NetworkNames(tmp_path / "missing").own()
    assert not NetworkNames(tmp_path / "missing").has("client")


def test_golden_messages_agree() -> None:
    """The recorded answer begins with the recorded question, and states the length of its record."""
    assert QUESTION[12:] == ANSWER[12 : len(QUESTION)]
    assert len(ANSWER) - len(QUESTION) - 12 == struct.unpack_from("!H", ANSWER, len(QUESTION) + 10)[0]


ADDRESSES = (
    b"\x00\x00\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x06client\x00\x00\x01\x00\x01"
    b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x02\x58\x00\x04\xac\x12\x00\x02"
)
"""The answer that the name client has the address 172.18.0.2."""


@pytest.mark.parametrize(("own", "has"), [("172.18.0.2", True), ("172.18.0.3", False)])
def test_the_containers_of_a_service_are_recognised(tmp_path: Path, own: str, *, has: bool) -> None:
    """A container is one of a service if the service's name has its address."""
    with name_server(tmp_path, [ADDRESSES[2:]], own_address=lambda: own) as (lookup, _):
        assert has == lookup.has("client")


class KnownNames(NetworkNames):
    """A network with fixed answers."""

    def __init__(self, *names: str, services: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.__dict__ |= {"names": list(names), "services": services}

    def own(self) -> list[str]:
        """Return the fixed names."""
        return list(self.__dict__["names"])

    def has(self, service: str) -> bool:
        """Return whether this is one of the fixed services."""
        return service in self.__dict__["services"]


LONG = "p" * 54


@pytest.mark.parametrize(
    ("given_id", "project", "network", "expected"),
    [
        ("mine", "shop", KnownNames("shop-client-2.x"), FoundName("mine", "CLIENT_ID")),
        ("", "shop", KnownNames("shop-client-2.x"), FoundName("client-2", "reverse DNS")),
        ("", "shop", KnownNames("probe.x", services=("client",)), FoundName("client-1", "service")),
        ("", "shop", KnownNames("probe-b.x"), FoundName("probe-b", "container")),
        ("", "shop", KnownNames(), FoundName("client-1", "free number")),
        ("", LONG, KnownNames(f"{LONG}-client-2.x"), FoundName("client-1", "free number")),
        ("", "", KnownNames("shop-client-2.shop_wire"), FoundName("client-2", "reverse DNS")),
        ("", "", KnownNames(), FoundName("3f2a9c", "hostname")),
    ],
)
def test_the_order_of_the_sources(
    given_id: str, project: str, network: NetworkNames, expected: FoundName, tmp_path: Path
) -> None:
    """The setting comes first, then the container's name, then its service, then a free number, then the host name."""
    assert expected == find_name(given_id, project, "client", tmp_path, hostname="3f2a9c", network=network)


CLAIM = """
import sys
from pathlib import Path
from services.client.naming.container_name import claim_number
print(claim_number(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


def test_clients_divide_the_numbers(tmp_path: Path) -> None:
    """Each process on a folder gets the lowest free number, and its end, however it ends, frees the number."""

    def start() -> tuple[subprocess.Popen[str], int]:
        process = subprocess.Popen(
            [sys.executable, "-c", CLAIM, str(tmp_path)], cwd=ROOT, stdin=-1, stdout=-1, text=True
        )
        assert process.stdout is not None
        return process, int(process.stdout.readline())

    started = [start() for _ in range(3)]
    try:
        assert [1, 2, 3] == [number for _, number in started]
        started[1][0].kill()
        started[1][0].wait(10)
        started.append(start())
        assert 2 == started[-1][1]
    finally:
        for process, _ in started:
            process.kill()
            process.communicate(timeout=10)


def test_without_locks_there_is_a_doubt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a folder without locks the host name is used, and the doubt names the reason and the remedy."""

    def refuse(*_: Any) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    found = find_name("", "shop", "client", tmp_path, hostname="3f2a9c", network=KnownNames())

    assert ("3f2a9c", "hostname") == found[:2]
    assert "the name server knows no name" in found.doubt
    assert "No locks available; set CLIENT_ID" in found.doubt
