"""Tests of services/runtime/access/access_control.py and token_file.py."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from services.runtime.access.access_control import AccessControl, usable_rules
from services.runtime.access.listen_rules import ListenRules
from services.runtime.access.neighbours import Neighbours
from services.runtime.access.token_file import TokenFile
from services.runtime.access.tokens import EVERYTHING, NOTHING, OPERATOR, PARTICIPANT, Grant
from services.runtime.errors import BadSettings

FIRST, SECOND = "first-token-of-the-file", "second-token-of-the-file"
PROXIES = [{"Forwarded": "for=192.0.2.7"}, {"X-Forwarded-For": ""}, {"X-Real-IP": "192.0.2.7"}, {"Via": "1.1 proxy"}]


class Nowhere(Neighbours):
    """A container without any neighbour."""

    def includes(self, peer: str) -> bool:
        """Return False."""
        return False


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file with one token that permits to take part."""
    made = tmp_path / "tokens"
    made.write_text(f"{FIRST}\n")
    return made


def test_without_tokens_everybody_takes_part() -> None:
    """While no tokens are set, a token changes nothing, and only operators control."""
    access = AccessControl(ListenRules())

    assert PARTICIPANT == access.grant("anything", is_operator=False)
    assert EVERYTHING == access.grant("", is_operator=True)


def test_with_tokens_only_they_count(file: Path) -> None:
    """With tokens a peer without one may do nothing, and the control token permits to control alone."""
    access = AccessControl(ListenRules(token_file=str(file)))

    assert NOTHING == access.grant("", is_operator=False)
    assert NOTHING == access.grant("a-guess-of-the-token", is_operator=False)
    assert OPERATOR == access.grant("", is_operator=True)
    assert Grant(frozenset({"feed"})) == access.grant(FIRST, is_operator=False)


@pytest.mark.parametrize("headers", PROXIES)
def test_a_proxy_is_refused_without_tokens(headers: dict[str, str], file: Path) -> None:
    """A service without tokens refuses what a proxy forwards; with tokens or the word it serves it."""
    assert "FEED_TOKEN_FILE" in (AccessControl(ListenRules()).refusal("127.0.0.1", headers) or "")
    internal = AccessControl(ListenRules("internal", is_reachable=True))
    assert "FEED_TOKEN_FILE" in (internal.refusal("127.0.0.1", headers) or "")
    assert AccessControl(ListenRules(token_file=str(file))).refusal("127.0.0.1", headers) is None
    assert AccessControl(ListenRules("INSECURE")).refusal("127.0.0.1", headers) is None


@pytest.mark.parametrize(("peer", "private"), [("192.168.65.1", True), ("10.0.2.2", True), ("8.8.8.8", False)])
def test_an_internal_service_is_for_its_neighbours(peer: str, *, private: bool) -> None:
    """An internal service refuses peers that are no neighbours; the page accepts private addresses as well."""
    access = AccessControl(ListenRules("internal", is_reachable=True), Nowhere())

    assert "its own network" in (access.refusal(peer, {}) or "")
    assert private is (access.refusal(peer, {}, allow_private=True) is None)


def test_an_internal_service_with_tokens_serves_others(file: Path) -> None:
    """With tokens it does not matter where a peer is."""
    rules = ListenRules("internal", str(file), is_reachable=True)

    assert AccessControl(rules, Nowhere()).refusal("8.8.8.8", {}) is None


def test_a_changed_file_is_read_again(file: Path) -> None:
    """A new token counts after the file has changed, and the old one no longer."""
    access = AccessControl(ListenRules(token_file=str(file)))
    file.write_text(f"observe * {SECOND}\n")
    access.reload()

    assert NOTHING == access.grant(FIRST, is_operator=False)
    assert Grant(frozenset({"observe"})) == access.grant(SECOND, is_operator=False)


@pytest.mark.parametrize("content", [None, "", "feed *\n"])
def test_a_file_that_became_unusable_changes_nothing(
    content: str | None, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that is gone or malformed is logged once, and its former tokens stay in use."""
    access = AccessControl(ListenRules(token_file=str(file)))
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    with caplog.at_level(logging.WARNING):
        access.reload()
        access.reload()

    assert ["changed file not used"] == [record.message for record in caplog.records]
    assert Grant(frozenset({"feed"})) == access.grant(FIRST, is_operator=False)


def test_an_unchanged_file_is_not_read(file: Path) -> None:
    """A file is read again only if it has changed."""
    tokens = TokenFile(str(file))

    assert not tokens.reload()
    file.write_text(f"{SECOND}\n")
    assert tokens.reload()
    assert not tokens.reload()


@pytest.mark.parametrize("content", [None, "", "x\n", "feed * short\n"])
def test_an_unusable_file_is_a_bad_setting(content: str | None, tmp_path: Path) -> None:
    """A token file that cannot be used is reported with its setting and its path."""
    path = tmp_path / "tokens"
    if content is not None:
        path.write_text(content)

    with pytest.raises(BadSettings, match="FEED_TOKEN_FILE=") as mistake:
        usable_rules({"FEED_TOKEN_FILE": str(path)}, "HOST", ["127.0.0.1"])
    assert str(path) in str(mistake.value)


def test_a_folder_or_a_pipe_is_no_token_file(tmp_path: Path) -> None:
    """A folder or a device is refused at once, and not read for ever."""
    for path in (tmp_path, Path("/dev/zero")):
        with pytest.raises(BadSettings, match="expected a regular file"):
            usable_rules({"FEED_TOKEN_FILE": str(path)}, "HOST", ["127.0.0.1"])
