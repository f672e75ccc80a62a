"""The settings are the same in the code's table, in docs/settings.md, in the compose file and in the services."""

from __future__ import annotations

import importlib
import re

import pytest

from services.runtime.setting_tables.parsers import Setting
from services.runtime.settings import BY_NAME, SETTINGS
from tests.repo.markdown import plain, rows
from tests.repo.repository import SERVICES, environment, stages, text

NOT_IN_COMPOSE = {
    "PORT": "no other process of the container uses ports; SERVER_URL and the health check have the default",
    "SERVERS": "each server has a container of its own: --scale server=3",
    "CLIENT_ID": "it would be the same for all replicas; each finds its name by reverse DNS",
    "HOLD_SECONDS": "the images set it, so that it applies to every way of starting them",
    "HEARTBEAT": "the images set it, beside the probe that reads it",
    "VOLUMES": "the images set it; in the compose file it names the host's folder, and podman-compose confuses the two",
}
"""Settings that the compose file does not pass on, and why."""

FIXED_IN_COMPOSE = {
    "HOST": "*",
    "CLIENT_SERVICE": "client",
    "PAGE_HOST": "0.0.0.0",
    "PAGE_PORT": "8766",  # of the container; the variable names the port of the host
    "PAGE_PUBLISHED": "${PAGE_PORT:-8766}",
}
"""Settings with another meaning inside a container than outside, and their values inside."""

every_setting = pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)


def services_of(setting: Setting) -> set[str]:
    """Return the services that read a setting."""
    return set(SERVICES) if setting.services == "all" else {*setting.services.split(", ")}


@every_setting
def test_is_in_the_settings_page(setting: Setting) -> None:
    """The page has the setting with its default, its service and a meaning."""
    table = {plain(row[0]): row for row in rows(text("docs/settings.md")) if len(row) == 4}
    default = f"`{setting.default}`" if setting.default else ""
    line = f"| `{setting.name}` | {default} | {setting.services} | {setting.meaning} |"

    assert setting.name in table, f"docs/settings.md lacks: {line}"
    _, shown, of, meaning = table[setting.name]
    assert setting.default == ("" if plain(shown) in ("none", "empty", "–", "—") else plain(shown)), line
    assert setting.services == of, line
    assert meaning, line


def test_page_has_no_other() -> None:
    """The page names no setting that the code does not have."""
    named = {plain(row[0]) for row in rows(text("docs/settings.md")) if len(row) == 4 and row[0].startswith("`")}

    assert not {name for name in named if name.isupper()} - BY_NAME.keys()


@every_setting
def test_is_in_compose(setting: Setting) -> None:
    """The compose file passes the setting to the services that read it, with the same default, and to no other."""
    given = {service for service in SERVICES if setting.name in environment(service)}
    expected = FIXED_IN_COMPOSE.get(setting.name, f"${{{setting.name}:-{setting.default}}}")

    if setting.name in NOT_IN_COMPOSE:
        assert not given
    else:
        assert services_of(setting) == given
        assert {expected} == {environment(service)[setting.name] for service in given}


@pytest.mark.parametrize("service", ["prepare", *SERVICES, "verdict"])
def test_compose_has_no_other(service: str) -> None:
    """Every variable that the compose file sets is a setting."""
    assert not environment(service).keys() - BY_NAME.keys()


def test_compose_reads_no_other() -> None:
    """Every variable that the compose file reads is a setting, or belongs to an image or a port of other software."""
    read = set(re.findall(r"\$\{([A-Z_]+)", text("docker-compose.yml")))

    assert not read - BY_NAME.keys() - {"PYTHON_IMAGE", "REVISION", "SERVER_DEPS", "PROMETHEUS_PORT", "GRAFANA_PORT"}


def test_compose_passes_on_what_is_fixed_inside() -> None:
    """Folder and port of the host are read from the variables that have fixed values inside."""
    found = text("docker-compose.yml")

    assert "${VOLUMES:-./volumes}" in found
    assert f"127.0.0.1:${{PAGE_PORT:-{BY_NAME['PAGE_PORT'].default}}}:{FIXED_IN_COMPOSE['PAGE_PORT']}" in found


@pytest.mark.parametrize("name", ["HOLD_SECONDS", "HEARTBEAT", "VOLUMES"])
@pytest.mark.parametrize("dockerfile", ["Dockerfile.server", "Dockerfile.client"])
def test_images_set_valid_values(dockerfile: str, name: str) -> None:
    """The images set a value that the setting accepts."""
    found = re.search(rf"\b{name}=(\S+)", stages(dockerfile)["base"].last("ENV") or "")

    assert found is not None
    assert BY_NAME[name].read(found[1])


@pytest.mark.parametrize("service", SERVICES)
def test_table_names_the_reading_services(service: str) -> None:
    """The table names for each setting exactly the services whose settings module reads it."""
    read = set(importlib.import_module(f"services.{service}.settings").NAMES)
    theirs = {setting.name for setting in SETTINGS if service in services_of(setting)}

    # The runtime reads these two in every process, before and beside the service's settings.
    assert read == theirs - {"HOLD_SECONDS", "HEARTBEAT"}
