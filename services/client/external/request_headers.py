"""The headers of the opening handshake, as their files hold them now: authorization, keys, cookies. Never logged."""

from __future__ import annotations

import re
from collections.abc import Iterator

from services.client.external.setting_files import text_in
from services.client.external.settings import ConnectSettings
from services.runtime.errors import BadSettings

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# The handshake has its own; a second one would be refused by servers, or override how the connection is made.
_OWN = frozenset({"host", "connection", "upgrade", "content-length", "transfer-encoding"})
_OWN_PREFIX = "sec-websocket-"
HEADERS_FILE = "FEED_HEADERS_FILE"
AUTHORIZATION_FILE = "FEED_AUTHORIZATION_FILE"


def request_headers(reach: ConnectSettings) -> list[tuple[str, str]]:
    """Return all headers that the settings add to the opening handshake.

    Raises:
        BadSettings: a file cannot be read, or a line of it is no header.
    """
    listed = list(_of_file(reach.headers_file))
    given = {"authorization": reach.authorization_file and AUTHORIZATION_FILE, "origin": reach.origin and "FEED_ORIGIN"}
    twice = [f"{name} is given by {given[name.lower()]} too" for name, _ in listed if given.get(name.lower())]
    if twice:
        raise BadSettings([f"{HEADERS_FILE}={reach.headers_file!r}: {problem}" for problem in twice])
    return [*authorization(reach).items(), *listed]


def authorization(reach: ConnectSettings) -> dict[str, str]:
    """Return the authorization header as its file holds it now, nothing without a file.

    Raises:
        BadSettings: the file cannot be read, or does not hold the value of a header.
    """
    if not reach.authorization_file:
        return {}
    value = text_in(reach.authorization_file, AUTHORIZATION_FILE, "ascii").strip()
    if not value or not value.isprintable():
        raise BadSettings([f"{AUTHORIZATION_FILE}={reach.authorization_file!r}: expected one line, like Bearer abc"])
    return {"Authorization": value}


def _of_file(path: str) -> Iterator[tuple[str, str]]:
    if not path:
        return
    problems = []
    for number, line in enumerate(text_in(path, HEADERS_FILE, "ascii").splitlines(), 1):
        if not line.strip():
            continue
        name, colon, value = line.partition(":")
        mistake = _mistake(name.strip(), value.strip(), is_pair=bool(colon))
        if mistake:
            problems.append(f"{HEADERS_FILE}={path!r}: line {number}: {mistake}")
        else:
            yield name.strip(), value.strip()
    if problems:
        raise BadSettings(problems)


def _mistake(name: str, value: str, *, is_pair: bool) -> str:
    """Return the mistake in a line, empty if there is none, without its value, which is secret."""
    if not is_pair or not _TOKEN.fullmatch(name):
        return "expected Name: value"
    if name.lower() in _OWN:
        return f"{name} belongs to the client's own handshake"
    if name.lower().startswith(_OWN_PREFIX):
        instead = "; set FEED_SUBPROTOCOL" if name.lower() == "sec-websocket-protocol" else ""
        return f"{name} belongs to the client's own handshake{instead}"
    if not value:
        return f"{name} has no value"
    return "" if value.replace("\t", " ").isprintable() else f"{name} has a control character in its value"
