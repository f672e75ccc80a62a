"""A release: its compose files are those of the repository without builds and checkout, its images have one version."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from services import __version__
from tests.integration.programs import program
from tests.repo.repository import ROOT, compose, compose_documents, stages, text
from tools.release.__main__ import LOCAL, contents, main
from tools.release.changelog import BadSection, section
from tools.release.compose_file import UNMOUNTED, services_left_out

RUN, JUDGE = "deploy/compose.release.yml", "deploy/judge.release.yml"
IMAGE = re.compile(rf"\$\{{STREAMGAUGE_IMAGES:-{re.escape(LOCAL)}\}}(streamgauge-[a-z]+):{re.escape(__version__)}")
BAKE = text("docker-bake.hcl")
every_file = pytest.mark.parametrize("name", [RUN, JUDGE])


def released_services() -> dict[str, Any]:
    """Return the services of the release file, variables as they are written."""
    found: dict[str, Any] = yaml.safe_load(text(RUN))["services"]
    return found


@every_file
def test_the_files_are_generated(name: str) -> None:
    """Each release file is what `make release-file` writes from the compose files of the repository."""
    assert contents(LOCAL)[Path(name).name] == text(name)


def test_a_release_differs_by_images_and_mounts_alone() -> None:
    """A service of a release is that of the repository, from an image, with no mount of the checkout."""
    released, built = released_services(), compose()["services"]

    assert built.keys() - released.keys() == services_left_out(text("docker-compose.yml"))
    for name, service in released.items():
        image = IMAGE.fullmatch(service.pop("image"))
        assert image is not None
        assert image[1] == built[name].pop("image")
        assert not service.keys() & {"build", "pull_policy"}
        assert [mount["target"] for mount in service.pop("volumes")] == [
            mount["target"] for mount in built[name].pop("volumes")
        ]
        assert service == {key: built[name][key] for key in built[name] if key not in ("build", "pull_policy")}


@every_file
def test_nothing_of_a_checkout_is_mounted(name: str) -> None:
    """Every mount is in VOLUMES, or of a folder or file that a setting names, and of nothing if it names none."""
    sources = re.findall(r'source: "?(.+?)"?,', text(name))

    assert sources
    assert not [
        source for source in sources if not re.match(r"\$\{VOLUMES:-\./volumes\}|\$\{[A-Z_]+:-/dev/null\}", source)
    ]
    assert UNMOUNTED in text(name)


def test_left_out_are_services_with_files_of_the_checkout() -> None:
    """Left out are exactly the services that only a profile starts and that read files of the repository."""
    left_out = services_left_out(text("docker-compose.yml"))

    assert {"proxy", "nats", "prometheus", "grafana"} == left_out
    assert not [name for name in left_out if "profiles" not in compose()["services"][name]]


def test_judging_changes_the_services_as_in_a_checkout() -> None:
    """The second document of the judge's file is deploy/foreign.yml without the services that need a checkout."""
    (changes,) = compose_documents("deploy/foreign.yml")
    released, document = compose_documents(JUDGE)
    left_out = services_left_out(text("docker-compose.yml")) | services_left_out(text("deploy/foreign.yml"))

    assert released == yaml.safe_load(text(RUN))
    assert "feed" in left_out
    assert {name: one for name, one in changes["services"].items() if name not in left_out} == document["services"]
    assert changes["networks"] == document["networks"]


