"""Asks for known vulnerabilities of the pinned packages, by pip-audit in an environment of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tools.supply_chain.pins import Finding
from tools.supply_chain.sbom import SERVICES

TOOL = "pip-audit==2.10.1"
_SECONDS = 300


class NotChecked(Exception):
    """The question could not be answered; the text says why."""


def known_vulnerabilities(root: Path) -> Iterator[Finding]:
    """No installed package has a known vulnerability.

    Raises:
        NotChecked: the tool cannot be installed, or the advisory service does not answer for every package.
    """
    program = _program(root / ".bench" / "audit")
    for service in SERVICES:
        requirements = f"requirements/{service}.txt"
        command = [str(program), "--disable-pip", "--require-hashes", "--progress-spinner", "off", "--format", "json"]
        done = _run([*command, "--requirement", requirements], root)
        try:
            packages = json.loads(done.stdout)["dependencies"]
        except (ValueError, KeyError):
            raise NotChecked(f"the advisory service gave no answer: {_last_line(done.stderr)}") from None
        for package in packages:
            if "skip_reason" in package:
                raise NotChecked(f"{package['name']}: {package['skip_reason']}")
            for advisory in package["vulns"]:
                fixed = ", ".join(advisory["fix_versions"]) or "no version yet"
                what = f"{package['name']} {package['version']}: {advisory['id']}, fixed in {fixed}"
                yield Finding(requirements, what)


def _program(folder: Path) -> Path:
    program = folder / "bin" / "pip-audit"
    if not program.exists():
        made = _run([sys.executable, "-m", "venv", str(folder)], Path.cwd())
        if made.returncode == 0:
            made = _run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", TOOL], Path.cwd())
        if made.returncode or not program.exists():
            raise NotChecked(f"{TOOL} cannot be installed: {_last_line(made.stderr)}")
    return program


def _run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired as problem:
        raise NotChecked(f"no answer within {_SECONDS} s") from problem


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2] or "it says nothing"
