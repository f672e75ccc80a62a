"""Tests of filling pools of Faker values and of validating fields."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.server.feed.faker_pools import POOL, fill_pools, validate
from services.server.feed.record_schema import NAMED, BadSchema, Field, Schema, load
from tests.repo.repository import ROOT


def schema(**fields: Any) -> Schema:
    """Return a schema of these fields, each a provider or a provider and its arguments."""
    drawn = {name: field if isinstance(field, tuple) else (field, {}) for name, field in fields.items()}
    return Schema("mine.toml", "mine", tuple((Field(name, *field),) for name, field in drawn.items()), None)


def values(provider: str, **arguments: Any) -> list[Any]:
    """Return the values of a pool, decoded from JSON."""
    made = schema(x=(provider, arguments))
    validate(made, "en_US")
    return [json.loads(b"{" + piece + b"}")["x"] for piece in fill_pools(made, "en_US", 42)[0]]


def problem(provider: str, **arguments: Any) -> str:
    """Return the reason why a field cannot be drawn."""
    with pytest.raises(BadSchema) as caught:
        validate(schema(x=(provider, arguments)), "en_US")
    (found,) = caught.value.problems
    return found


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize(
    "locale", ["en_US", "de_DE", "fr_FR", "es_ES", "pt_BR", "el_GR", "ar_EG", "hi_IN", "ja_JP", "zh_CN"]
)
def test_named_schemas_are_valid_in_many_locales(name: str, locale: str) -> None:
    """Named schemas can be drawn in locales of many scripts."""
    validate(load(name), locale)


def test_a_locale_that_lacks_a_provider() -> None:
    """A schema is refused in a locale that lacks one of its providers, also while the pools are filled."""
    mine = Schema("mine.toml", "mine", ((Field("tax", "ssn", {}),), (Field("kana", "kana_name", {}),)), None)

    with pytest.raises(BadSchema, match="field kana: Faker has no provider 'kana_name' in locale en_PH"):
        fill_pools(mine, "en_PH", 42)


def test_the_example_is_valid() -> None:
    """The example file that users copy is a valid schema."""
    validate(load(str(ROOT / "schemas" / "example.toml")), "en_US")


def test_a_pool_for_each_group() -> None:
    """Each group of fields has one pool, of the specified size, that depends on the seed alone."""
    pools = fill_pools(load("person"), "en_US", 42)

    assert [POOL] * 4 == [len(pool) for pool in pools]
    assert {"job", "company"} == json.loads(b"{" + pools[1][7] + b"}").keys()
    assert pools == fill_pools(load("person"), "en_US", 42)
    assert pools != fill_pools(load("person"), "en_US", 43)


@pytest.mark.parametrize(
    ("provider", "arguments", "kind"),
    [
        ("pydecimal", {"left_digits": 3, "right_digits": 2}, float),
        ("pyint", {}, int),
        ("pybool", {}, bool),
        ("uuid4", {"cast_to": None}, str),
        ("pytimezone", {}, str),
        ("binary", {"length": 6}, str),
        ("latlng", {}, list),
        ("words", {}, list),
        ("pyset", {"value_types": ["str", "int"], "allowed_types": None}, list),
        ("pydict", {"value_types": ["str", "int"]}, dict),
    ],
)
def test_values_become_json(provider: str, arguments: dict[str, Any], kind: type) -> None:
    """Values of types that JSON lacks become numbers, strings, lists or objects."""
    assert {kind} == {type(value) for value in values(provider, **arguments)}


def test_dates_become_text() -> None:
    """Dates become text in the format of RFC 3339."""
    day = load(str(ROOT / "schemas" / "example.toml")).groups[3][0].arguments["start_date"]

    assert {"2026-01-01"} == set(values("date_between", start_date=day, end_date=day))


@pytest.mark.parametrize(
    ("provider", "arguments", "expected"),
    [
        ("pydecimals", {}, "Faker has no provider 'pydecimals' in locale en_US; did you mean pydecimal?"),
        ("seed_instance", {}, "Faker has no provider 'seed_instance'"),
        ("add_provider", {}, "Faker has no provider 'add_provider'"),
        ("__class__", {}, "Faker has no provider '__class__'"),
        ("generator", {}, "Faker has no provider 'generator'"),
        ("random", {}, "Faker has no provider 'random'"),
        ("pydecimal", {"left_digit": 3}, "pydecimal does not take 'left_digit'; did you mean left_digits?"),
        ("am_pm", {"zone": 3}, "am_pm does not take 'zone'; it takes nothing"),
        ("pydecimal", {"left_digits": -3}, "pydecimal fails: "),
        ("random_element", {"elements": {"a": 0.5}}, "random_element fails: Use OrderedDict"),
        ("pyint", {"min_value": 5, "max_value": 1}, "pyint fails: "),
        ("json_bytes", {"data_columns": 5}, "json_bytes fails: "),
        ("past_date", {}, "past_date depends on today's date, so the same settings would"),
        ("date_time", {}, "date_time depends on today's date"),
        ("credit_card_expire", {}, "credit_card_expire depends on today's date"),
        ("date_between", {"end_date": "today"}, "date_between depends on today's date"),
        ("bothify", {"text": "x" * 66_000}, "bothify gives 66002 bytes; a record has at most 65536"),
    ],
)
def test_a_field_that_cannot_be_drawn(provider: str, arguments: dict[str, Any], expected: str) -> None:
    """A field that cannot be drawn, or not reproducibly, is refused with a reason of one line."""
    found = problem(provider, **arguments)

    assert f"SCHEMA='mine.toml': field x: {expected}" in found
    assert "\n" not in found


def test_a_provider_without_seed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider whose values do not depend on the seed alone is refused."""
    drawn = iter(range(10**6))
    monkeypatch.setattr("faker.providers.python.Provider.pyint", lambda self: next(drawn))

    assert "pyint does not give the same values again for the same seed" in problem("pyint")


def test_all_fields_are_reported_together() -> None:
    """One error names every field that cannot be drawn."""
    with pytest.raises(BadSchema) as caught:
        validate(schema(a="nam", b="name", c=("name", {"of": 1})), "en_US")

    assert ["field a", "field c"] == [found.split(": ")[1] for found in caught.value.problems]


def test_a_provider_that_fails_late_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A provider that fails only after many values is reported while the pools are filled."""
    calls = iter(range(10**6))
    monkeypatch.setattr("faker.providers.python.Provider.pyint", lambda self: 1 // (next(calls) != 999))

    with pytest.raises(
        BadSchema, match=r"SCHEMA='mine.toml': field x: pyint fails: integer division or modulo by zero"
    ):
        fill_pools(schema(x="pyint"), "en_US", 1)
