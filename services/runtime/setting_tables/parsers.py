"""A setting, and the parsers of its text. Pure."""

from __future__ import annotations

import ipaddress
import math
import re
import shlex
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from services.contract.blocklog import MAX_BLOCK
from services.contract.scalars import is_name, utc_us
from services.contract.sequence_rules import wrap_span

ANY = r"."
"""Pattern of a text that is secret as a whole."""
PARTS_OF_ADDRESS = r"[@?#]"
"""Pattern of an address with a user, a query or a fragment, which often contain passwords and tokens."""
VARIABLE = "[a-z][a-z0-9_]*"
"""Pattern of the name of a variable of a feed profile."""
_START_TIME = "a time in UTC, in whole seconds, like 2026-11-22T07:30:00Z"
ALL_INTERFACES = "*"
"""The value of ``HOST`` for every interface of this machine, IPv4 and IPv6."""


class Setting(NamedTuple):
    """A setting.

    Attributes:
        name: environment variable.
        default: its text when it is not set.
        services: services that read it.
        read: converts its text to a value, or raises ValueError with the expected form.
        meaning: one line for the documents.
        key: its key in a feed profile, ``table.key``; empty for a setting that profiles do not have. Several keys that
            make one text, such as a path and its unit, are separated by commas.
        hidden: pattern of the texts that no error may show, since they may contain a secret.
    """

    name: str
    default: str
    services: str
    read: Callable[[str], Any]
    meaning: str
    key: str = ""
    hidden: str = r"(?!)"

    def mistake(self, text: str, expected: object) -> str:
        """Return the operator's mistake: name and text of the setting, and the expected form."""
        given = "" if re.search(self.hidden, text) else f"={text!r}"
        return f"{self.name}{given}: expected {expected}"


def integer(low: int, high: int) -> Callable[[str], int]:
    """Return the parser of a whole number between two bounds."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,16}", text) or not low <= int(text) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(text)

    return read


def number(low: float, high: float) -> Callable[[str], float]:
    """Return the parser of a number between two bounds; a whole one is an int."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise ValueError(f"a number from {low:g} to {high:g}")
        return int(value) if value.is_integer() else value

    return read


def optional(read: Callable[[str], float]) -> Callable[[str], float | None]:
    """Return a parser for which an empty text is None."""
    return lambda text: read(text) if text else None


def choice(*choices: str) -> Callable[[str], str]:
    """Return the parser of one of these words."""

    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return text

    return read


def block_sizes(text: str) -> tuple[int, ...]:
    """Return the sizes in a list like ``10,25,50``."""
    try:
        sizes = tuple(integer(1, MAX_BLOCK)(part.strip()) for part in text.split(","))
    except ValueError as problem:
        raise ValueError(f"a list like 10,25,50, each {problem}") from problem
    return sizes


def client_id(text: str) -> str:
    """Return the name of a client, which may be empty."""
    if text and not is_name(text):
        raise ValueError("a name of a-z 0-9 . _ ~ -, beginning with a letter or digit, at most 63 long")
    return text


def websocket_url(text: str) -> str:
    """Return the address of a WebSocket server."""
    try:
        parts = urlsplit(text)
        is_valid = parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an unclosed bracket, or a port that is not a number
        is_valid = False
    if not is_valid:
        raise ValueError("a WebSocket address like ws://server:8765")
    return any_text(text)


def origin(text: str) -> str:
    """Return the value of an Origin header, which may be empty."""
    if text and not re.fullmatch(r"null|[a-z][a-z0-9+.-]*://[!-.0-~]+", text, re.IGNORECASE):
        raise ValueError("an origin like https://example.com, without a path")
    return text


def listen_hosts(text: str) -> tuple[str, ...]:
    """Return the addresses in a list, or `ALL_INTERFACES` alone; each once."""
    hosts = tuple(part.strip().removeprefix("[").removesuffix("]") for part in text.split(","))
    if hosts == (ALL_INTERFACES,):
        return hosts
    try:
        for host in hosts:
            ipaddress.ip_address(host)
    except ValueError:
        raise ValueError("a list of addresses like 127.0.0.1,::1, or * for all interfaces") from None
    return tuple(dict.fromkeys(hosts))


def host_names(text: str) -> frozenset[str]:
    """Return the host names in a list, which may be empty, in lower case and without ports."""
    names = frozenset(part.strip().lower() for part in text.split(",")) if text else frozenset()
    for name in names:
        # An address in brackets is as a browser sends it.
        if not re.fullmatch(r"\[[0-9a-f:.]+\]|[a-z0-9_-]+(\.[a-z0-9_-]+)*", name) or len(name) > 253:
            raise ValueError("a list of host names without ports, like stream.example.org,192.0.2.7")
    return names


def node_addresses(text: str) -> tuple[tuple[str, int | None, bool], ...]:
    """Return the hosts in a list, each with its port or None and whether it has TLS; none for an empty text."""
    nodes = []
    for part in text.split(",") if text else ():
        match = re.fullmatch(r"(https://)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,253})(?::([0-9]{1,5}))?", part.strip())
        if match is None or not 0 < int(match[3] or 1) < 65536:
            raise ValueError("a list of hosts like node1,https://node2:8768, or the one name of all of them")
        nodes.append((match[2].strip("[]"), int(match[3]) if match[3] else None, match[1] is not None))
    if len({node[:2] for node in nodes}) < len(nodes):
        raise ValueError("each host once")
    return tuple(nodes)


def client_count(text: str) -> int:
    """Return a number of clients, 0 for an empty text."""
    return integer(1, 100_000)(text) if text else 0


def service_name(text: str) -> str:
    """Return the name of a service, which may be empty."""
    # It is looked up by DNS, so it must be a domain name.
    if len(text) > 253 or not re.fullmatch(r"([A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*)?", text):
        raise ValueError("a name that a name server knows, such as client")
    return text


def start_time(text: str) -> int | None:
    """Return a time of day as epoch microseconds, None for an empty text."""
    if not text:
        return None
    # A run is named by its start, in whole seconds.
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", text):
        raise ValueError(_START_TIME)
    try:
        return utc_us(text)
    except ValueError:  # such as February 30
        raise ValueError(_START_TIME) from None


def header_token(text: str) -> str:
    """Return a token, which may be empty."""
    # It is sent in an HTTP header.
    if not re.fullmatch(r"[!-~]{0,512}", text):
        raise ValueError("a token of at most 512 ASCII characters without spaces")
    return text


def any_text(text: str) -> str:
    """Return the text, which may be empty."""
    # The environment may hold any bytes. Those that are not UTF-8 can neither be sent nor be logged.
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("a text in UTF-8") from None
    return text


def any_path(text: str) -> str:
    """Return the path, which may be empty and may consist of any bytes."""
    return text


def counter_wrap(text: str) -> str:
    """Return the highest number of a counter that wraps around, which may be empty; see `wrap_span`."""
    wrap_span(text)
    return text


def variable_values(text: str) -> dict[str, str]:
    """Return the values of variables by name: ``symbol=ethusdt depth=100``."""
    try:
        # A value with spaces is quoted, as in a shell.
        words = [word.partition("=") for word in shlex.split(text)]
    except ValueError:  # a quote that is not closed
        words = [(text, "", "")]
    if not all(is_set and re.fullmatch(VARIABLE, name) for name, is_set, _ in words):
        raise ValueError("names with values, separated by spaces: symbol=ethusdt depth=100")
    if len({name for name, _, _ in words}) < len(words):
        raise ValueError("each name once: symbol=ethusdt depth=100")
    return {name: value for name, _, value in words}
