"""Tests of services/runtime/access/tokens.py."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.access.tokens import (
    EVERYTHING,
    NOTHING,
    OPERATOR,
    PARTICIPANT,
    ROLES,
    Grant,
    MalformedTokens,
    parse,
    presented,
)

FEED, EDGE, LOOK, RULE = ("feed-token-of-24-letters", "edge-token-of-24-letters", "observe-token-of-letters", "c" * 16)
FILE = f"""
# of the laboratory
feed * {FEED}
feed edge-* {EDGE}
observe,metrics * {LOOK}
control * sha256:{hashlib.sha256(RULE.encode()).hexdigest()}
"""


def test_a_token_has_its_roles_and_names() -> None:
    """Every line's token permits its own roles and names, also one of which the file has only the digest."""
    tokens = parse(FILE)

    assert Grant(frozenset({"feed"}), "edge-*") == tokens.grant(EDGE)
    assert Grant(frozenset({"observe", "metrics"})) == tokens.grant(LOOK)
    assert Grant(frozenset({"control"})) == tokens.grant(RULE)


@given(st.text(max_size=80).filter(lambda text: text not in (FEED, EDGE, LOOK, RULE)))
def test_any_other_text_is_unknown(token: str) -> None:
    """No other text is a token."""
    assert parse(FILE).grant(token) is None


def test_a_digest_is_no_token() -> None:
    """A reader of the file cannot use the digest in it."""
    digest = hashlib.sha256(RULE.encode()).hexdigest()

    assert parse(FILE).grant(digest) is None
    assert parse(FILE).grant(f"sha256:{digest}") is None


def test_a_token_alone_takes_part_under_any_name() -> None:
    """A file with nothing but a token permits to take part, and nothing else."""
    grant = parse(f"{FEED}\n").grant(FEED)

    assert grant == Grant(frozenset({"feed"}))
    assert [True, False, False, False] == [grant.permits(role) for role in ("feed", "observe", "control", "metrics")]


@pytest.mark.parametrize(
    ("grant", "roles"),
    [
        (NOTHING, ""),
        (PARTICIPANT, "feed observe metrics"),
        (OPERATOR, "observe control metrics"),
        (EVERYTHING, "feed observe control metrics"),
    ],
)
def test_roles_are_apart(grant: Grant, roles: str) -> None:
    """Control includes to observe and to read metrics; no role includes control, or to take part."""
    assert set(roles.split()) == {role for role in ("feed", "observe", "control", "metrics") if grant.permits(role)}


@pytest.mark.parametrize(
    ("pattern", "name", "permitted"),
    [
        ("*", "client-1", True),
        ("edge-*", "edge-1", True),
        ("edge-*", "edge", False),
        ("edge-1", "edge-1", True),
        ("edge-1", "edge-1~2", False),
        ("edge-1", "edge-10", False),
        ("*-1", "edge-1", True),
    ],
)
def test_a_pattern_permits_names(pattern: str, name: str, *, permitted: bool) -> None:
    """A pattern is compared with the whole name."""
    assert permitted is Grant(frozenset({"feed"}), pattern).permits_name(name)


@pytest.mark.parametrize("pattern", ["[ab]", "a?", "a[!b]"])
def test_only_the_asterisk_is_special(pattern: str) -> None:
    """Brackets and question marks of a shell's patterns stand for themselves."""
    assert Grant(frozenset({"feed"}), pattern).permits_name(pattern)
    assert not Grant(frozenset({"feed"}), pattern).permits_name("a")
    assert not Grant(frozenset({"feed"}), pattern).permits_name("ab")


def test_a_client_gets_the_first_token_for_its_name() -> None:
    """A client sends a token that permits its name; a line with a digest or without the role is of no use to it."""
    tokens = parse(f"control * {RULE}\nfeed lab sha256:{'0' * 64}\nfeed edge-* {EDGE}\n")

    assert EDGE == tokens.token_for("edge-7")
    assert "" == tokens.token_for("lab")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no token"),
        ("# nothing\n", "no token"),
        ("short", "line 1: expected a token of 16"),
        ("x" * 513, "line 1: expected a token"),
        (f"feed {FEED}", "line 1: expected roles, names and a token"),
        (f"\nread * {FEED}", "line 2: expected roles among control, feed, metrics, observe"),
        (f"feed Edge {FEED}", "line 1: expected names"),
        ("feed * sha256:abc", "line 1: expected a token"),
        ("feed * tökens-are-in-ascii-only", "line 1: expected a token"),
        ("\n".join(["feed-token-of-24-letters"] * 1001), "expected at most 1000"),
    ],
)
def test_a_malformed_file_names_its_line(text: str, says: str) -> None:
    """A mistake is reported with the number of its line, and never with a token."""
    with pytest.raises(MalformedTokens) as mistake:
        parse(text)

    assert says in str(mistake.value)
    assert FEED not in str(mistake.value)


def test_every_role_is_known() -> None:
    """The roles that a file may name are those that a grant can have."""
    assert {"feed", "observe", "control", "metrics"} == ROLES


@pytest.mark.parametrize(
    ("values", "token"),
    [
        ([], ""),
        (["Bearer secret"], "secret"),
        (["bearer  secret "], "secret"),
        (["Bearer"], ""),
        (["Basic secret"], ""),
        (["secret"], ""),
        (["Bearer one", "Bearer two"], ""),
    ],
)
def test_a_request_presents_one_bearer_token(values: list[str], token: str) -> None:
    """Exactly one header of the scheme Bearer presents a token."""
    assert token == presented(values)


def test_a_login_presents_its_password() -> None:
    """Where logins are allowed, the password of any user is the token; any other header presents none."""
    login = base64.b64encode(b"anybody:pass:word").decode()

    assert "pass:word" == presented([f"Basic {login}"], allow_login=True)
    assert "" == presented([f"Basic {login}"])
    assert "" == presented(["Basic ?"], allow_login=True)
    assert "" == presented([f"Basic {base64.b64encode(bytes([255])).decode()}"], allow_login=True)
