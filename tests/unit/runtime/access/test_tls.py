"""Tests of services/runtime/access/tls.py, server_access.py and secret_files.py."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest

from services.runtime.access.secret_files import read_text, signature
from services.runtime.access.server_access import ServerAccess, bearer
from services.runtime.access.tls import ClientTls, ServerTls, handshake_problem
from services.runtime.errors import BadSettings
from services.server.secrets_folder import make_all, make_certificate
from tests.certificates import make_expired

TOKEN = "a-token-with-24-letters"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a certificate and its key."""
    made = tmp_path_factory.mktemp("tls") / "secrets"
    make_all(made, [], [])
    return made


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str = "127.0.0.1") -> bytes:
    """Do a handshake over a pair of sockets in memory; return the server's certificate."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    there = server.wrap_bio(to_server, to_client, server_side=True)
    here = client.wrap_bio(to_client, to_server, server_hostname=name)
    for _ in range(4):
        for side in (here, there):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return here.getpeercert(binary_form=True) or b""


def test_a_client_verifies_the_certificate_that_was_made(folder: Path) -> None:
    """The certificate is trusted by its own file, for this machine's addresses and names, and not by the system."""
    server = ServerTls(str(folder / "tls.crt"), str(folder / "tls.key"))
    trusting = ClientTls(str(folder / "client" / "tls.crt")).context()

    for name in ("127.0.0.1", "localhost", "server", "::1"):
        assert handshake(server.context, trusting, name)
    with pytest.raises(ssl.SSLCertVerificationError, match="not valid for"):
        handshake(server.context, trusting, "stream.example.org")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server.context, ClientTls().context())


def test_a_certificate_is_for_the_hosts_that_are_named(tmp_path: Path) -> None:
    """Names and addresses of --host are in the certificate."""
    make_all(tmp_path, ["stream.example.org", "192.0.2.7", "2001:db8::7"], [])
    server = ServerTls(str(tmp_path / "tls.crt"), str(tmp_path / "tls.key"))
    trusting = ClientTls(str(tmp_path / "tls.crt")).context()

    for name in ("stream.example.org", "192.0.2.7", "2001:db8::7"):
        assert handshake(server.context, trusting, name)


def test_a_new_certificate_is_used_after_a_reload(tmp_path: Path) -> None:
    """The same context shows the new certificate, and a client reads its trusted file again."""
    make_all(tmp_path, [], [])
    server = ServerTls(str(tmp_path / "tls.crt"), str(tmp_path / "tls.key"))
    client = ClientTls(str(tmp_path / "tls.crt"))
    before = handshake(server.context, client.context())

    assert not server.reload()
    make_certificate(tmp_path, [])
    assert server.reload()
    assert before != handshake(server.context, client.context())


@pytest.mark.parametrize("damage", ["key of another", "no certificate", "gone"])
def test_a_bad_replacement_changes_nothing(damage: str, tmp_path: Path) -> None:
    """A replacement that cannot be used is reported once, and the former certificate is still shown."""
    make_all(tmp_path, [], [])
    server = ServerTls(str(tmp_path / "tls.crt"), str(tmp_path / "tls.key"))
    trusting = ClientTls(str(tmp_path / "client" / "tls.crt")).context()
    before = handshake(server.context, trusting)
    if damage == "key of another":
        make_all(tmp_path / "other", [], [])
        (tmp_path / "other" / "tls.key").replace(tmp_path / "tls.key")
    elif damage == "no certificate":
        (tmp_path / "tls.crt").write_text("nothing\n")
    else:
        (tmp_path / "tls.key").unlink()

    with pytest.raises(BadSettings, match="TLS_"):
        server.reload()
    assert not server.reload()
    assert before == handshake(server.context, trusting)


def test_files_that_cannot_be_used_are_bad_settings(folder: Path, tmp_path: Path) -> None:
    """Every unusable file is reported with its setting."""
    nothing, cert, key = str(tmp_path / "nothing"), str(folder / "tls.crt"), str(folder / "tls.key")

    for certificate, its_key, says in (
        (nothing, key, "TLS_CERT_FILE='.*no such file"),
        (cert, nothing, "TLS_KEY_FILE='.*no such file"),
        (key, cert, "expected a certificate and its key"),
        (str(tmp_path), key, "TLS_CERT_FILE="),
    ):
        with pytest.raises(BadSettings, match=says):
            ServerTls(certificate, its_key)
    for trusted in (nothing, key):
        with pytest.raises(BadSettings, match="TLS_CA_FILE="):
            ClientTls(trusted)


def test_an_expired_certificate_is_named(tmp_path: Path) -> None:
    """What a failed handshake means is said in words, with the setting that may help."""
    certificate, key = make_expired(tmp_path / "expired")
    server, client = ServerTls(str(certificate), str(key)), ClientTls(str(certificate))

    with pytest.raises(ssl.SSLCertVerificationError) as refused:
        handshake(server.context, client.context())
    assert "certificate has expired" in (handshake_problem(refused.value, "TLS_CA_FILE") or "")
    assert handshake_problem(OSError("else"), "TLS_CA_FILE") is None


def test_plain_http_on_the_way_is_named(folder: Path) -> None:
    """A server that answers a handshake with HTTP does not speak TLS."""
    near, far = socket.socketpair()
    with near, far:
        far.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with pytest.raises(ssl.SSLError) as refused:
            ClientTls().context().wrap_socket(near, server_hostname="localhost")
    assert "does not speak TLS" in (handshake_problem(refused.value, "TLS_CA_FILE") or "")


def test_a_client_reads_its_token_for_every_connection(tmp_path: Path) -> None:
    """A token that was replaced is sent with the next connection; without a file none is."""
    path = tmp_path / "tokens"
    path.write_text(f"{TOKEN}\n")
    access = ServerAccess("ws://server:8765", str(path))

    assert {"Authorization": f"Bearer {TOKEN}"} == bearer(access.token_for("client-1"))
    path.write_text(f"feed client-1 {TOKEN}2\n")
    assert f"{TOKEN}2" == access.token_for("client-1")
    assert "" == access.token_for("client-2")
    assert bearer("") is None
    assert "" == ServerAccess("ws://server:8765").token_for("client-1")


def test_a_password_beside_a_token_is_refused(tmp_path: Path) -> None:
    """An address with a user and a token would be two logins."""
    (tmp_path / "tokens").write_text(f"{TOKEN}\n")

    with pytest.raises(BadSettings, match="SERVER_URL, FEED_TOKEN_FILE") as mistake:
        ServerAccess("ws://me:pass@server:8765", str(tmp_path / "tokens"))
    assert "pass@" not in str(mistake.value)


def test_a_replaced_link_is_another_signature(tmp_path: Path) -> None:
    """A file that is replaced by way of a link, as Kubernetes does it, is another one."""
    for name in "ab":
        (tmp_path / name).write_text("the same")
    (tmp_path / "link").symlink_to("a")
    before = signature([str(tmp_path / "link")])
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to("b")

    assert before != signature([str(tmp_path / "link")])


def test_a_file_is_a_text_of_bounded_size(tmp_path: Path) -> None:
    """A file that is too long, or no text, is refused."""
    for content in (b"x" * (1024 * 1024 + 1), b"\xff"):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(BadSettings, match="expected UTF-8 text"):
            read_text("FEED_TOKEN_FILE", str(tmp_path / "file"))
