"""`token`: makes tokens, a certificate and its key, for services that other machines can reach."""

from __future__ import annotations

import argparse
import ipaddress
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from services.runtime.cli import Commands
from services.runtime.setting_tables.parsers import host_names
from services.server import secrets_folder
from services.server.secrets_folder import CERTIFICATE, CLIENT_FOLDER, KEY, NODE_TOKEN, TOKENS

DEFAULT_FOLDER = Path("secrets")


def add(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = commands.add(
        "token",
        "make tokens and a self-signed certificate, for services that other machines can reach",
        run,
        {
            "token": "everything, in the folder secrets",
            "token --host stream.example.org": "the certificate is for this name too",
            "token --client edge-1 --client 'lab-*'": "a token for the client edge-1, and another for lab-1, lab-2 …",
            "token --host host1 --host host2 --node": "for two hosts: also a token to copy their files with",
            "token --certificate": "a new certificate and key only; running services use them at once",
        },
        "exit codes: 0 made, 104 nothing was overwritten, or a file cannot be made",
    )
    parser.add_argument("folder", metavar="FOLDER", nargs="?", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--host", metavar="NAME", action="append", default=[], type=_host, help="name or address")
    parser.add_argument(
        "--client", metavar="NAME", action="append", default=[], type=_client, help="name of clients, with * for any"
    )
    parser.add_argument("--node", action="store_true", help="make the token for NODE_TOKEN_FILE too: node.token")
    parser.add_argument("--certificate", action="store_true", help="make certificate and key again, and no tokens")


def run(chosen: argparse.Namespace, _environment: Mapping[str, str]) -> int:
    """Make the files, and print their names and the settings that use them; return the exit code."""
    folder: Path = chosen.folder
    if chosen.certificate:
        made = secrets_folder.make_certificate(folder, chosen.host)
    else:
        made = secrets_folder.make_all(folder, chosen.host, chosen.client, has_nodes=chosen.node)
    of_nodes = _USE_OF_NODES.format(token=folder / NODE_TOKEN) if folder / NODE_TOKEN in made else ""
    sys.stdout.write("".join(f"made {path}\n" for path in made) + _USE.format(**_paths(folder)) + of_nodes)
    return 0


_USE = """
server and page:  FEED_TOKEN_FILE={tokens} TLS_CERT_FILE={certificate} TLS_KEY_FILE={key}
clients:          SERVER_URL=wss://HOST:8765 FEED_TOKEN_FILE={client_tokens} TLS_CA_FILE={client_certificate}
login of the page: any user; the password is the token of the line `control`, or of `observe` to look only
"""
_USE_OF_NODES = "serve and the collector that copies: NODE_TOKEN_FILE={token}\n"


def _paths(folder: Path) -> dict[str, Path]:
    return {
        "tokens": folder / TOKENS,
        "certificate": folder / CERTIFICATE,
        "key": folder / KEY,
        "client_tokens": folder / CLIENT_FOLDER / TOKENS,
        "client_certificate": folder / CLIENT_FOLDER / CERTIFICATE,
    }


def _host(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        pass
    try:
        (name,) = host_names(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no host name or address") from None
    return name


def _client(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9._~*-]{1,64}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name of clients, such as edge-1 or edge-*")
    return text
