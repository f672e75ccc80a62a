"""Decides what the peers of a service may do, by its rules and the operator's files, which are read again on change."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Collection, Mapping

from services.runtime.access import tokens
from services.runtime.access.listen_rules import ListenRules, read_rules
from services.runtime.access.neighbours import Neighbours
from services.runtime.access.tls import ServerTls
from services.runtime.access.token_file import TokenFile
from services.runtime.access.tokens import Grant
from services.runtime.errors import BadSettings

log = logging.getLogger(__name__)

RELOAD_SECONDS = 2.0
"""Time between two looks whether a file has changed."""
FORWARDING_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
"""Headers by which a proxy says that a request is from someone else."""


class AccessControl:
    """What the peers of one service may do.

    Args:
        rules: of the service.
        neighbours: the networks that the service is connected to.

    Attributes:
        rules: of the service.
        tls: None without TLS.

    Raises:
        BadSettings: a file cannot be used.
    """

    def __init__(self, rules: ListenRules, neighbours: Neighbours | None = None) -> None:
        self.rules = rules
        self.tls = ServerTls(rules.cert_file, rules.key_file) if rules.cert_file else None
        self._token_file = TokenFile(rules.token_file) if rules.token_file else None
        self._neighbours = neighbours or Neighbours()

    @property
    def needs_token(self) -> bool:
        """Whether peers need a token."""
        return self._token_file is not None

    def grant(self, token: str, *, is_operator: bool) -> Grant:
        """Return what a peer may do.

        Args:
            token: which it presents; empty for none.
            is_operator: whether it may control the run by other means than these tokens.
        """
        if self._token_file is None:
            return tokens.EVERYTHING if is_operator else tokens.PARTICIPANT
        found = self._token_file.tokens.grant(token) if token else None
        return found or (tokens.OPERATOR if is_operator else tokens.NOTHING)

    def refusal(self, peer: str, headers: Mapping[str, str], *, allow_private: bool = False) -> str | None:
        """Return why a peer may not connect, with any token; None if it may.

        Args:
            peer: its address.
            headers: of its request.
            allow_private: on an internal network, accept any private address: engines that forward a port of the host
                through a program of their own show the address of that program.
        """
        if not self.rules.may_be_forwarded and any(name in headers for name in FORWARDING_HEADERS):
            return "a proxy forwards requests to this service: it needs FEED_TOKEN_FILE, or EXPOSURE=INSECURE"
        if not self.rules.is_internal or self.needs_token or self._neighbours.includes(peer):
            return None
        if allow_private and _is_private(peer):
            return None
        return "this service is for its own network: to be reached from elsewhere it needs tokens and TLS"

    def reload(self) -> None:
        """Read changed files again; log the ones that cannot be used, whose former content stays in use."""
        for file, event in ((self._token_file, "tokens read again"), (self.tls, "certificate read again")):
            try:
                if file is not None and file.reload():
                    log.info(event)
            except BadSettings as problem:
                log.warning("changed file not used", extra={"why": str(problem)})

    async def follow_files(self) -> None:
        """Read the files again whenever they change."""
        # Imported here, so that a command that only reads settings does not load it.
        import asyncio  # noqa: PLC0415

        while self._token_file is not None or self.tls is not None:
            await asyncio.sleep(RELOAD_SECONDS)
            # Not in a thread: the context must not change during a handshake.
            self.reload()


def usable_rules(
    environment: Mapping[str, str], setting: str, hosts: Collection[str], names: Collection[str] = ()
) -> ListenRules:
    """Return the rules of a service whose files can be used; see `read_rules`.

    Raises:
        BadSettings: also if a file cannot be used.
    """
    rules = read_rules(environment, setting, hosts, names)
    AccessControl(rules)
    return rules


def _is_private(peer: str) -> bool:
    try:
        return ipaddress.ip_address(peer).is_private
    except ValueError:
        return False
