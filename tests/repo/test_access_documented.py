"""The settings of services that other machines reach are the same in the code, the guide, compose and the services."""

from __future__ import annotations

import pytest

from services.client import settings as client_settings
from services.collector import settings as collector_settings
from services.runtime.access import listen_rules
from services.runtime.setting_tables.parsers import Setting
from services.runtime.settings import ACCESS, BY_NAME
from tests.repo.markdown import plain, rows
from tests.repo.repository import SERVICES, environment, text

FIXED_IN_COMPOSE = {"EXPOSURE": "internal"}
"""Settings that compose sets itself, and their values."""

READ_BY = {
    "server": set(listen_rules.NAMES),
    "client": set(client_settings.ACCESS_NAMES),
    "collector": {*listen_rules.NAMES, *collector_settings.ACCESS_NAMES},
}

every_setting = pytest.mark.parametrize("setting", ACCESS, ids=lambda setting: setting.name)


@every_setting
def test_is_documented(setting: Setting) -> None:
    """The guide's table has the setting with default, services and meaning of the code."""
    table = {plain(row[0]): row[1:] for row in rows(text("docs/guides/exposed.md")) if len(row) == 4}

    assert ["*(none)*", setting.services, setting.meaning] == table[setting.name]


@every_setting
def test_is_in_compose(setting: Setting) -> None:
    """The compose file passes the setting to the services that read it, and to no other."""
    expected = FIXED_IN_COMPOSE.get(setting.name, f"${{{setting.name}:-}}")
    passed_on = {service: environment(service).get(setting.name) for service in SERVICES}
    given = {service: value for service, value in passed_on.items() if value is not None}

    assert dict.fromkeys(setting.services.split(", "), expected) == given


@pytest.mark.parametrize("service", SERVICES)
def test_table_names_the_reading_services(service: str) -> None:
    """The table names for each setting exactly the services that read it."""
    assert READ_BY[service] == {setting.name for setting in ACCESS if service in setting.services.split(", ")}


def test_guide_names_no_other() -> None:
    """The guide's table has no setting that the code does not have."""
    named = {plain(row[0]) for row in rows(text("docs/guides/exposed.md")) if len(row) == 4}

    assert not {name for name in named if name.isupper()} - BY_NAME.keys()
