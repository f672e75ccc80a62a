"""A system that other machines can reach: tokens and TLS on feed, page, metrics and control, by files made for it."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import ssl
import stat
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.certificates import make_expired
from tests.integration.processes import LocalRun, Process, System, free_port
from tests.poll import poll_until

BAD = 104


class Secrets:
    """The files that the command makes.

    Args:
        folder: where to make them.
        arguments: further arguments of the command.
    """

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        with Process("services.server", "token", str(folder), *arguments) as made:
            assert 0 == made.wait(), made.text
        self.printed = made.text

    @property
    def settings(self) -> dict[str, object]:
        """The settings of server and page."""
        return {
            "FEED_TOKEN_FILE": self.folder / "tokens",
            "TLS_CERT_FILE": self.folder / "tls.crt",
            "TLS_KEY_FILE": self.folder / "tls.key",
            "TLS_CA_FILE": self.folder / "client" / "tls.crt",
        }

    def token(self, role: str) -> str:
        """Return the first token of a role."""
        lines = (self.folder / "tokens").read_text().splitlines()
        return next(line.split()[2] for line in lines if line.split()[0] == role)

    @property
    def trust(self) -> ssl.SSLContext:
        """A context that trusts the certificate as it is now."""
        return ssl.create_default_context(cafile=str(self.folder / "tls.crt"))


def bearer(token: str) -> dict[str, str]:
    """Return the headers of a program with a token."""
    return {"Authorization": f"Bearer {token}"} if token else {}


def status(url: str, trust: ssl.SSLContext, headers: Mapping[str, str], body: bytes | None = None) -> tuple[int, str]:
    """Return the status and the text that a request gets."""
    request = urllib.request.Request(url, body, dict(headers))
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=trust))
    try:
        with opener.open(request, timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read().decode()


def handshake(port: int, trust: ssl.SSLContext, token: str) -> int:
    """Return the HTTP status of an attempt to connect to the feed: 101 if the upgrade is granted."""
    try:
        with connect(f"wss://127.0.0.1:{port}", ssl=trust, proxy=None, additional_headers=bearer(token)):
            return 101
    except InvalidStatus as refusal:
        return refusal.response.status_code


def close_code(feed: ClientConnection) -> int | None:
    """Return the code with which a server closes a connection."""
    try:
        while True:
            feed.recv(timeout=10)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd is not None else None


def served_certificate(port: int) -> bytes:
    """Return the certificate that a port shows now."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), 10) as plain, context.wrap_socket(plain) as wrapped:
        return wrapped.getpeercert(binary_form=True) or b""


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Secrets:
    """Tokens and a certificate, made by the command."""
    return Secrets(tmp_path_factory.mktemp("exposed") / "secrets")


@pytest.fixture
def run(secrets: Secrets, tmp_path: Path) -> Iterator[LocalRun]:
    """A local system of two clients with tokens and TLS on every interface, in progress."""
    settings = {**secrets.settings, "HOST": "*", "PAGE_HOST": "0.0.0.0", "CLIENTS": 2, "RATE": 50, "RECORDS": 3000}
    with LocalRun(tmp_path / "volumes", **settings) as made:
        made.wait_for_line('"subscribed"', 30)
        yield made


def test_the_command_makes_files_that_only_their_owner_can_read(secrets: Secrets) -> None:
    """Tokens, key and certificate have mode 600, and the output names the settings that use them."""
    files = [path for path in secrets.folder.rglob("*") if path.is_file()]

    assert {"tokens", "tls.crt", "tls.key", "client/tokens", "client/tls.crt"} == {
        str(path.relative_to(secrets.folder)) for path in files
    }
    assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in files}
    assert "FEED_TOKEN_FILE=" in secrets.printed
    assert "TLS_CERT_FILE=" in secrets.printed
    assert secrets.token("control") not in secrets.printed
    assert "control" not in (secrets.folder / "client" / "tokens").read_text()


