"""Tests of the server's settings."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from services.runtime.errors import BadSettings
from services.server.settings import NAMES, ServerSettings


def test_defaults() -> None:
    """Without an environment the settings are those of the main job."""
    chosen = ServerSettings.read({})

    assert (200, 6000, 1, 42, "en_US", "person", 1) == (
        *(chosen.rate.rate, chosen.records, chosen.runs, chosen.seed),
        *(chosen.locale, chosen.schema, chosen.clients),
    )
    assert isinstance(chosen.volumes, Path)


def test_every_name_is_a_field() -> None:
    """What is read from the environment is what the settings hold."""
    assert [name.lower() for name in NAMES] == [field.name for field in fields(ServerSettings)]


def test_all_mistakes_are_reported_together() -> None:
    """A locale that Faker does not have is reported with all other mistakes."""
    with pytest.raises(BadSettings) as caught:
        ServerSettings.read({"LOCALE": "tlh_QO", "RATE": "fast", "PORT": "0"})

    assert ["LOCALE", "PORT", "RATE"] == sorted(problem.partition("=")[0] for problem in caught.value.problems)


def test_another_locale() -> None:
    """A locale that Faker has is taken."""
    assert "ja_JP" == ServerSettings.read({"LOCALE": " ja_JP "}).locale
