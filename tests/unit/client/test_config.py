"""Tests of the configuration of a client."""

from __future__ import annotations

from pathlib import Path

from tests.unit.client.fakes import client_config


def test_each_client_measures_its_own_process_unless_given() -> None:
    """Two configurations without a common monitor do not share one, and other values keep their defaults."""
    first, second = client_config(Path("logs")), client_config(Path("logs"))

    assert first.saturation is not second.saturation
    assert (0.5, 0.2, 4096) == (first.retry_seconds, first.sync_seconds, first.shared_sync_messages)
