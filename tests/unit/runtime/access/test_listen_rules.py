"""Tests of services/runtime/access/listen_rules.py."""

from __future__ import annotations

import pytest

from services.runtime.access.listen_rules import ListenRules, is_loopback, read_rules
from services.runtime.errors import BadSettings

TOKEN, TLS = {"FEED_TOKEN_FILE": "t"}, {"TLS_CERT_FILE": "c", "TLS_KEY_FILE": "k"}
REACHABLE = ["*", "0.0.0.0", "::", "192.0.2.7", "127.0.0.1,192.0.2.7", "stream.example.org", "fe80::1"]


@pytest.mark.parametrize("hosts", ["127.0.0.1", "127.0.0.1,::1", "127.8.0.1", "localhost"])
def test_loopback_demands_nothing(hosts: str) -> None:
    """A service on this machine alone needs no files, and trusts loopback."""
    rules = read_rules({}, "HOST", hosts.split(","))

    assert not rules.is_reachable
    assert rules.trusts_loopback


@pytest.mark.parametrize("hosts", REACHABLE)
@pytest.mark.parametrize("given", [{}, TOKEN, TLS])
def test_beyond_loopback_both_are_demanded(hosts: str, given: dict[str, str]) -> None:
    """On any other address, token and certificate are demanded together, in one error with the command."""
    with pytest.raises(BadSettings) as refusal:
        read_rules(given, "HOST", hosts.split(","))

    assert 1 == refusal.value.report().count("error: ")
    assert f"HOST={hosts}" in refusal.value.report()
    assert "python -m services.server token" in refusal.value.report()


@pytest.mark.parametrize("hosts", REACHABLE)
@pytest.mark.parametrize("given", [{**TOKEN, **TLS}, {"EXPOSURE": "INSECURE"}])
def test_loopback_is_no_operator_of_a_reachable_service(hosts: str, given: dict[str, str]) -> None:
    """A service that others can reach trusts no peer for being on loopback, with the files and without."""
    assert not read_rules(given, "HOST", hosts.split(",")).trusts_loopback


@pytest.mark.parametrize("word", ["insecure", "1", "yes", "public"])
def test_only_the_loud_word_opts_out(word: str) -> None:
    """No other value of the setting lets a service listen without protection."""
    with pytest.raises(BadSettings):
        read_rules({"EXPOSURE": word}, "HOST", ["*"])


def test_the_compose_network_demands_nothing() -> None:
    """On the compose network a service is open, and only to its neighbours."""
    rules = read_rules({"EXPOSURE": "internal"}, "HOST", ["*"])

    assert rules.is_internal
    assert rules.trusts_loopback


def test_further_names_of_the_page_demand_a_token() -> None:
    """A page that answers under another name is reached from elsewhere, so it needs tokens, on any address."""
    names = frozenset({"stream.example.org"})
    for exposure, host in (("internal", "0.0.0.0"), ("", "127.0.0.1")):
        with pytest.raises(BadSettings, match="PAGE_NAMES="):
            read_rules({"EXPOSURE": exposure}, "PAGE_HOST", [host], names)
        assert read_rules({"EXPOSURE": exposure, **TOKEN}, "PAGE_HOST", [host], names).token_file


@pytest.mark.parametrize("half", ["TLS_CERT_FILE", "TLS_KEY_FILE"])
def test_a_certificate_and_its_key_belong_together(half: str) -> None:
    """One of the two files alone is refused."""
    with pytest.raises(BadSettings, match="are set together"):
        read_rules({half: "file"}, "HOST", ["127.0.0.1"])


def test_a_short_control_token_is_refused_where_others_can_guess() -> None:
    """A control token that can be guessed is refused on a reachable service, and accepted on this machine."""
    short = {"CONTROL_TOKEN": "x" * 15}

    assert read_rules(short, "HOST", ["127.0.0.1"]).trusts_loopback
    assert read_rules({**short, "EXPOSURE": "internal"}, "HOST", ["*"]).trusts_loopback
    for given in ({**TOKEN, **TLS}, {"EXPOSURE": "INSECURE"}):
        with pytest.raises(BadSettings, match="CONTROL_TOKEN: expected at least 16") as refusal:
            read_rules({**short, **given}, "HOST", ["*"])
        assert "xxx" not in str(refusal.value)


def test_tokens_or_the_word_permit_a_proxy() -> None:
    """Only a service with tokens, or whose operator has opted out, may be behind a proxy."""
    assert not ListenRules().may_be_forwarded
    assert not ListenRules("internal", is_reachable=True).may_be_forwarded
    assert ListenRules(token_file="t").may_be_forwarded
    assert ListenRules("INSECURE").may_be_forwarded


def test_a_name_is_not_resolved() -> None:
    """A host name other than localhost counts as reachable; it is not resolved."""
    assert is_loopback("LOCALHOST")
    assert not is_loopback("localhost.example.org")
