"""Services that would be reached from other machines, or send secrets to them, without protection: none may start."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from chaos.security.case import CaseResult
from services.server.secrets_folder import make_certificate
from tests.integration.processes import Process, free_port
from tests.poll import poll_until

TOKEN = "a-token-of-sixteen-or-more"
REFUSED, STARTS = "refused with the remedy", "starts"
_AT_ONCE = 6
_READY = ('"listening"', '"ready"', '"serving"')


class Start(NamedTuple):
    """A service and its settings; ``{}`` in a value is the folder with token and certificate."""

    threat: str
    service: tuple[str, ...]
    settings: dict[str, str]
    expected: str


SERVER, PAGE, NODE = ("services.server",), ("services.collector",), ("services.collector", "serve")
_TLS = {"TLS_CERT_FILE": "{}/tls.crt", "TLS_KEY_FILE": "{}/tls.key"}
_TOKENS, _NODE_TOKEN = {"FEED_TOKEN_FILE": "{}/tokens"}, {"NODE_TOKEN_FILE": "{}/token"}
_SHORT = {"NODE_TOKEN_FILE": "{}/short"}
STARTS_TRIED: tuple[Start, ...] = (
    *(Start("T20", SERVER, {"HOST": host}, REFUSED) for host in ("*", "0.0.0.0", "::", "127.0.0.1,0.0.0.0")),
    Start("T2", SERVER, {"HOST": "*", **_TLS}, REFUSED),
    Start("T22", SERVER, {"HOST": "*", **_TOKENS}, REFUSED),
    Start("T22", SERVER, {"HOST": "*", **_TOKENS, "TLS_CERT_FILE": "{}/tls.crt"}, REFUSED),
    Start("T2", SERVER, {"HOST": "*", **_TOKENS, **_TLS, "CONTROL_TOKEN": "x"}, REFUSED),
    Start("T2", SERVER, {"HOST": "*", **_TLS, "FEED_TOKEN_FILE": "{}/short"}, REFUSED),
    Start("T22", SERVER, {"HOST": "*", **_TOKENS, **_TLS, "TLS_KEY_FILE": "{}/tokens"}, REFUSED),
    Start("T20", SERVER, {"HOST": "*", "EXPOSURE": "insecure"}, REFUSED),
    Start("T22", SERVER, {"LEDGER": "nats://192.0.2.1:4222"}, REFUSED),
    Start("T18", SERVER, {"SOURCE": "nats://user:secret@example.invalid/x"}, REFUSED),
    Start("T20", SERVER, {"HOST": "127.0.0.1,::1"}, STARTS),
    Start("T22", SERVER, {"HOST": "*", **_TOKENS, **_TLS}, STARTS),
    Start("T20", SERVER, {"HOST": "*", "EXPOSURE": "INSECURE"}, STARTS),
    *(Start("T20", PAGE, {"PAGE_HOST": host}, REFUSED) for host in ("0.0.0.0", "::", "192.0.2.1")),
    Start("T2", PAGE, {"PAGE_HOST": "0.0.0.0", **_TLS}, REFUSED),
    Start("T22", PAGE, {"PAGE_HOST": "0.0.0.0", **_TOKENS}, REFUSED),
    Start("T2", PAGE, {"PAGE_NAMES": "stream.example.org"}, REFUSED),
    Start("T22", PAGE, {"NODES": "host1", **_NODE_TOKEN}, REFUSED),
    Start("T22", PAGE, {"NODES": "https://host1,192.0.2.1", **_NODE_TOKEN}, REFUSED),
    Start("T2", PAGE, {"NODES": "https://host1"}, REFUSED),
    Start("T22", PAGE, {"PAGE_HOST": "0.0.0.0", **_TOKENS, **_TLS}, STARTS),
    Start("T22", PAGE, {"NODES": "https://127.0.0.1:1", **_NODE_TOKEN}, STARTS),
    Start("T2", NODE, {}, REFUSED),
    Start("T22", NODE, {"HOST": "*", **_NODE_TOKEN}, REFUSED),
    Start("T2", NODE, {"HOST": "*", **_SHORT, **_TLS}, REFUSED),
    Start("T2", NODE, {"HOST": "*", **_TOKENS, **_TLS}, REFUSED),
    Start("T22", NODE, {"HOST": "*", **_NODE_TOKEN, **_TLS}, STARTS),
    Start("T20", NODE, _NODE_TOKEN, STARTS),
)


def make_files(folder: Path) -> None:
    """Make tokens and a certificate."""
    make_certificate(folder, ["localhost"])
    for name, text in (("token", TOKEN), ("tokens", f"control * {TOKEN}\n"), ("short", "x")):
        (folder / name).write_text(text, encoding="ascii")


def attempt(start: Start, files: Path, volumes: Path) -> CaseResult:
    """Start a service; return whether it starts, or is refused with what to do."""
    given = {name: text.replace("{}", str(files)) for name, text in start.settings.items()}
    settings = {"PORT": free_port(), "PAGE_PORT": free_port(), "NODE_PORT": free_port(), "VOLUMES": volumes, **given}
    module, *arguments = start.service
    with Process(module, *arguments, **settings) as service:
        answer = _answer(service)
    shown = " ".join(f"{name}={text}" for name, text in start.settings.items())
    return CaseResult(start.threat, f"{' '.join(start.service)} {shown}", start.expected, answer)


def _answer(service: Process) -> str:
    def is_ready() -> bool:
        return any(ready in line for ready in _READY for line in service.lines)

    poll_until(lambda: service.code is not None or is_ready(), "the service starts or ends", 60)
    if service.code is None:
        return STARTS
    code, text = service.wait(10), service.text
    if "Traceback" in text or "secret@" in text:
        return text
    return REFUSED if code == 104 and "error: " in text else f"code {code}"


def attempt_all(folder: Path) -> Iterator[CaseResult]:
    """Try every start, some at a time."""
    (files := folder / "secrets").mkdir()
    make_files(files)

    def attempt_one(number: int) -> CaseResult:
        (volumes := folder / str(number)).mkdir()
        return attempt(STARTS_TRIED[number], files, volumes)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(attempt_one, range(len(STARTS_TRIED)))
