"""The files of a release need nothing but the images: no checkout, no build, one file in an empty folder."""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from services import __version__
from tests.integration.processes import ROOT, environment
from tests.integration.stack import UP_SECONDS, docker
from tests.readers import Volumes

pytestmark = [pytest.mark.containers, pytest.mark.slow]

FOLDERS = ["ledger", "logs", "summary"]


class Release:
    """A folder with one file of the release, and the images of this checkout under names of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.project = folder, f"sgtest{secrets.token_hex(4)}"
        self.prefix = f"localhost/{self.project}/"
        self._environment = environment({
            "STREAMGAUGE_IMAGES": self.prefix, "REVISION": "tested", "COMPOSE_PROJECT_NAME": self.project,
            "PAGE_PORT": 0, "RECORDS": 200, "RATE": 200,
        })  # fmt: skip

    def build(self) -> None:
        """Build the images as a release does, for this machine alone."""
        done = self._run(ROOT, ["docker", "buildx", "bake", "--file", "docker-bake.hcl", "--load"])
        assert 0 == done.returncode, done.stderr

    def compose(self, file: str, *arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
        """Run Compose with a file of the release, where there is nothing else."""
        shutil.copy(ROOT / "deploy" / file, self.folder)
        command = ["docker", "compose", "--ansi", "never", "--file", file, *arguments]
        return self._run(self.folder, command, **settings)

    def _run(self, folder: Path, command: list[str], **settings: object) -> subprocess.CompletedProcess[str]:
        given = {**self._environment, **{name: str(value) for name, value in settings.items()}}
        return subprocess.run(
            command, cwd=folder, env=given, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", timeout=UP_SECONDS, check=False,
        )  # fmt: skip

    def remove(self) -> None:
        """Remove containers, networks and images."""
        for file in ("compose.release.yml", "judge.release.yml"):
            self.compose(file, "--profile", "*", "down", "--remove-orphans", "--timeout", "0")
        docker("image", "rm", *(f"{self.prefix}streamgauge-{name}:{__version__}" for name in NAMES), check=False)


NAMES = ("server", "client", "collector")


@pytest.fixture(scope="module")
def release(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    """The images, and an empty folder."""
    made = Release(tmp_path_factory.mktemp("release"))
    made.build()
    yield made
    made.remove()


def test_images_are_labelled(release: Release) -> None:
    """An image has the version and the revision that it is built from."""
    for name in NAMES:
        labels = docker(
            "image", "inspect", f"{release.prefix}streamgauge-{name}:{__version__}",
            "--format", '{{index .Config.Labels "org.opencontainers.image.version"}}'
            ' {{index .Config.Labels "org.opencontainers.image.revision"}}',
        )  # fmt: skip
        assert f"{__version__} tested" == labels


def test_one_file_runs_the_feed(release: Release) -> None:
    """In an empty folder the file alone gives a verdict; the logs are in ./volumes, and nothing else is made."""
    done = release.compose(
        "compose.release.yml", "--profile", "verdict", "up", "--exit-code-from", "verdict", "--scale", "client=2"
    )
    assert 0 == done.returncode, done.stdout + done.stderr

    volumes = Volumes(release.folder / "volumes")
    assert ["client-1", "client-2"] == volumes.clients()
    found = volumes.verdict()
    assert found is not None
    assert ("PASS", 400) == (found.verdict, found.totals.received)
    assert ["compose.release.yml", "volumes"] == sorted(os.listdir(release.folder))
    assert FOLDERS == sorted(os.listdir(volumes.root))


@pytest.fixture
def depths() -> Iterator[Server]:
    """A feed in the form of a preset: each message covers two numbers of one market."""

    def play(connection: ServerConnection) -> None:
        with_numbers = itertools.count(int(time.time() * 100), 2)
        try:
            for first in with_numbers:
                stamp = int(time.time() * 1000)
                connection.send(f'{{"e":"depthUpdate","E":{stamp},"s":"BTCUSDT","U":{first},"u":{first + 1}}}')
                time.sleep(0.02)
        except ConnectionClosed:
            return

    with serve(play, "0.0.0.0", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_one_file_judges_another_feed(release: Release, depths: Server) -> None:
    """A preset, which is in the image, finds the numbers of a feed on this machine; the exit code is the verdict."""
    port = depths.socket.getsockname()[1]
    settings = {"SERVER_URL": f"ws://host.docker.internal:{port}", "FEED_SECONDS": 2, "CLIENTS": 1}
    done = release.compose("judge.release.yml", "run", "--rm", "verdict", FEED="binance-depth", **settings)
    assert 0 == done.returncode, done.stdout + done.stderr

    found = Volumes(release.folder / "volumes").verdict()
    assert found is not None
    assert ("PASS", True) == (found.verdict, {check.name: check.ok for check in found.checks}["complete"])


def test_profiles_are_mounted_from_the_folder_named(release: Release) -> None:
    """FEEDS names the folder with the operator's profiles, under which the container finds them as in a checkout."""
    profiles = release.folder / "profiles"
    profiles.mkdir()
    (profiles / "mine.toml").write_text('about = "mine"\n[sequence]\nnumber = "$.u"\n')
    show = ("run", "--rm", "--no-deps", "-T", "client", "python", "-m", "services.client", "feeds", "show")

    done = release.compose("judge.release.yml", *show, "feeds/mine.toml", FEEDS="./profiles")
    assert 0 == done.returncode, done.stdout + done.stderr
    assert 'number = "$.u"' in done.stdout
