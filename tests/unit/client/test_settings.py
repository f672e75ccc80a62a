"""Tests of the client's settings."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from services.client.settings import NAMES, ClientSettings
from services.contract.blocklog import MAX_BLOCK, MAX_LINE
from services.runtime.errors import BadSettings
from tests.unit.client.fakes import client_config


def test_defaults() -> None:
    """Without an environment the settings have their defaults."""
    chosen = ClientSettings.read({})

    assert ((10, 25, 50, 100, 250), 5, 2**20, "block", 1, "", "ws://server:8765") == (
        *(chosen.block_sizes, chosen.block_seconds, chosen.block_bytes, chosen.fsync),
        *(chosen.connections, chosen.client_id, chosen.server_url),
    )
    assert isinstance(chosen.volumes, Path)


def test_every_name_is_a_field() -> None:
    """The settings have a field for every name that is read from the environment."""
    assert [*(name.lower() for name in NAMES), "feed", "token_file", "ca_file"] == [
        field.name for field in fields(ClientSettings)
    ]


def test_all_mistakes_are_reported_together() -> None:
    """Every malformed value is in one report."""
    with pytest.raises(BadSettings) as caught:
        ClientSettings.read({"FSYNC": "never", "CLIENT_ID": "../x", "SERVER_URL": "http://server"})

    assert ["CLIENT_ID", "FSYNC", "SERVER_URL"] == sorted(it.partition("=")[0] for it in caught.value.problems)


def test_names_with_numbers_have_to_fit() -> None:
    """A name that is too long once connections are numbered is refused at once, not by the server."""
    assert "c" * 63 == ClientSettings.read({"CLIENT_ID": "c" * 63}).client_id

    with pytest.raises(BadSettings, match="too long for CONNECTIONS=2"):
        ClientSettings.read({"CLIENT_ID": "c" * 63, "CONNECTIONS": "2"})


def test_settings_that_make_no_line_too_long_are_taken() -> None:
    """The defaults, the largest blocks of small records, and the defaults of an external feed are accepted."""
    ClientSettings.read({"BLOCK_SIZES": str(MAX_BLOCK)})
    ClientSettings.read({"BLOCK_BYTES": str(16 * 2**20)})
    ClientSettings.read({"FEED_SEQ": "$.seq", "BLOCK_SIZES": str(MAX_BLOCK), "BLOCK_BYTES": str(8 * 2**20)})
    ClientSettings.read({"FEED_SEQ": "$.seq", "FEED_KEY": "$.key", "FEED_MAX_BYTES": str(16 * 2**20)})


@pytest.mark.parametrize(
    "environment",
    [
        {"BLOCK_BYTES": str(2**30)},
        {"BLOCK_BYTES": str(16 * 2**20), "BLOCK_SIZES": str(MAX_BLOCK)},
        {"FEED_SEQ": "$.seq", "FEED_MAX_BYTES": str(2**28)},
        {"FEED_SEQ": "$.seq", "FEED_KEY": "$.key", "BLOCK_SIZES": str(MAX_BLOCK)},
        {"FEED_SEQ": "$.u", "FEED_FIRST": "$.U", "BLOCK_SIZES": str(MAX_BLOCK), "BLOCK_BYTES": str(8 * 2**20)},
    ],
)
def test_settings_that_could_make_a_line_too_long_are_refused(environment: dict[str, str]) -> None:
    """Settings under which a block's line could be longer than the collector accepts are refused."""
    with pytest.raises(BadSettings, match=f"a line has at most {MAX_LINE:,}: lower"):
        ClientSettings.read(environment)


def test_each_client_measures_its_own_process_unless_given() -> None:
    """Two configurations without a common monitor do not share one, and other values keep their defaults."""
    first, second = client_config(Path("logs")), client_config(Path("logs"))

    assert first.saturation is not second.saturation
    assert first.budget is not second.budget
    assert (0.5, 0.2) == (first.retry_seconds, first.sync_seconds)


@pytest.mark.parametrize(
    ("url", "project", "expected"),
    [
        ("ws://127.0.0.1:9000/x?token=secret", "shop", "ws://127.0.0.1:9000/x"),
        ("ws://localhost:9000", "shop", "ws://localhost:9000"),
        ("ws://[::1]:9000", "shop", "ws://[::1]:9000"),
        ("ws://host.docker.internal:9000", "shop", None),
        ("ws://127.0.0.1:9000", "", None),
    ],
)
def test_loopback_in_a_container_is_the_container(url: str, project: str, expected: str | None) -> None:
    """A feed on the host's 127.0.0.1 cannot be reached from a container of compose; the warning has no secret."""
    settings = ClientSettings.read({"SERVER_URL": url, "FEED": "foreign", "COMPOSE_PROJECT_NAME": project})

    assert expected == settings.unreachable_address
