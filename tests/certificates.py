"""Certificates for tests, made by the program openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path

_EXPIRED = """\
[ca]
default_ca = expired
[expired]
new_certs_dir = {folder}
database = {folder}/index
serial = {folder}/serial
default_md = sha256
policy = any
x509_extensions = extensions
[any]
commonName = supplied
[req]
prompt = no
distinguished_name = subject
[subject]
CN = expired
[extensions]
basicConstraints = critical, CA:TRUE
keyUsage = critical, digitalSignature, keyCertSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = IP:127.0.0.1
"""


def make_expired(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1 that was valid for one day of 2020; return its path and that of its key."""
    folder.mkdir(parents=True)
    config, key, request, certificate = (folder / name for name in ("config", "key", "request", "certificate"))
    config.write_text(_EXPIRED.format(folder=folder), encoding="utf-8")
    (folder / "index").touch()
    (folder / "serial").write_text("01\n", encoding="ascii")
    _openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-config", config, "-keyout", key, "-out", request)
    dates = ("-startdate", "20200101000000Z", "-enddate", "20200102000000Z")
    _openssl("ca", "-batch", "-selfsign", "-notext", "-config", config, "-keyfile", key, "-in", request,
             "-out", certificate, *dates)  # fmt: skip
    return certificate, key


def _openssl(*arguments: str | Path) -> None:
    command = ["openssl", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
