"""Tests of counting the containers of the clients' service."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from services.runtime.dns import ADDRESS, reverse
from services.server.runs import client_containers
from services.server.runs.client_containers import ContainerCounter, addresses_of_project, project_of

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
def test_addresses_of_other_projects_are_excluded(own: str | None, name: str | None, *, ours: bool) -> None:
    """An address counts unless its name and that of this server show different projects."""
    assert ours == ("10.0.0.9" in addresses_of_project(project_of(own), {"10.0.0.9": name}, "client"))


Reply = Callable[[bytes], bytes | None]


class NameServer:
    """A name server on this machine.

    Attributes:
        questions: the messages that it was sent.
    """

    def __init__(self, port: int, resolv_conf: Path) -> None:
        self._port, self._resolv_conf = port, resolv_conf
        self.questions: list[bytes] = []

    def count(self, service: str, **options: Any) -> int | None:
        """Return the number of containers that a counter gets from this name server."""
        return ContainerCounter(
            service,
            answer_seconds=0.3,
            reverse_seconds=0.3,
            resolv_conf=self._resolv_conf,
            port=self._port,
            **options,
        ).count()


@contextmanager
def answering(folder: Path, reply: Reply) -> Iterator[NameServer]:
    """Run a name server on this machine."""
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.02)
        fake = NameServer(server.getsockname()[1], folder / "resolv.conf")
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                try:
                    message, peer = server.recvfrom(4096)
                except TimeoutError:
                    continue
                fake.questions.append(message)
                if (answer := reply(message)) is not None:
                    server.sendto(answer, peer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield fake
        finally:
            over.set()
            thread.join()


def labels(name: str) -> bytes:
    """Return a name in the format of DNS messages."""
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def docker(service: str, own: str | None, containers: dict[str, str | None]) -> Reply:
    """Return what answers as Docker's name server does: not at all about a name that is too long for a message."""
    addresses = [bytes(map(int, address.split("."))) for address in containers]
    pointers = {labels(reverse("127.0.0.1")): own, **{labels(reverse(ip)): name for ip, name in containers.items()}}

    def reply(message: bytes) -> bytes | None:
        at = message.index(b"\0", 12) + 1
        name, kind = message[12:at], struct.unpack_from("!H", message, at)[0]
        if kind == ADDRESS:
            known = name == labels(service)
            records = [name + struct.pack("!2HIH", 1, 1, 600, 4) + address for address in addresses if known]
        else:
            if (pointer := pointers.get(name)) is None:
                return None
            data = labels(pointer)
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
def test_only_addresses_of_this_project_are_counted(
    own: str | None, more: dict[str, str | None], number: int, tmp_path: Path
) -> None:
    """The addresses of the service are counted, except those that are known to belong to another project."""
    with answering(tmp_path, docker("client", own, {**CLIENTS, **more})) as server:
        assert number == server.count("client", own_address="127.0.0.1")


def test_a_long_answer_is_read_whole(tmp_path: Path) -> None:
    """The counter asks for, and reads, an answer about a hundred containers, longer than DNS allows by default."""
    containers = {f"10.0.1.{number}": f"shop-client-{number}.shared" for number in range(1, 101)}
    with answering(tmp_path, docker("client", SERVER, dict(containers))) as server:
        assert 100 == server.count("client")

    assert client_containers._ANSWER_BYTES.to_bytes(2) in server.questions[0]


def test_an_unknown_service_has_no_addresses(tmp_path: Path) -> None:
    """A name that the name server does not know has 0 addresses."""
    with answering(tmp_path, docker("client", SERVER, dict(CLIENTS))) as server:
        assert 0 == server.count("reader")


def test_a_silent_name_server_is_not_waited_for_long(tmp_path: Path) -> None:
    """Without an answer the number is unknown after a bounded time."""
    with answering(tmp_path, lambda _: None) as server:
        began = time.monotonic()
        assert server.count("client") is None
        assert time.monotonic() - began < 2


def test_answers_to_other_questions_are_ignored(tmp_path: Path) -> None:
    """An answer with another number, or too short to have one, is ignored."""
    with answering(tmp_path, lambda message: b"\xff\xff" + message[2:]) as server:
        assert server.count("client") is None
    with answering(tmp_path, lambda _: b"\x00") as server:
        assert server.count("client") is None


def test_without_a_name_server_the_number_is_unknown(tmp_path: Path) -> None:
    """The number is unknown if the host has no name server, or one that cannot be reached."""
    resolv_conf = tmp_path / "resolv.conf"
    assert ContainerCounter("client", resolv_conf=resolv_conf).count() is None
    resolv_conf.write_text("nameserver 300.0.0.1\n")
    assert ContainerCounter("client", resolv_conf=resolv_conf).count() is None
