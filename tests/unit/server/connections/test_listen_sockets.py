"""Tests of the sockets on which the server listens."""

from __future__ import annotations

import asyncio
import errno
import socket

import pytest

from services.runtime.errors import BadSettings, PortInUse
from services.server.connections.listen_sockets import bind_sockets, listen


def free_port() -> int:
    """Return a port on which no process listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def has_v6() -> bool:
    """Tell whether this machine has IPv6."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def reached(address: str, port: int) -> bool:
    """Tell whether something listens at an address."""
    try:
        socket.create_connection((address, port), timeout=5).close()
    except OSError:
        return False
    return True


def test_an_address_is_that_address_alone() -> None:
    """A server on loopback is reached there, and by no other address of this machine."""
    port = free_port()
    with bind_sockets(("127.0.0.1",), port) as sockets:
        listen(sockets, port)

        assert reached("127.0.0.1", port)
        assert not reached("127.0.0.2", port)
        assert not reached("::1", port)
    assert not reached("127.0.0.1", port)


def test_all_interfaces_are_those_of_ipv6_too() -> None:
    """An asterisk is every address of this machine, of both kinds where it has both."""
    port = free_port()
    with bind_sockets(("*",), port) as sockets:
        listen(sockets, port)

        assert reached("127.0.0.1", port)
        assert reached("127.0.0.2", port)
        assert has_v6() == reached("::1", port)


def test_a_list_is_all_of_them() -> None:
    """Of several addresses each one is bound."""
    port = free_port()
    hosts = ("127.0.0.1", "127.0.0.3", *(["::1"] if has_v6() else []))
    with bind_sockets(hosts, port) as sockets:
        listen(sockets, port)

        assert [True] * len(hosts) == [reached(host, port) for host in hosts]
        assert not reached("127.0.0.2", port)


@pytest.mark.parametrize("lacks", ["sockets", "addresses"])
def test_all_interfaces_without_ipv6(lacks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without IPv6 listens on IPv4, whether it has no such sockets or no such addresses."""

    class OnlyFour(socket.socket):
        def __init__(self, family: int = socket.AF_INET, *rest: int) -> None:
            if family == socket.AF_INET6 and lacks == "sockets":
                raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
            super().__init__(family, *rest)

        def bind(self, address: object) -> None:
            if self.family == socket.AF_INET6:
                raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
            super().bind(address)  # type: ignore[arg-type]

    port = free_port()
    monkeypatch.setattr(socket, "socket", OnlyFour)
    with bind_sockets(("*",), port) as sockets:
        assert [socket.AF_INET] == [each.family for each in sockets]
        with (
            pytest.raises(BadSettings, match="HOST='::1': this machine has no such address"),
            bind_sockets(("::1",), port),
        ):
            pass


def test_until_it_listens_connections_are_refused() -> None:
    """A port that is only bound is no place where a client waits for an answer."""
    port = free_port()
    with bind_sockets(("127.0.0.1",), port):
        assert not reached("127.0.0.1", port)


def test_an_address_of_another_machine_is_one_line() -> None:
    """An address that this machine does not have is the operator's to mend."""
    with pytest.raises(BadSettings) as caught, bind_sockets(("127.0.0.1", "192.0.2.1"), free_port()):
        pass

    assert 1 == len(caught.value.problems)
    assert caught.value.problems[0].startswith("HOST='192.0.2.1': this machine has no such address")


def test_a_port_that_is_taken_is_named() -> None:
    """A port on which another process listens, on any of the addresses, is refused before it is listened on."""
    port = free_port()
    with bind_sockets(("127.0.0.1",), port) as sockets:
        listen(sockets, port)
        for hosts in (("127.0.0.1",), ("*",), ("127.0.0.2", "127.0.0.1")):
            with pytest.raises(PortInUse, match=f"port {port} is in use"), bind_sockets(hosts, port):
                pass


def test_of_two_that_bind_at_once_one_listens() -> None:
    """Two processes may bind a port at the same moment; the second one to listen is refused."""
    port = free_port()
    with bind_sockets(("127.0.0.1",), port) as first, bind_sockets(("127.0.0.1",), port) as second:
        listen(first, port)
        with pytest.raises(PortInUse):
            listen(second, port)


def test_another_refusal_is_one_line_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that this user may not bind is named with the reason."""

    class Forbidden(socket.socket):
        def bind(self, _: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket, "socket", Forbidden)
    with (
        pytest.raises(BadSettings, match="PORT=80: cannot listen there: permission denied"),
        bind_sockets(("127.0.0.1",), 80),
    ):
        pass


async def test_small_frames_do_not_wait() -> None:
    """What a server writes to a connection goes out at once, however little it is and whatever was acknowledged."""
    port, accepted = free_port(), asyncio.Queue[asyncio.StreamWriter]()
    with bind_sockets(["127.0.0.1"], port) as sockets:
        server = await asyncio.start_server(lambda _, writer: accepted.put_nowait(writer), sock=sockets[0])
        _, client = await asyncio.open_connection("127.0.0.1", port)
        made = await asyncio.wait_for(accepted.get(), 5)

        assert 1 == made.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

        for writer in (made, client):
            writer.close()
            await writer.wait_closed()
        server.close()
        await server.wait_closed()
