"""Tests of the server's settings."""

from __future__ import annotations

import contextlib
from dataclasses import fields
from pathlib import Path

import pytest

from services.runtime.errors import BadSettings
from services.server.settings import NAMES, ServerSettings


def test_defaults() -> None:
    """Without an environment the settings have the documented defaults."""
    chosen = ServerSettings.read({})

    assert (200, 6000, 1, 42, "en_US", "person", 1) == (
        *(chosen.rate.rate, chosen.records, chosen.runs, chosen.seed),
        *(chosen.locale, chosen.schema, chosen.min_clients),
    )
    assert isinstance(chosen.volumes, Path)


def test_every_name_is_a_field() -> None:
    """Every variable that is read is a field of the settings."""
    assert [*(name.lower() for name in NAMES), "access"] == [field.name for field in fields(ServerSettings)]


def test_all_mistakes_are_reported_together() -> None:
    """An unknown locale is reported together with all other mistakes."""
    with pytest.raises(BadSettings) as caught:
        ServerSettings.read({"LOCALE": "tlh_QO", "RATE": "fast", "PORT": "0"})

    assert ["LOCALE", "PORT", "RATE"] == sorted(problem.partition("=")[0] for problem in caught.value.problems)


def test_another_locale() -> None:
    """A locale that Faker has is accepted."""
    assert "ja_JP" == ServerSettings.read({"LOCALE": " ja_JP "}).locale


def test_a_schema_is_a_name_or_a_file(tmp_path: Path) -> None:
    """A named schema is accepted, and so is a file whose fields can be drawn in the locale."""
    (tmp_path / "mine.toml").write_text('[fields]\nx = "name"\n', encoding="utf-8")
    source = str(tmp_path / "mine.toml")

    assert ["sensor", source] == [ServerSettings.read({"SCHEMA": name}).schema for name in ("sensor", f" {source} ")]


def test_mistakes_of_a_schema_are_reported_with_the_others(tmp_path: Path) -> None:
    """Mistakes of a schema file, in the chosen locale, are reported together with all other mistakes."""
    (tmp_path / "mine.toml").write_text('[fields]\nx = "nam"\ny = "kana_name"\n', encoding="utf-8")
    with pytest.raises(BadSettings) as caught:
        ServerSettings.read({"SCHEMA": str(tmp_path / "mine.toml"), "LOCALE": "en_PH", "PORT": "0"})

    assert ["PORT='0'", "field x", "field y"] == sorted(
        problem.split(": ")[problem.startswith("SCHEMA")] for problem in caught.value.problems
    )


@pytest.mark.parametrize("name", ["LEDGER", "SOURCE"])
@pytest.mark.parametrize(
    ("address", "exposure", "is_refused"),
    [
        ("nats://nats:4222/x", "", True),
        ("nats://127.0.0.1:4222,192.0.2.1:4222/x", "", True),
        ("nats://nats:4222/x", "internal", False),
        ("nats://nats:4222/x", "INSECURE", False),
        ("tls://nats:4222/x", "", False),
        ("nats://127.0.0.1:4222,[::1]:4222/x", "", False),
    ],
)
def test_a_stream_beyond_this_machine_needs_tls(name: str, address: str, exposure: str, is_refused: bool) -> None:
    """A password and records are not sent to another machine in plain text, unless the operator says so."""
    refusal = pytest.raises(BadSettings, match=rf"(?s){name}: .*tls://.*EXPOSURE")
    with refusal if is_refused else contextlib.nullcontext():
        ServerSettings.read({name: address, "EXPOSURE": exposure})
