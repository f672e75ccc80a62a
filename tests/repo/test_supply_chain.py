"""The pins of the repository, and the bills of materials of the images."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services import __version__
from tests.repo.repository import ROOT, text
from tools.supply_chain import pins, sbom
from tools.supply_chain.pins import Finding
from tools.supply_chain.requirement_file import Requirement, UnpinnedLine, parse

BASE = f"python:3.13-slim@sha256:{'0' * 64}"
Check = Callable[[Path], Iterator[Finding]]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a copy of the files that the checks read."""
    for name in ("requirements", ".github"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("Dockerfile.server", "Dockerfile.client", "docker-compose.yml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


@pytest.mark.parametrize("check", pins.CHECKS, ids=lambda check: check.__name__)
def test_everything_is_pinned(check: Check) -> None:
    """The repository keeps every promise that the audit checks without a network."""
    assert [] == list(check(ROOT))


@pytest.mark.parametrize(
    ("check", "file", "old", "new"),
    [
        (pins.unpinned_requirements, "requirements/client.txt", "msgspec==", "msgspec>="),
        (pins.unpinned_requirements, "requirements/client.txt", "# This file", "--index-url https://example.org\n#"),
        (pins.different_versions, "requirements/client.txt", "websockets==", "websockets==0"),
        (pins.installs_without_hashes, "Dockerfile.server", "--require-hashes", ""),
        (pins.images_by_tag, "docker-compose.yml", "@sha256:", "-"),
        (pins.actions_by_tag, ".github/workflows/ci.yml", "actions/checkout@", "actions/checkout@v5 # "),
    ],
)
def test_a_loose_pin_is_found(check: Check, file: str, old: str, new: str, checkout: Path) -> None:
    """Each check finds the fault that it is for."""
    content = (checkout / file).read_text()
    assert old in content
    (checkout / file).write_text(content.replace(old, new, 1))

    assert list(check(checkout))


@pytest.mark.parametrize("service", sbom.SERVICES)
def test_a_bill_lists_every_package(service: str) -> None:
    """A bill of materials has every package of the image with version and hashes, the base, and the dependencies."""
    requirements = parse(text(f"requirements/{service}.txt"))
    made = json.loads(sbom.bill(service, __version__, BASE, requirements))
    libraries = {part["name"]: part for part in made["components"] if part["type"] == "library"}

    assert {requirement.name for requirement in requirements if requirement.is_in_images} == libraries.keys()
    for requirement in requirements:
        if requirement.is_in_images:
            hashes = libraries[requirement.name]["externalReferences"][0]["hashes"]
            assert requirement.version == libraries[requirement.name]["version"]
            assert requirement.sha256 == [digest["content"] for digest in hashes]
    assert "0" * 64 == made["components"][0]["hashes"][0]["content"]
    references = {part["bom-ref"] for part in made["components"]} | {made["metadata"]["component"]["bom-ref"]}
    assert references == {part["ref"] for part in made["dependencies"]}
    needed = {below for part in made["dependencies"] for below in part["dependsOn"]}
    assert references - needed == {f"streamgauge-{service}@{__version__}"}


def test_a_bill_is_reproducible() -> None:
    """The same input makes the same bytes, and another version another serial number."""
    requirements = parse(text("requirements/client.txt"))
    first, again = (sbom.bill("client", "1.0.0", BASE, requirements) for _ in range(2))

    assert first == again
    other = json.loads(sbom.bill("client", "1.0.1", BASE, requirements))
    assert json.loads(first)["serialNumber"] != other["serialNumber"]


def test_a_package_of_another_system_is_in_no_image() -> None:
    """A package that is only installed on another system is not listed."""
    assert not Requirement("colorama", "1", "sys_platform == 'win32'").is_in_images
    assert Requirement("typing-extensions", "1", "python_full_version < '3.15'").is_in_images


def test_a_line_that_is_no_pin_is_refused() -> None:
    """A package without an exact version, or an option, ends the reading with its line."""
    for line in ("faker", "faker>=1", "--index-url https://example.org", "git+https://example.org/faker"):
        with pytest.raises(UnpinnedLine, match="line 1"):
            parse(line)


def test_dependabot_updates_every_kind_of_pin() -> None:
    """Packages, JavaScript, actions and images are each watched for new versions."""
    for ecosystem in ("pip", "npm", "github-actions", "docker", "docker-compose"):
        assert f"package-ecosystem: {ecosystem}\n" in text(".github/dependabot.yml")
