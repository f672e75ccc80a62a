"""A user's schema has the same path in containers as outside, and can be previewed."""

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
    """Assert that two clients logged the records that this process generates from the file."""
    feed = FeedGenerator(str(ROOT / EXAMPLE), "de_DE", 42).records(1, 300)
    for client in ("client-1", "client-2"):
        assert feed == [record_of(message) for message in volumes.messages(client)]


@pytest.mark.containers
def test_a_users_schema_in_containers(tmp_path: Path) -> None:
    """A file in the checkout has the same path in the container, and no image has to be built."""
    with Stack(tmp_path, CLIENTS=2, **SETTINGS) as stack:
        stack.up(clients=2)
        code, output = stack.wait()

        assert 0 == code, output
        assert_the_example_was_logged(stack.volumes)


def test_a_users_schema_without_containers(tmp_path: Path) -> None:
    """The same path works for services as processes."""
    code, run = play(tmp_path, CLIENTS=2, **SETTINGS)

    assert 0 == code, run.text
    assert_the_example_was_logged(run.volumes)


def test_a_preview(tmp_path: Path) -> None:
    """A preview uses the settings of the service, prints its records and writes nothing."""
    command = [sys.executable, "-m", "services.server", "preview", "--count", "3", "--json"]
    environ = environment({**SETTINGS, "VOLUMES": tmp_path})
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=True)
    shown, expected = json.loads(done.stdout), FeedGenerator(str(ROOT / EXAMPLE), "de_DE", 42)

    assert (expected.identity, 512) == (shown["feed"], shown["sizes"]["max"])
    assert [json.loads(record) for record in expected.records(1, 3)] == shown["records"]
    assert [] == list(tmp_path.iterdir())