def test_a_published_file_names_its_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that a release publishes have its registry as default, and speak of no images built here."""
    monkeypatch.setattr("sys.argv", ["release", "files", "--images", "ghcr.io/owner/", "--out", str(tmp_path)])

    assert 0 == main()
    for name in (RUN, JUDGE):
        written = (tmp_path / Path(name).name).read_text()
        assert "${STREAMGAUGE_IMAGES:-ghcr.io/owner/}streamgauge-client:" in written
        assert "localhost" not in written
        assert "docker buildx bake" not in written


def test_the_changelog_has_the_release() -> None:
    """The version has a section with a date that has been, the versions of the formats and what was added."""
    found = section(text("CHANGELOG.md"), __version__)
    heading = re.search(rf"^## \[{re.escape(__version__)}\] - (\S+)$", text("CHANGELOG.md"), re.MULTILINE)

    assert heading is not None
    assert dt.date(2026, 11, 22) < dt.date.fromisoformat(heading[1])
    assert found.startswith("The first release.")
    assert "### Added" in found
    assert "## [" not in found


@pytest.mark.parametrize(
    ("changelog", "fault"),
    [
        ("## [1.0.0] - 2026-11-29\nFormats: wire 1.\n", "there is no such section"),
        ("## [2.0.0]\nFormats: wire 1.\n", "the heading ends in ''"),
        ("## [2.0.0] - soon\nFormats: wire 1.\n", "the heading ends in ' - soon'"),
        ("## [2.0.0] - 2026-11-29\nNew.\n\n## [1.0.0] - 2026-11-22\nFormats: wire 1.\n", "no line names the versions"),
    ],
)
def test_an_incomplete_section_is_refused(changelog: str, fault: str) -> None:
    """A changelog without the version, its date or its formats is no changelog of a release."""
    with pytest.raises(BadSection, match=re.escape(fault)) as refused:
        section(changelog, "2.0.0")
    assert "2.0.0" == refused.value.version


@pytest.mark.parametrize(("tag", "code"), [(f"v{__version__}", 0), (__version__, 1), ("v9.9.9", 1)])
def test_the_tag_is_the_version(
    tag: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Notes are printed for the tag of this version, and for no other."""
    monkeypatch.setattr("sys.argv", ["release", "notes", "--tag", tag, "--source", "https://example.org/v/"])

    assert code == main()
    printed = capsys.readouterr().out
    assert ("### Added" in printed) is (code == 0)
    assert ("](https://example.org/v/docs/guides/upgrade.md)" in printed) is (code == 0)
    assert "](docs/" not in printed


def test_images_have_the_version() -> None:
    """Version and default registry of the images are those of the release files."""
    assert f'variable "VERSION" {{\n  default = "{__version__}"\n}}' in BAKE
    assert f'variable "STREAMGAUGE_IMAGES" {{\n  default = "{LOCAL}"\n}}' in BAKE


def test_images_are_built_for_both_architectures() -> None:
    """A release has every image of the repository for amd64 and arm64, with provenance and bill of materials."""
    assert 'platforms = ["linux/amd64", "linux/arm64"]' in BAKE
    assert 'attest    = ["type=provenance,mode=max", "type=sbom"]' in BAKE
    for service in ("server", "server-nats", "client", "collector"):
        assert f'target "{service}-release" {{\n  inherits = ["{service}", "published"]\n}}' in BAKE


def test_buildx_reads_the_file() -> None:
    """Every target is a stage of a Dockerfile, and is tagged with registry, name and version."""
    docker = program("docker", "docker.io")
    if subprocess.run([docker, "buildx", "version"], capture_output=True, timeout=60, check=False).returncode:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("docker has no buildx; Debian has it in docker-buildx")
    command = [docker, "buildx", "bake", "--file", "docker-bake.hcl", "--print", "release"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert 0 == done.returncode, done.stderr
    targets = json.loads(done.stdout)["target"]

    assert 4 == len(targets)
    for name, target in targets.items():
        assert ["linux/amd64", "linux/arm64"] == target["platforms"]
        assert target.get("target", "server") in stages(target["dockerfile"])
        (tag,) = target["tags"]
        service, _, variant = name.removesuffix("-release").partition("-")
        assert f"{LOCAL}streamgauge-{service}:{__version__}{variant and f'-{variant}'}" == tag
        assert __version__ == target["labels"]["org.opencontainers.image.version"]
