"""Makes the files that a service needs to be reached from other machines: tokens, a certificate and its key."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from services.runtime.access.secret_files import reason
from services.runtime.errors import OperatorError

TOKENS, NODE_TOKEN, CERTIFICATE, KEY, CLIENT_FOLDER = "tokens", "node.token", "tls.crt", "tls.key", "client"
MODE, FOLDER_MODE = 0o600, 0o700
DAYS = 397
"""Days that a certificate is valid: most programs accept no longer time."""

_OPENSSL_SECONDS = 30
_NAMES = ("localhost", "server", "collector")
_ADDRESSES = ("127.0.0.1", "::1")
# Version 3.13 of Python demands key usage and key identifiers of a certificate that is its own issuer.
_CONFIG = """\
[req]
prompt = no
distinguished_name = subject
x509_extensions = extensions
[subject]
CN = streamgauge
[extensions]
basicConstraints = critical, CA:TRUE
keyUsage = critical, digitalSignature, keyCertSign
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {names}
"""


class SecretsNotMade(OperatorError):
    """The files cannot be made; the text says why."""


def make_all(folder: Path, hosts: Sequence[str], clients: Sequence[str], *, has_nodes: bool = False) -> list[Path]:
    """Make tokens, certificate and key, and the part of them that clients need; return the files.

    Args:
        folder: where to put them; it is made if it is missing.
        hosts: names and addresses that the certificate is for, besides those of this machine.
        clients: names, or patterns of names, that get a token each; without any, one token is for all names.
        has_nodes: make the token for ``NODE_TOKEN_FILE`` too, by which a collector copies the files of several hosts.

    Raises:
        SecretsNotMade: a file is there already, or cannot be made.
    """
    tokens = [f"feed {name} {_draw()}" for name in clients or ["*"]]
    all_tokens = [*tokens, *(f"{role} * {_draw()}" for role in ("observe", "control", "metrics"))]
    try:
        client_folder = folder / CLIENT_FOLDER
        client_folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        names = [TOKENS, KEY, CERTIFICATE, *([NODE_TOKEN] if has_nodes else [])]
        existing = [folder / name for name in names if os.path.lexists(folder / name)]
        if existing:
            raise SecretsNotMade(f"{existing[0]} is there already: move it away, or name another folder")
        made = [_write(folder / TOKENS, all_tokens), _write(client_folder / TOKENS, tokens)]
        if has_nodes:
            made.append(_write(folder / NODE_TOKEN, [_draw()]))
    except OSError as problem:
        raise SecretsNotMade(f"cannot make files in {folder}: {reason(problem)}") from problem
    return [*made, *make_certificate(folder, hosts)]


def make_certificate(folder: Path, hosts: Sequence[str]) -> list[Path]:
    """Make a certificate and its key, or replace them; return the files.

    A running service uses the new ones for the connections that come later.

    Raises:
        SecretsNotMade: the files cannot be made.
    """
    program = shutil.which("openssl")
    if program is None:
        raise SecretsNotMade("no certificate was made: install openssl, or set TLS_CERT_FILE to a certificate you have")
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as workplace:
            key, certificate = Path(workplace, KEY), Path(workplace, CERTIFICATE)
            config = Path(workplace, "config")
            config.write_text(_CONFIG.format(names=",".join(_alternatives(hosts))), encoding="ascii")
            _run_openssl(program, config, key, certificate)
            for path in (key, certificate):
                path.chmod(MODE)
            client_copy = _write(Path(workplace, "copy"), certificate.read_text(encoding="ascii").splitlines())
            made = {key: folder / KEY, certificate: folder / CERTIFICATE}
            made[client_copy] = folder / CLIENT_FOLDER / CERTIFICATE
            (folder / CLIENT_FOLDER).mkdir(mode=FOLDER_MODE, exist_ok=True)
            for path, target in made.items():
                path.replace(target)
    except OSError as problem:
        raise SecretsNotMade(f"cannot make files in {folder}: {reason(problem)}") from problem
    return list(made.values())


def _run_openssl(program: str, config: Path, key: Path, certificate: Path) -> None:
    command = [
        program, "req", "-x509", "-config", str(config), "-days", str(DAYS), "-nodes",
        "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
        "-keyout", str(key), "-out", str(certificate),
    ]  # fmt: skip
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_OPENSSL_SECONDS)  # noqa: S603
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as problem:
        said = (getattr(problem, "stderr", "") or str(problem)).strip().splitlines()
        raise SecretsNotMade(f"openssl made no certificate: {said[-1] if said else problem}") from problem


def _alternatives(hosts: Sequence[str]) -> list[str]:
    """Return the names and addresses of a certificate, as OpenSSL writes them."""
    names = dict.fromkeys([*_NAMES, *_own_name(), *(host for host in hosts if not _is_address(host))])
    addresses = dict.fromkeys([*_ADDRESSES, *filter(_is_address, hosts)])
    return [*(f"DNS:{name}" for name in names), *(f"IP:{address}" for address in addresses)]


def _own_name() -> list[str]:
    name = socket.gethostname().lower()
    return [name] if re.fullmatch(r"[a-z0-9.-]{1,253}", name) else []


def _is_address(host: str) -> bool:
    return ":" in host or bool(re.fullmatch(r"[0-9.]+", host))


def _draw() -> str:
    return secrets.token_urlsafe(24)


def _write(path: Path, lines: Sequence[str]) -> Path:
    """Write a file that only this user can read; one that is there already is kept.

    Raises:
        FileExistsError: something is there already, a link included.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, MODE)
    with open(descriptor, "w", encoding="ascii") as file:
        file.writelines(f"{line}\n" for line in lines)
    return path
