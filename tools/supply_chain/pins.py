"""Checks of the pins of this repository, which need no network. Pure, apart from reading the checkout."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tools.supply_chain.requirement_file import UnpinnedLine, parse

DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
"""The end of the name of an image by digest."""
_COMMIT = re.compile(r"uses:\s*[\w./-]+@[0-9a-f]{40}\b")


class Finding(NamedTuple):
    """A fault that a check found: its place, and its description."""

    where: str
    what: str


def unpinned_requirements(root: Path) -> Iterator[Finding]:
    """Every package of every requirements file has an exact version and hashes, and no other index is named."""
    for path in sorted((root / "requirements").glob("*.txt")):
        try:
            for requirement in parse(path.read_text(encoding="utf-8")):
                if not requirement.sha256:
                    yield Finding(f"requirements/{path.name}", f"{requirement.name} has no hash")
        except UnpinnedLine as problem:
            yield Finding(f"requirements/{path.name}", str(problem))


def different_versions(root: Path) -> Iterator[Finding]:
    """An image installs the versions that the tests ran with."""
    tested = {
        requirement.name: requirement.version
        for requirement in parse((root / "requirements" / "dev.txt").read_text(encoding="utf-8"))
        if requirement.is_in_images
    }
    for path in sorted((root / "requirements").glob("*.txt")):
        for requirement in parse(path.read_text(encoding="utf-8")):
            version = tested.get(requirement.name, requirement.version)
            if requirement.is_in_images and version != requirement.version:
                yield Finding(f"requirements/{path.name}", f"{requirement.name} {requirement.version}, not {version}")


def installs_without_hashes(root: Path) -> Iterator[Finding]:
    """Both Dockerfiles install with hashes only."""
    for name in ("Dockerfile.server", "Dockerfile.client"):
        text = (root / name).read_text(encoding="utf-8").replace("\\\n", " ")
        for line in text.splitlines():
            if re.search(r"\bpip\b.*\binstall\b", line) and "--require-hashes" not in line:
                yield Finding(name, "installs packages without --require-hashes")


def images_by_tag(root: Path) -> Iterator[Finding]:
    """Images of other software are named by digest; the base image is the builder's choice, PYTHON_IMAGE."""
    for line in (root / "docker-compose.yml").read_text(encoding="utf-8").splitlines():
        image = re.match(r"\s+image:\s*(\S+)", line)
        if image and not image[1].startswith("streamgauge-") and not DIGEST.search(image[1]):
            yield Finding("docker-compose.yml", f"{image[1]} has no digest")


def actions_by_tag(root: Path) -> Iterator[Finding]:
    """Actions of the workflows are named by commit."""
    for path in sorted((root / ".github" / "workflows").glob("*.yml")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if "uses:" in line and "uses: ./" not in line and not _COMMIT.search(line):
                yield Finding(f".github/workflows/{path.name}", line.strip())


CHECKS: tuple[Callable[[Path], Iterator[Finding]], ...] = (
    unpinned_requirements,
    different_versions,
    installs_without_hashes,
    images_by_tag,
    actions_by_tag,
)
