"""The address of a stream in NATS JetStream. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class NatsAddress(NamedTuple):
    """A stream, and the servers that hold it.

    Attributes:
        servers: one URL each, with user and password if they have them.
        stream: name of the stream.
        first: sequence of its first message that is a record.
        shown: the address without user and password, for messages.
    """

    servers: tuple[str, ...]
    stream: str
    first: int
    shown: str

    @property
    def plain_hosts(self) -> tuple[str, ...]:
        """The hosts that are reached without TLS."""
        parts = [urlsplit(server) for server in self.servers]
        return tuple(part.hostname or "" for part in parts if part.scheme != "tls")


def nats_address(default_stream: str = "") -> Callable[[str], NatsAddress | None]:
    """Return the parser of an address, for which an empty text is None.

    Args:
        default_stream: name of the stream if the address has none; without it the address needs one.
    """

    def read(text: str) -> NatsAddress | None:
        if not text:
            return None
        try:
            return _parse(text, default_stream)
        except ValueError:
            ending = "" if default_stream else "/NAME, with ?from=N if its first record is not number 1"
            raise ValueError(f"an address like nats://one:4222,two:4222,three:4222{ending}") from None

    return read


def _parse(text: str, default_stream: str) -> NatsAddress:
    scheme, _, rest = text.partition("://")
    hosts, _, path = rest.partition("/")
    # Every server of a cluster has the same users: those of the first one count for all.
    user, at, hosts = hosts.rpartition("@")
    urls = tuple(f"{scheme}://{user}{at}{host}" for host in hosts.split(","))
    parts = [urlsplit(url) for url in urls]
    target = urlsplit(f"/{path}")
    stream, query = target.path[1:] or default_stream, dict(parse_qsl(target.query, strict_parsing=bool(target.query)))
    first = query.pop("from", "1")
    if scheme not in ("nats", "tls") or not all(part.hostname and part.port != 0 for part in parts):
        raise ValueError(text)
    if not _NAME.fullmatch(stream) or query or not re.fullmatch(r"[1-9][0-9]{0,14}", first):
        raise ValueError(text)
    return NatsAddress(urls, stream, int(first), f"{scheme}://{hosts}/{stream}")