def test_the_command_overwrites_nothing(secrets: Secrets) -> None:
    """A second call ends with 104 and one line, and changes no token."""
    before = (secrets.folder / "tokens").read_text()
    with Process("services.server", "token", str(secrets.folder)) as again:
        assert BAD == again.wait()

    assert 1 == len(again.lines), again.text
    assert "is there already" in again.text
    assert before == (secrets.folder / "tokens").read_text()


def test_a_run_passes_with_tokens_and_tls(secrets: Secrets, tmp_path: Path) -> None:
    """A whole local run whose server and page other machines can reach ends with PASS."""
    settings = {**secrets.settings, "HOST": "*", "PAGE_HOST": "0.0.0.0", "CLIENTS": 2, "RATE": 1000, "RECORDS": 2000}
    with LocalRun(tmp_path / "volumes", **settings) as run:
        assert 0 == run.wait(90), run.text
    assert "PASS" in run.text
    assert secrets.token("feed") not in run.text


def test_each_role_permits_its_own(secrets: Secrets, run: LocalRun) -> None:
    """On the feed's port the upgrade, the metrics and the state of the run need their own roles."""
    url, trust = f"https://127.0.0.1:{run.port}", secrets.trust

    assert 401 == handshake(run.port, trust, "")
    assert 401 == handshake(run.port, trust, "a-guess-of-this-token")
    assert 101 == handshake(run.port, trust, secrets.token("feed"))
    assert 401 == status(f"{url}/metrics", trust, {})[0]
    assert 403 == status(f"{url}/metrics", trust, bearer(secrets.token("feed")))[0]
    assert 200 == status(f"{url}/metrics", trust, bearer(secrets.token("metrics")))[0]
    assert 200 == status(f"{url}/healthz", trust, {})[0]
    # This machine's loopback is no operator any more.
    with connect(
        f"wss://127.0.0.1:{run.port}", ssl=trust, proxy=None, additional_headers=bearer(secrets.token("feed"))
    ) as feed:
        feed.send('{"type":"control","do":"pause"}')
        assert 4401 == close_code(feed)


def test_the_page_needs_a_login_or_a_token(secrets: Secrets, run: LocalRun) -> None:
    """The page asks people to log in, takes bearer tokens of programs, and lets only some of them control the run."""
    url, trust = f"https://localhost:{run.page_port}", secrets.trust
    poll_until(lambda: status(f"{url}/healthz", trust, {})[0] == 200, "the page answers", 20)
    login = {"Authorization": "Basic " + base64.b64encode(f"me:{secrets.token('observe')}".encode()).decode()}
    request = {"Content-Type": "application/json", "Origin": url}

    for path in ("/", "/summary.json", "/report.html", "/events", "/control", "/messages", "/metrics", "/nowhere"):
        assert 401 == status(url + path, trust, {})[0], path
        assert 403 == status(url + path, trust, bearer(secrets.token("feed")))[0], path
    assert 200 == status(f"{url}/", trust, login)[0]
    assert 200 == status(f"{url}/metrics", trust, bearer(secrets.token("metrics")))[0]
    assert 403 == status(f"{url}/", trust, bearer(secrets.token("metrics")))[0]
    # With a password in Basic of a token that permits less, the same holds.
    assert 403 == status(f"{url}/control", trust, {**login, **request}, b'{"do":"pause"}')[0]
    code, text = status(f"{url}/control", trust, {**bearer(secrets.token("control")), **request}, b'{"do":"pause"}')
    assert (200, "paused") == (code, json.loads(text)["status"]["state"])


def test_the_certificate_is_replaced_while_services_run(secrets: Secrets, run: LocalRun) -> None:
    """Feed and page show a new certificate within seconds, and the clients that are connected stay connected."""
    ports = (run.port, run.page_port)
    poll_until(lambda: all(map(served_certificate, ports)), "feed and page show a certificate", 20)
    before = {port: served_certificate(port) for port in ports}
    with Process("services.server", "token", str(secrets.folder), "--certificate") as renewed:
        assert 0 == renewed.wait(), renewed.text

    poll_until(lambda: all(served_certificate(port) != old for port, old in before.items()), "both show the new", 15)
    assert 101 == handshake(run.port, secrets.trust, secrets.token("feed"))
    assert not [line for line in run.lines if "not connected" in line], run.text


