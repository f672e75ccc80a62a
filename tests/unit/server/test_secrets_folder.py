"""Tests of services/server/secrets_folder.py."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from services.collector.nodes import node_token
from services.runtime.access.tokens import parse
from services.server.secrets_folder import SecretsNotMade, make_all, make_certificate


def test_every_client_gets_a_token_of_its_own(tmp_path: Path) -> None:
    """Each name has its own token; the clients' file has only these, and no two tokens are equal."""
    make_all(tmp_path, [], ["edge-1", "lab-*"])
    everything = (tmp_path / "tokens").read_text().splitlines()
    clients = (tmp_path / "client" / "tokens").read_text().splitlines()

    assert ["feed edge-1", "feed lab-*", "observe *", "control *", "metrics *"] == [
        line.rpartition(" ")[0] for line in everything
    ]
    assert everything[:2] == clients
    assert 5 == len({line.rpartition(" ")[2] for line in everything})
    assert parse("\n".join(everything)).token_for("lab-7")


def test_hosts_get_a_token_of_their_own(tmp_path: Path) -> None:
    """The token for the files of several hosts is a line that a collector reads, is in no other file, and is kept."""
    made = make_all(tmp_path, [], [], has_nodes=True)
    drawn = node_token.read("NODE_TOKEN_FILE", str(tmp_path / "node.token"))

    assert tmp_path / "node.token" in made
    assert len(drawn) >= 16
    assert not [path for path in made if path.name != "node.token" and drawn in path.read_text()]
    assert 0o600 == stat.S_IMODE((tmp_path / "node.token").stat().st_mode)
    (tmp_path / "tokens").unlink()
    with pytest.raises(SecretsNotMade, match="is there already"):
        make_all(tmp_path, [], [], has_nodes=True)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A second call refuses and leaves the files as they are; a link in the place of a file counts as a file."""
    make_all(tmp_path, [], [])
    before = (tmp_path / "tokens").read_bytes()
    with pytest.raises(SecretsNotMade, match="is there already"):
        make_all(tmp_path, [], [])
    assert before == (tmp_path / "tokens").read_bytes()

    other = tmp_path / "other"
    other.mkdir()
    (other / "tokens").symlink_to(tmp_path / "target")
    with pytest.raises(SecretsNotMade, match="is there already"):
        make_all(other, [], [])
    assert not (tmp_path / "target").exists()


def test_a_certificate_is_replaced_alone(tmp_path: Path) -> None:
    """A new certificate has mode 600 like the first, and leaves the tokens; nothing else stays in the folder."""
    make_all(tmp_path, [], [])
    tokens, before = (tmp_path / "tokens").read_bytes(), (tmp_path / "tls.crt").read_bytes()
    make_certificate(tmp_path, [])

    assert before != (tmp_path / "tls.crt").read_bytes()
    assert (tmp_path / "tls.crt").read_bytes() == (tmp_path / "client" / "tls.crt").read_bytes()
    assert tokens == (tmp_path / "tokens").read_bytes()
    assert {"tokens", "tls.crt", "tls.key", "client"} == {path.name for path in tmp_path.iterdir()}
    assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*") if path.is_file()}


def test_without_the_program_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without openssl the command names it, and the alternative."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(SecretsNotMade, match="install openssl"):
        make_certificate(tmp_path, [])
