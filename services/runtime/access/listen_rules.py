"""The demands of a service on its peers, and the refusal to listen beyond this machine without protection."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from services.runtime.access.tokens import MIN_LENGTH
from services.runtime.errors import BadSettings
from services.runtime.setting_tables.access_settings import INSECURE, INTERNAL
from services.runtime.settings import read

NAMES = ("EXPOSURE", "FEED_TOKEN_FILE", "TLS_CERT_FILE", "TLS_KEY_FILE")


@dataclass(frozen=True)
class ListenRules:
    """What a service demands of its peers.

    Attributes:
        exposure: the setting ``EXPOSURE``.
        token_file: path of the tokens; empty if none are needed.
        cert_file: path of the certificate; empty without TLS.
        key_file: path of its key.
        is_reachable: the service listens on another address than loopback.
    """

    exposure: str = ""
    token_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    is_reachable: bool = False

    @property
    def is_internal(self) -> bool:
        """Whether only neighbours on the compose network may connect."""
        return self.is_reachable and self.exposure == INTERNAL

    @property
    def trusts_loopback(self) -> bool:
        """Whether a peer on loopback needs no token: not where a proxy on this machine may forward other peers."""
        return not self.token_file and self.exposure != INSECURE and (self.is_internal or not self.is_reachable)

    @property
    def may_be_forwarded(self) -> bool:
        """Whether a proxy may forward requests to this service."""
        return bool(self.token_file) or self.exposure == INSECURE


def read_rules(
    environment: Mapping[str, str],
    setting: str,
    hosts: Collection[str],
    names: Collection[str] = (),
    grants_from: str = "FEED_TOKEN_FILE",
) -> ListenRules:
    """Return the rules of a service.

    Args:
        environment: the settings.
        setting: the setting that has the addresses.
        hosts: addresses or names that the service listens on.
        names: host names by which others reach it; with one of them it counts as reachable from elsewhere.
        grants_from: the setting that names its file of tokens.

    Raises:
        BadSettings: files are missing that the addresses demand, or settings contradict each other.
    """
    values = read(environment, (*NAMES, grants_from))
    rules = ListenRules(
        exposure=values["exposure"],
        token_file=values[grants_from.lower()],
        cert_file=values["tls_cert_file"],
        key_file=values["tls_key_file"],
        is_reachable=not all(map(is_loopback, hosts)),
    )
    problems = []
    if bool(rules.cert_file) != bool(rules.key_file):
        problems.append("TLS_CERT_FILE, TLS_KEY_FILE: a certificate and its key are set together")
    given = f"{setting}={','.join(hosts)}"
    if names and not (rules.token_file or rules.exposure == INSECURE):
        problems.append(_unprotected(f"PAGE_NAMES={','.join(sorted(names))}", grants_from))
    elif rules.is_reachable and not rules.exposure and not (rules.token_file and rules.cert_file):
        problems.append(_unprotected(given, grants_from))
    control_token = environment.get("CONTROL_TOKEN", "").strip()
    is_strict = rules.token_file or (rules.is_reachable and not rules.is_internal)
    if is_strict and 0 < len(control_token) < MIN_LENGTH:
        problems.append(f"CONTROL_TOKEN: expected at least {MIN_LENGTH} characters, since other machines can guess")
    if problems:
        raise BadSettings(problems)
    return rules


def plain_text_problem(setting: str, hosts: Collection[str], form: str, exposure: str) -> str | None:
    """Return why a service does not connect to hosts in plain text; None if it may.

    Args:
        setting: the setting with the hosts.
        hosts: those that are to be reached without TLS.
        form: how an address with TLS begins.
        exposure: the setting ``EXPOSURE``.
    """
    beyond = [host for host in hosts if not is_loopback(host)]
    if not beyond or exposure:
        return None
    return (
        f"{setting}: what is sent to {beyond[0]}, a token or a password too, could be read on the way\n"
        f"  give the address as {form}\n"
        f"  or, on a network of your own, set EXPOSURE={INSECURE}"
    )


def _unprotected(given: str, grants_from: str) -> str:
    made = "both" if grants_from == "FEED_TOKEN_FILE" else "a certificate"
    return (
        f"{given}: other machines could reach this service, which has no {grants_from} or no TLS_CERT_FILE\n"
        f"  make {made} with: python -m services.server token\n"
        f"  or, if a proxy or a firewall of your own protects it, set EXPOSURE={INSECURE}"
    )


@functools.lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Return whether an address, or the name ``localhost``, is of this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
