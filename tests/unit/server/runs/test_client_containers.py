"""Tests of counting the containers of the clients' service."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.runtime.dns import ADDRESS, reverse
from services.server.runs import expected_clients
from services.server.runs.expected_clients import count, of_this_project

SERVER = "shop-server-1.shared"
CLIENTS = {"10.0.0.1": "shop-client-1.shared", "10.0.0.2": "shop-client-2.shared"}


@pytest.mark.parametrize(
    ("own", "name", "ours"),
    [
        (SERVER, "shop-client-12.shared", True),
        (SERVER, "shop2-client-1.shared", False),
        (SERVER, "my-shop-client-1.shared", False),
        (SERVER, "sh-client-1.shared", False),
        ("shop_server_1.shop_wire", "shop_client_3.shop_wire", True),
        ("shop_server_1.shop_wire", "other_client_3.shop_wire", False),
        ("a-b-server-1.x", "a-client-1.x", False),
        ("a-b-server-1.x", "a-b-client-1.x", True),
        (SERVER, None, True),
        (SERVER, "feed-reader.shared", True),
        (None, "other-client-1.shared", True),
        ("feed.shared", "other-client-1.shared", True),
    ],
)
def test_whose_an_address_is(own: str | None, name: str | None, *, ours: bool) -> None:
    """An address counts unless its name, and this server's own, say that it is another project's."""
    assert ours == ("10.0.0.9" in of_this_project(own, {"10.0.0.9": name}, "client"))


Reply = Callable[[bytes], bytes | None]


@contextmanager
def answering(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reply: Reply) -> Iterator[list[bytes]]:
    """Have a name server on this machine; yields the questions it was asked."""
    asked: list[bytes] = []
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    monkeypatch.setattr(expected_clients, "_RESOLV_CONF", tmp_path / "resolv.conf")
    monkeypatch.setattr(expected_clients, "ASK_SECONDS", 0.3)
    monkeypatch.setattr(expected_clients, "REVERSE_SECONDS", 0.3)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.02)
        monkeypatch.setattr(expected_clients, "_PORT", server.getsockname()[1])
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                try:
                    message, peer = server.recvfrom(4096)
                except TimeoutError:
                    continue
                asked.append(message)
                if (answer := reply(message)) is not None:
                    server.sendto(answer, peer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield asked
        finally:
            over.set()
            thread.join()


def labels(name: str) -> bytes:
    """Return a name as it stands in a message."""
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def docker(service: str, own: str | None, containers: dict[str, str | None]) -> Reply:
    """Answer as Docker's name server does; silent about a name that it cannot put into a message."""
    addresses = [bytes(map(int, address.split("."))) for address in containers]
    pointers = {labels(reverse("127.0.0.1")): own, **{labels(reverse(ip)): name for ip, name in containers.items()}}

    def reply(message: bytes) -> bytes | None:
        at = message.index(b"\0", 12) + 1
        name, kind = message[12:at], struct.unpack_from("!H", message, at)[0]
        if kind == ADDRESS:
            known = name == labels(service)
            records = [name + struct.pack("!2HIH", 1, 1, 600, 4) + address for address in addresses if known]
        else:
            if (found := pointers.get(name)) is None:
                return None
            data = labels(found)
            records = [name + struct.pack("!2HIH", 12, 1, 600, len(data)) + data]
        flags = 0x8180 if records else 0x8183
        return message[:2] + struct.pack("!5H", flags, 1, len(records), 0, 0) + message[12 : at + 4] + b"".join(records)

    return reply


@pytest.mark.parametrize(
    ("own", "more", "number"),
    [
        (SERVER, {}, 2),
        (SERVER, {"10.0.0.3": "other-client-1.shared"}, 2),
        (SERVER, {"10.0.0.3": None}, 3),
        (None, {"10.0.0.3": "other-client-1.shared"}, 3),
    ],
)
def test_counts_this_projects_addresses(
    own: str | None, more: dict[str, str | None], number: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The addresses of the name are counted, without those that are known to be of another project."""
    monkeypatch.setattr(expected_clients, "_own_address", lambda _: "127.0.0.1")
    with answering(monkeypatch, tmp_path, docker("client", own, {**CLIENTS, **more})):
        assert number == count("client")


def test_a_hundred_containers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An answer that is longer than the first DNS allowed is asked for and read whole."""
    containers = {f"10.0.1.{number}": f"shop-client-{number}.shared" for number in range(1, 101)}
    with answering(monkeypatch, tmp_path, docker("client", SERVER, dict(containers))) as asked:
        assert 100 == count("client")

    assert expected_clients._ANSWER_BYTES.to_bytes(2) in asked[0]


def test_an_unknown_name_has_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A name that the name server does not know has no addresses."""
    with answering(monkeypatch, tmp_path, docker("client", SERVER, dict(CLIENTS))):
        assert 0 == count("reader")


def test_a_silent_name_server_says_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A name server that does not answer is asked for a bounded time."""
    with answering(monkeypatch, tmp_path, lambda _: None):
        began = time.monotonic()
        assert count("client") is None
        assert time.monotonic() - began < 2


def test_answers_to_other_questions_are_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An answer with another number, or too short for one, is not taken for the one that was asked for."""
    with answering(monkeypatch, tmp_path, lambda message: b"\xff\xff" + message[2:]):
        assert count("client") is None
    with answering(monkeypatch, tmp_path, lambda _: b"\x00"):
        assert count("client") is None


def test_without_a_name_server_nothing_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A host that has no name server, or whose name server cannot be reached, says nothing."""
    monkeypatch.setattr(expected_clients, "_RESOLV_CONF", tmp_path / "missing")
    assert count("client") is None
    (tmp_path / "missing").write_text("nameserver 300.0.0.1\n")
    assert count("client") is None
