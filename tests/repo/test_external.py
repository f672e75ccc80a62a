"""The settings of external feeds are the same in the code, in the guide and in the compose file."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from services.runtime.setting_tables.parsers import Setting
from services.runtime.settings import BY_NAME, EXTERNAL
from tests.repo.markdown import rows
from tests.repo.repository import compose, compose_documents, text

INSIDE = {
    "FEED_AUTHORIZATION_FILE": "/feed/authorization",
    "FEED_CA_FILE": "/feed/ca.pem",
    "FEED_HEADERS_FILE": "/feed/headers",
    "FEED_HELLO_FILE": "/feed/hello",
}
"""Files of the host that are mounted under a fixed name in the container."""


@pytest.mark.parametrize("setting", EXTERNAL, ids=lambda setting: setting.name)
def test_is_documented(setting: Setting) -> None:
    """The guide's table has the setting with the default and the meaning that the code has."""
    table = {row[0]: row[1:] for row in rows(text("docs/guides/external-feeds.md")) if len(row) == 3}
    default = f"`{setting.default}`" if setting.default else ""

    assert [default, setting.meaning] == table[f"`{setting.name}`"]


@pytest.mark.parametrize("setting", EXTERNAL, ids=lambda setting: setting.name)
def test_is_passed_on(setting: Setting) -> None:
    """The compose file passes every such setting to the clients, without a default, which would replace a profile's."""
    given = services()["client"]["environment"][setting.name]
    default = "foreign" if setting.name == "FEED" else ""
    inside = INSIDE.get(setting.name)

    assert (f"${{{setting.name}:+{inside}}}" if inside else f"${{{setting.name}:-{default}}}") == given


@pytest.mark.parametrize("setting", [BY_NAME["SERVER_URL"], *EXTERNAL], ids=lambda setting: setting.name)
def test_key_is_documented(setting: Setting) -> None:
    """The guide's table of keys has every key of a profile, in the row of its table, with the variable."""
    table = {row[0].strip("`*()"): row[1] for row in rows(text("docs/guides/external-feeds.md")) if len(row) == 2}

    for key in filter(None, setting.key.split(", ")):
        outer, _, inner = key.rpartition(".")
        assert f"`{inner}`" in table[outer or "top"], key
        assert f"(`{setting.name}`)" in table[outer or "top"], key


def test_address_is_the_profiles() -> None:
    """The address has no default for an external feed, so that a profile can contain it."""
    assert "${SERVER_URL:-}" == services()["client"]["environment"]["SERVER_URL"]


def test_a_feed_is_refused_where_it_has_no_effect() -> None:
    """FEED reaches the service that refuses it beside the project's own server, and not where clients read it."""
    assert {"FEED": "${FEED:-}"} == compose()["services"]["prepare"]["environment"]
    assert {"environment": {"FEED": ""}} == services()["prepare"]


def test_one_file_judges() -> None:
    """The file for one line of `docker compose` adds the others; its service waits for the verdict of the clients."""
    judge = yaml.safe_load(text("deploy/judge.yml"))
    verdict = services()["verdict"]

    assert [{"path": ["../docker-compose.yml", "foreign.yml"]}] == judge["include"]
    assert compose()["name"] == judge["name"]
    assert ["python", "-m", "services.collector", "wait", "--next", "--clients-elsewhere"] == verdict["command"]
    assert {"command", "environment", "depends_on"} == verdict.keys()
    assert "client" in verdict["depends_on"]
    assert "${CLIENTS:-1}" == services()["client"]["scale"]


def services() -> dict[str, Any]:
    """Return the services of the compose file for external feeds."""
    (found,) = compose_documents("deploy/foreign.yml")
    return dict(found["services"])


@pytest.mark.parametrize("name", ["client", "collector", "prometheus"])
def test_no_permission_is_added(name: str) -> None:
    """A service gets other networks and settings than with the own feed, and no further permissions."""
    assert services()[name].keys() <= {"environment", "volumes", "depends_on", "networks", "extra_hosts", "scale"}
    assert all(mount["read_only"] for mount in services()[name].get("volumes", []))


def test_example_feed_is_hardened() -> None:
    """The example feed, which only its profile starts, has the same restrictions as the services."""
    found, hardened = services()["feed"], compose()["x-hardened"]

    assert ["example"] == found["profiles"]
    assert {name: hardened[name] for name in hardened.keys() & found.keys()} == {
        name: found[name] for name in hardened.keys() & found.keys()
    }
    assert {"read_only", "cap_drop", "security_opt", "init", "deploy"} <= found.keys()
    assert all(mount["read_only"] for mount in found["volumes"])


def test_nothing_waits_for_our_server() -> None:
    """The server is not started, and no service waits for it."""
    waiting = {name for name, found in compose()["services"].items() if "server" in found.get("depends_on", {})}

    assert ["ours"] == services()["server"]["profiles"]
    assert waiting <= services().keys()
    assert not [name for name in waiting if "server" in services()[name]["depends_on"]]


def test_only_clients_reach_out() -> None:
    """Only clients and the example feed are in the network of the feed; the collector has no address of it."""
    outside = {name for name, found in services().items() if "outside" in found.get("networks", [])}

    assert {"feed", "client"} == outside
    assert "" == services()["collector"]["environment"]["SERVER_URL"]
