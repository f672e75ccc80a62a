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
    """Return whether this machine has IPv6."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def is_listening(address: str, port: int) -> bool:
    """Return whether a process listens at an address."""
    try:
        socket.create_connection((address, port), timeout=5).close()
    except OSError:
        return False
    return True


def test_only_the_given_address_is_bound() -> None:
    """A server on loopback listens there and at no other address."""
    port = free_port()
    with bind_sockets(("127.0.0.1",), port) as sockets:
        listen(sockets, port)

        assert is_listening("127.0.0.1", port)
        assert not is_listening("127.0.0.2", port)
        assert not is_listening("::1", port)
    assert not is_listening("127.0.0.1", port)


def test_all_interfaces_include_ipv6() -> None:
    """An asterisk binds every address of this machine, IPv6 included if it has it."""
    port = free_port()
    with bind_sockets(("*",), port) as sockets:
        listen(sockets, port)

        assert is_listening("127.0.0.1", port)
        assert is_listening("127.0.0.2", port)
        assert has_v6() == is_listening("::1", port)


def test_every_listed_address_is_bound() -> None:
    """Every address of a list is bound, and no other."""
    port = free_port()
    hosts = ("127.0.0.1", "127.0.0.3", *(["::1"] if has_v6() else []))
    with bind_sockets(hosts, port) as sockets:
        listen(sockets, port)

        assert [True] * len(hosts) == [is_listening(host, port) for host in hosts]
        assert not is_listening("127.0.0.2", port)


@pytest.mark.parametrize("lacks", ["sockets", "addresses"])
def test_all_interfaces_without_ipv6(lacks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An asterisk binds IPv4 alone if the machine has no IPv6 sockets or no IPv6 addresses."""

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


def test_a_bound_port_refuses_connections() -> None:
    """Connections to a port that is only bound are refused."""
    port = free_port()
    with bind_sockets(("127.0.0.1",), port):
        assert not is_listening("127.0.0.1", port)


def test_an_address_of_another_machine_is_reported() -> None:
    """An address that this machine does not have is an error of the operator, in one line."""
    with pytest.raises(BadSettings) as caught, bind_sockets(("127.0.0.1", "192.0.2.1"), free_port()):
        pass

    assert 1 == len(caught.value.problems)
    assert caught.value.problems[0].startswith("HOST='192.0.2.1': this machine has no such address")


def test_a_port_in_use_is_reported() -> None:
    """A port in use at any of the addresses is an error that names the port, raised before listening."""
    port = free_port()
    with bind_sockets(("127.0.0.1",), port) as sockets:
        listen(sockets, port)
        for hosts in (("127.0.0.1",), ("*",), ("127.0.0.2", "127.0.0.1")):
            with pytest.raises(PortInUse, match=f"port {port} is in use"), bind_sockets(hosts, port):
                pass


def test_the_second_of_two_listeners_fails() -> None:
    """Two processes can bind a port at the same time; the second one to listen fails."""
    port = free_port()
    with bind_sockets(("127.0.0.1",), port) as first, bind_sockets(("127.0.0.1",), port) as second:
        listen(first, port)
        with pytest.raises(PortInUse):
            listen(second, port)


def test_a_forbidden_port_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that this user may not bind is an error with the reason, in one line."""

    class Forbidden(socket.socket):
        def bind(self, _: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket, "socket", Forbidden)
    with (
        pytest.raises(BadSettings, match="PORT=80: cannot listen there: permission denied"),
        bind_sockets(("127.0.0.1",), 80),
    ):
        pass


async def test_connections_have_tcp_nodelay() -> None:
    """Accepted connections have TCP_NODELAY, so that the kernel does not delay small frames."""
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


def test_several_servers_share_a_port() -> None:
    """Servers that all share the port listen on it together; one that does not is refused."""
    port = free_port()
    with bind_sockets(("127.0.0.1",), port, is_shared=True) as one:
        with bind_sockets(("127.0.0.1",), port, is_shared=True) as other:
            listen(one, port)
            listen(other, port)
            with pytest.raises(PortInUse), bind_sockets(("127.0.0.1",), port):
                pass
        assert is_listening("127.0.0.1", port)