def test_no_frame_is_sent_in_the_clear(secrets: Secrets, tmp_path: Path) -> None:
    """Of all that passes between server and client with TLS, no byte of a frame can be read on the wire."""
    with System(tmp_path / "volumes", **secrets.settings, CLIENTS=1, RATE=2000, RECORDS=2000) as system:
        system.server()
        tap = Tap(system.port)
        with contextlib.closing(tap):
            client = system.client("client-1", SERVER_URL=f"wss://127.0.0.1:{tap.port}")
            poll_until(lambda: tap.size > 200_000, "records pass", 20)
            client.stop()
        assert b'"type"' not in tap.bytes
        assert b"example" not in tap.bytes
        assert b"Bearer" not in tap.bytes


class Tap:
    """A relay in front of a port that keeps the bytes that pass."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.bytes = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def size(self) -> int:
        """How many bytes have passed."""
        return len(self.bytes)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._relay_both_ways, args=(near,), daemon=True).start()

    def _relay_both_ways(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._target)) as far:
            answers = threading.Thread(target=self._relay, args=(far, near), daemon=True)
            answers.start()
            self._relay(near, far)
            answers.join()

    def _relay(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                self.bytes += data
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Accept no further connections."""
        self._listener.close()


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("no token", "the server needs a token: HTTP 401"),
        ("wrong token", "the server does not know the token in FEED_TOKEN_FILE: HTTP 401"),
        ("foreign certificate", "certificate verify failed: self-signed certificate"),
        ("expired certificate", "certificate verify failed: certificate has expired"),
        ("wrong name", "certificate verify failed: "),
        ("ws:// to TLS", "if it expects TLS, SERVER_URL has to begin with wss:"),
        ("wss:// without TLS", "if it does not speak TLS, SERVER_URL has to begin with ws:"),
        ("another name", "this token is for clients named edge-*"),
    ],
)
def test_a_client_says_once_why_it_cannot_connect(case: str, expected: str, secrets: Secrets, tmp_path: Path) -> None:
    """A client that is refused logs one line with the cause, however often it tries, and no token."""
    settings = dict(secrets.settings)
    client: dict[str, object] = {"FEED_TOKEN_FILE": secrets.folder / "client" / "tokens"}
    scheme, host = "wss", "127.0.0.1"
    if case == "no token":
        client["FEED_TOKEN_FILE"] = ""
    elif case == "wrong token":
        client["FEED_TOKEN_FILE"] = tmp_path / "wrong"
        (tmp_path / "wrong").write_text("this-is-not-the-token\n")
    elif case == "foreign certificate":
        client["TLS_CA_FILE"] = ""
    elif case == "expired certificate":
        settings["TLS_CERT_FILE"], settings["TLS_KEY_FILE"] = make_expired(tmp_path / "expired")
        settings["TLS_CA_FILE"] = settings["TLS_CERT_FILE"]
    elif case == "wrong name":
        host = "127.0.0.2"
    elif case == "ws:// to TLS":
        scheme = "ws"
    elif case == "wss:// without TLS":
        settings["TLS_CERT_FILE"] = settings["TLS_KEY_FILE"] = ""
    elif case == "another name":
        bound = Secrets(tmp_path / "bound", "--client", "edge-*")
        settings, client["FEED_TOKEN_FILE"] = bound.settings, tmp_path / "any"
        (tmp_path / "any").write_text(bound.token("feed") + "\n")
    with System(tmp_path / "volumes", **settings, HOST="127.0.0.1,127.0.0.2", CLIENTS=1) as system:
        server = system.server()
        refused = system.client("client-1", SERVER_URL=f"{scheme}://{host}:{system.port}", **client)
        refused.wait_for_line(expected)
        # The client tries again after five seconds.
        poll_until(lambda: attempts(server, refused, case), "a second attempt", 30, 0.2)
        warnings = [line for line in refused.lines if '"level": "WARNING"' in line]
        assert 1 == len(warnings), refused.text
        assert "Traceback" not in refused.text + server.text
        for role in ("feed", "observe", "control"):
            assert secrets.token(role) not in refused.text + server.text


