"""The version of the software has one value."""

from __future__ import annotations

import tomllib
from pathlib import Path

from services import SOFTWARE, __version__


def test_the_version_is_the_projects() -> None:
    """The version in every log is the version in pyproject.toml."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert project["version"] == __version__
    assert f"{project['name']}/{project['version']}" == SOFTWARE


def test_the_images_have_it() -> None:
    """Both Dockerfiles label their images with the version."""
    for name in ("Dockerfile.server", "Dockerfile.client"):
        assert f'org.opencontainers.image.version="{__version__}"' in Path(name).read_text(encoding="utf-8")
