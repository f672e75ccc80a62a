"""A schema of the user's own is the same file for the containers as outside, and can be looked at before it is run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from services.server.feed.generator import FeedGenerator
from tests.integration.processes import ROOT, environment, play
from tests.integration.stack import Stack
from tests.readers import Volumes, record_of

EXAMPLE = "schemas/example.toml"
SETTINGS = {"SCHEMA": EXAMPLE, "LOCALE": "de_DE", "RECORDS": 300, "RATE": 500}


def assert_the_example_was_logged(volumes: Volumes) -> None:
    """Hold what two clients logged to what the file gives in this process."""
    feed = FeedGenerator(str(ROOT / EXAMPLE), "de_DE", 42).records(1, 300)
    for client in ("client-1", "client-2"):
        assert feed == [record_of(message) for message in volumes.messages(client)]


@pytest.mark.containers
def test_a_users_schema_in_containers(tmp_path: Path) -> None:
    """A file in the checkout has the path that it has outside, and nothing has to be built for it."""
    with Stack(tmp_path, CLIENTS=2, **SETTINGS) as stack:
        stack.up(clients=2)
        code, said = stack.wait()

        assert 0 == code, said
        assert_the_example_was_logged(stack.volumes)


def test_a_users_schema_without_containers(tmp_path: Path) -> None:
    """The same path names the same file where the services are processes."""
    code, run = play(tmp_path, CLIENTS=2, **SETTINGS)

    assert 0 == code, run.text
    assert_the_example_was_logged(run.volumes)


def test_a_preview(tmp_path: Path) -> None:
    """A preview takes the settings that the service would take, shows its records and writes nothing."""
    command = [sys.executable, "-m", "services.server", "preview", "--count", "3", "--json"]
    environ = environment({**SETTINGS, "VOLUMES": tmp_path})
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=True)
    shown, expected = json.loads(done.stdout), FeedGenerator(str(ROOT / EXAMPLE), "de_DE", 42)

    assert (expected.identity, 512) == (shown["feed"], shown["sizes"]["max"])
    assert [json.loads(record) for record in expected.records(1, 3)] == shown["records"]
    assert [] == list(tmp_path.iterdir())
