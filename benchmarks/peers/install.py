"""Installs other servers from package managers into ``.bench/`` and nowhere else.

Nothing is installed system-wide, no system service is started, and `make clean` removes everything.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple

CACHE = Path(__file__).resolve().parents[2] / ".bench"
_SECONDS = 120
_one_at_a_time = threading.Lock()
"""Held while a package is installed, since threads share the folders."""
_SYSTEM = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"))


class NotAvailable(Exception):
    """A server cannot be installed on this machine; the message is a short reason."""


class Program(NamedTuple):
    """An installed program: its version, its command or interpreter, and additional environment variables."""

    version: str
    command: list[str]
    environment: dict[str, str]


def debian(package: str, version: str) -> Program:
    """Return the program of a Debian package, from this machine or unpacked with its missing libraries.

    ``version`` is the option that makes the program print its version.

    Raises:
        NotAvailable: it is not on this machine and cannot be installed.
    """
    environment = {}
    found = shutil.which(package, path=_SYSTEM)
    if found is None:
        root = debian_root(package)
        found, environment = str(next(root.glob(f"usr/*bin/{package}"))), library_path(root)
    message = subprocess.run(
        [found, version], env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=30
    )
    number = re.search(r"\d+(\.\d+)+", message.stdout)
    if number is None:
        raise NotAvailable("it does not start")
    return Program(number[0], [found], environment)


def debian_root(*packages: str) -> Path:
    """Return the folder in which Debian packages are unpacked, with what they need and this machine lacks.

    Raises:
        NotAvailable: they cannot be installed.
    """
    folder = CACHE / "debian" / packages[0]
    with _one_at_a_time:
        if not (folder / "unpacked").exists():
            _unpack(packages, folder)
    return folder / "root"


def library_path(root: Path) -> dict[str, str]:
    """Return the variable by which programs find the shared libraries below a folder."""
    libraries = (str(path) for path in root.glob("**/lib/*-linux-gnu*") if path.is_dir())
    return {"LD_LIBRARY_PATH": os.pathsep.join(libraries)}


def npm(package: str, *others: str) -> Program:
    """Return Node.js with npm packages; the last word of the command is the folder for ``createRequire``.

    The first package may be given with its version, as ``socket.io@2``, and then has a folder of its own.

    Raises:
        NotAvailable: Node.js or npm is missing, or a package cannot be installed.
    """
    node, (name, _, version) = shutil.which("node"), package[1:].partition("@")
    if node is None:
        raise NotAvailable("there is no Node.js")
    name, folder = package[0] + name, CACHE / (f"npm-{package}" if version else "npm")
    manifest = folder / "node_modules" / name / "package.json"
    with _one_at_a_time:
        lacking = [each for each in others if not (folder / "node_modules" / each).exists()]
        if not manifest.exists() or lacking:
            folder.mkdir(parents=True, exist_ok=True)
            options = ["--no-audit", "--no-fund", "--no-update-notifier", "--fetch-retries=0"]
            _run("npm", "install", "--prefix", str(folder), *options, package, *others)
    return Program(json.loads(manifest.read_text(encoding="utf-8"))["version"], [node, str(folder)], {})


def node_version(node: str) -> str:
    """Return the version of Node.js."""
    return _run(node, "--version").strip().removeprefix("v")


def python(package: str) -> Program:
    """Return a Python with a package, in a separate virtual environment.

    Raises:
        NotAvailable: the package cannot be installed.
    """
    folder = CACHE / "python" / package
    interpreter = str(folder / "bin" / "python")
    with _one_at_a_time:
        if not (folder / "installed").exists():
            _run(sys.executable, "-m", "venv", "--clear", str(folder))
            _run(interpreter, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--retries=0", package)
            (folder / "installed").touch()
    version = f"import importlib.metadata; print(importlib.metadata.version({package!r}))"
    return Program(_run(interpreter, "-c", version).strip(), [interpreter], {})


def _unpack(packages: tuple[str, ...], folder: Path) -> None:
    archives = folder / "archives"
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    here = [f"-oDir::Cache::archives={archives}", "-oDebug::NoLocking=1", "-oAPT::Sandbox::User="]
    install = ["apt-get", "install", "--quiet", "--yes", "--download-only", "--no-install-recommends", *here]
    try:
        _run(*install, *packages)
    except NotAvailable:
        # The machine's package lists may be missing or old, so download lists into the cache folder.
        lists = folder / "lists"
        (lists / "partial").mkdir(parents=True, exist_ok=True)
        here.append(f"-oDir::State::lists={lists}")
        _run("apt-get", "update", "--quiet", *here)
        _run(*install, here[-1], *packages)
    for archive in archives.glob("*.deb"):
        _run("dpkg-deb", "--extract", str(archive), str(folder / "root"))
    (folder / "unpacked").touch()


def _run(*command: str) -> str:
    """Run a command and return its output; if it fails, print the output to stderr, since the table has no room."""
    name = "pip" if "pip" in command else Path(command[0]).name
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
    except FileNotFoundError:
        raise NotAvailable(f"there is no {name}") from None
    except subprocess.TimeoutExpired:
        raise NotAvailable(f"{name} took longer than {_SECONDS} s") from None
    if done.returncode:
        print(f"{' '.join(command)}:\n{done.stdout}{done.stderr}", file=sys.stderr, flush=True)
        raise NotAvailable(f"{name} could not install it")
    return done.stdout
