"""Tokens and what each permits. Pure.

A line of a token file has a token and, optionally, its roles and the names of clients that it is for::

    feed edge-*  <token>
    observe,metrics * <token>
    <token>

A token alone permits to take part in the feed under any name. In place of a token, a line may have its SHA-256 as
``sha256:`` and 64 hex digits: a service can check the token then, but a client cannot send it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Collection
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple, get_args

Role = Literal["feed", "observe", "control", "metrics"]
"""What a peer may do: take part in a run, look at the feed and the page, control the run, read the metrics."""

ROLES: frozenset[str] = frozenset(get_args(Role))
MIN_LENGTH, MAX_LENGTH = 16, 512
"""Characters of a token: shorter ones can be guessed, longer ones do not fit a header line."""
MAX_TOKENS = 1000
ANY_NAME = "*"

_TOKEN = re.compile(r"[!-~]+")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


class MalformedTokens(ValueError):
    """A token file is malformed; the text names the line, and contains no token."""


class Grant(NamedTuple):
    """What a peer may do.

    Attributes:
        roles: see `Role`.
        names: pattern of the names that its clients may have; ``*`` stands for any characters.
    """

    roles: frozenset[str]
    names: str = ANY_NAME

    def permits(self, role: Role) -> bool:
        """Return whether the peer may act in this role; control includes to observe and to read metrics."""
        return role in self.roles or (role in ("observe", "metrics") and "control" in self.roles)

    def permits_name(self, name: str) -> bool:
        """Return whether the peer may take part under this name."""
        return fnmatchcase(name, re.sub(r"[\[?]", lambda special: f"[{special[0]}]", self.names))


NOTHING = Grant(frozenset())
PARTICIPANT = Grant(frozenset({"feed", "observe", "metrics"}))
"""What every peer may do while no tokens are set."""
EVERYTHING = Grant(ROLES)
OPERATOR = Grant(frozenset({"control"}))
"""What the control token permits."""


class _Entry(NamedTuple):
    digest: bytes
    token: str
    grant: Grant


class Tokens:
    """The tokens of one file."""

    def __init__(self, entries: Collection[_Entry]) -> None:
        self._entries = tuple(entries)

    def grant(self, token: str) -> Grant | None:
        """Return what a token permits, None for an unknown one. Takes the same time for every token."""
        digest, found = _digest(token), None
        for entry in self._entries:
            if hmac.compare_digest(entry.digest, digest):
                found = entry.grant
        return found

    def token_for(self, name: str) -> str:
        """Return the first token with which a client of this name may take part; empty if there is none."""
        fitting = (entry for entry in self._entries if entry.token and entry.grant.permits("feed"))
        return next((entry.token for entry in fitting if entry.grant.permits_name(name)), "")


def parse(text: str) -> Tokens:
    """Return the tokens in the text of a file.

    Raises:
        MalformedTokens: a line is malformed, or there is no token.
    """
    entries = [
        _entry(number, line.split())
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not entries:
        raise MalformedTokens("there is no token in it")
    if len(entries) > MAX_TOKENS:
        raise MalformedTokens(f"{len(entries)} tokens; expected at most {MAX_TOKENS}")
    return Tokens(entries)


def _entry(number: int, words: list[str]) -> _Entry:
    if len(words) == 1:
        words = ["feed", ANY_NAME, *words]
    if len(words) != 3:
        raise MalformedTokens(f"line {number}: expected roles, names and a token, or a token alone")
    roles, names, token = frozenset(words[0].split(",")), words[1], words[2]
    if not roles <= ROLES:
        raise MalformedTokens(f"line {number}: expected roles among {', '.join(sorted(ROLES))}")
    if not re.fullmatch(r"[a-z0-9._~*-]{1,64}", names):
        raise MalformedTokens(f"line {number}: expected names of clients like edge-1 or edge-*")
    if (digest := _DIGEST.fullmatch(token)) is not None:
        return _Entry(bytes.fromhex(digest[1]), "", Grant(roles, names))
    if not _TOKEN.fullmatch(token) or not MIN_LENGTH <= len(token) <= MAX_LENGTH:
        raise MalformedTokens(
            f"line {number}: expected a token of {MIN_LENGTH} to {MAX_LENGTH} ASCII characters without spaces"
        )
    return _Entry(_digest(token), token, Grant(roles, names))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()


def presented(authorization: Collection[str], *, allow_login: bool = False) -> str:
    """Return the token that a request presents; empty without one.

    Args:
        authorization: values of ``Authorization``; more than one is treated as none.
        allow_login: also take it from a browser's login, as the password of any user (RFC 7617).
    """
    if len(authorization) != 1:
        return ""
    scheme, _, value = next(iter(authorization)).partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer":
        return value
    if scheme.lower() == "basic" and allow_login:
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""
