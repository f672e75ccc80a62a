"""Code, document and compose file have the same settings for external feeds."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from services.runtime.settings import EXTERNAL, Setting
from tests.repo.markdown import rows
from tests.repo.repository import compose, text

INSIDE = {"FEED_AUTHORIZATION_FILE": "/feed/authorization", "FEED_CA_FILE": "/feed/ca.pem"}
"""Files of the host that have a name of their own in the container."""


class _Loader(yaml.SafeLoader):
    """Reads a value with one of Compose's own tags as the value alone."""


def _as_it_stands(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    return loader.construct_sequence(node) if isinstance(node, yaml.SequenceNode) else {}


_Loader.add_constructor("!override", _as_it_stands)


@pytest.mark.parametrize("setting", EXTERNAL, ids=lambda setting: setting.name)
def test_is_documented(setting: Setting) -> None:
    """The document's table has the setting, its default and its meaning as the code has them."""
    table = {row[0]: row[1:] for row in rows(text("docs/guides/external-feeds.md")) if len(row) == 3}
    default = f"`{setting.default}`" if setting.default else ""

    assert [default, setting.meaning] == table[f"`{setting.name}`"]


@pytest.mark.parametrize("setting", EXTERNAL, ids=lambda setting: setting.name)
def test_is_passed_on(setting: Setting) -> None:
    """The compose file for foreign feeds gives the clients every such setting, with its default."""
    found: dict[str, Any] = yaml.load(text("deploy/foreign.yml"), _Loader)
    given = found["services"]["client"]["environment"][setting.name]
    default = "foreign" if setting.name == "FEED" else setting.default
    inside = INSIDE.get(setting.name)

    assert (f"${{{setting.name}:+{inside}}}" if inside else f"${{{setting.name}:-{default}}}") == given


def services() -> dict[str, Any]:
    """Return what the compose file for foreign feeds says of each service."""
    found: dict[str, Any] = yaml.load(text("deploy/foreign.yml"), _Loader)
    return dict(found["services"])


@pytest.mark.parametrize("name", ["client", "collector", "prometheus"])
def test_no_power_is_added(name: str) -> None:
    """A service has other neighbours and other settings than with a feed of ours, and no more power."""
    assert services()[name].keys() <= {"environment", "volumes", "depends_on", "networks", "extra_hosts"}
    assert all(mount["read_only"] for mount in services()[name].get("volumes", []))


def test_the_example_is_hardened_like_all() -> None:
    """The example feed, which only its profile starts, has no more privileges than the services of this project."""
    found, hardened = services()["feed"], compose()["x-hardened"]

    assert ["example"] == found["profiles"]
    assert {name: hardened[name] for name in hardened.keys() & found.keys()} == {
        name: found[name] for name in hardened.keys() & found.keys()
    }
    assert {"read_only", "cap_drop", "security_opt", "init", "pids_limit", "mem_limit"} <= found.keys()
    assert all(mount["read_only"] for mount in found["volumes"])


def test_nothing_waits_for_our_server() -> None:
    """The server of this project is not started, so services that otherwise wait for it do not wait here."""
    waiting = {name for name, found in compose()["services"].items() if "server" in found.get("depends_on", {})}

    assert ["ours"] == services()["server"]["profiles"]
    assert waiting <= services().keys()
    assert not [name for name in waiting if "server" in services()[name]["depends_on"]]


def test_only_clients_reach_out() -> None:
    """Clients and the example are in the network of the feed; the collector has neither network nor address."""
    outside = {name for name, found in services().items() if "outside" in found.get("networks", [])}

    assert {"feed", "client"} == outside
    assert "" == services()["collector"]["environment"]["SERVER_URL"]