def attempts(server: Process, client: Process, case: str) -> bool:
    """Return whether a client that was refused had time for another attempt."""
    assert client.code is None, f"{case}: {client.text}"
    return time.monotonic() - client.began > 8 and server.code is None


@pytest.mark.parametrize(
    ("service", "settings"),
    [
        ("server", {"HOST": "*"}),
        ("server", {"HOST": "127.0.0.1,0.0.0.0"}),
        ("server", {"HOST": "::"}),
        ("collector", {"PAGE_HOST": "0.0.0.0"}),
        ("collector", {"PAGE_HOST": "127.0.0.1", "PAGE_NAMES": "stream.example.org"}),
    ],
)
def test_a_service_refuses_to_be_reachable_without_protection(
    service: str, settings: dict[str, str], tmp_path: Path
) -> None:
    """Without token and TLS a service that others could reach ends with 104 and names the command that makes both."""
    with Process(f"services.{service}", VOLUMES=tmp_path, PORT=free_port(), PAGE_PORT=0, **settings) as process:
        assert BAD == process.wait()

    assert 1 == len([line for line in process.lines if line.startswith("error: ")]), process.text
    assert "python -m services.server token" in process.text
    assert "EXPOSURE=INSECURE" in process.text
    assert [] == list(tmp_path.iterdir())


def test_an_operator_can_opt_out_with_one_word(tmp_path: Path) -> None:
    """EXPOSURE=INSECURE lets a server listen without token and TLS; then loopback is no operator."""
    port = free_port()
    with Process("services.server", VOLUMES=tmp_path, PORT=port, HOST="0.0.0.0", EXPOSURE="INSECURE") as server:
        server.wait_for_line('"listening"')
        with connect(f"ws://127.0.0.1:{port}", proxy=None) as feed:
            feed.send('{"type":"control","do":"status"}')
            assert 4401 == close_code(feed)


def test_a_proxy_in_front_of_an_open_server_is_noticed(tmp_path: Path) -> None:
    """A server on loopback without tokens refuses a request that a proxy forwards, and names the setting."""
    port = free_port()
    with Process("services.server", VOLUMES=tmp_path, PORT=port) as server:
        server.wait_for_line('"listening"')
        with pytest.raises(InvalidStatus) as refused:
            connect(f"ws://127.0.0.1:{port}", proxy=None, additional_headers={"X-Forwarded-For": "192.0.2.7"})
    assert 403 == refused.value.response.status_code
    assert b"FEED_TOKEN_FILE" in refused.value.response.body


def test_no_output_shows_the_credentials_of_an_address(tmp_path: Path) -> None:
    """User, password and query of SERVER_URL are in no log, no reply of the page and no message of the console."""
    port = free_port()
    url = f"ws://operator:s3cret-pass@127.0.0.1:{port}/feed?key=s3cret-key"
    with System(tmp_path / "volumes", SERVER_URL=url) as system:
        (tmp_path / "volumes").mkdir()
        collector, client = system.start("collector"), system.client("client-1")
        client.wait_for_line("not connected")
        collector.wait_for_line('"ready"')
        code, reply = poll_until(lambda: control_of(system.page_port), "the page answers", 20) or (0, "")
        console = system.start("client", "console", "status")
        mistyped = system.start("client", "console", "--url", url.replace("ws:", "http:"), "status")
        texts = [collector.text, client.text, reply]
        for process, expected in ((console, 105), (mistyped, BAD)):
            assert expected == process.wait()
            texts.append(process.text)
    assert 200 == code
    assert f"ws://127.0.0.1:{port}/feed" in reply
    for text in texts:
        assert "s3cret" not in text


def control_of(page_port: int) -> tuple[int, str] | None:
    """Return what the page says about control; None while it does not answer."""
    with contextlib.suppress(OSError):
        return status(f"http://127.0.0.1:{page_port}/control", ssl.create_default_context(), {})
    return None
