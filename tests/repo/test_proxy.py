"""The proxy of the profile `exposed`: its configuration, and its service in the compose file."""

from __future__ import annotations

import re

from tests.repo.repository import compose, text

CADDYFILE = "deploy/proxy/Caddyfile"


def test_is_asked_for() -> None:
    """A plain `up` starts no proxy, and its image is named by version and digest."""
    proxy = compose()["services"]["proxy"]

    assert ["exposed"] == proxy["profiles"]
    assert re.fullmatch(r"caddy:\d+\.\d+\.\d+@sha256:[0-9a-f]{64}", proxy["image"])
    assert "build" not in proxy


def test_may_only_bind_low_ports() -> None:
    """It has the one capability that its program needs, reads its configuration, and keeps certificates in a volume."""
    proxy = compose()["services"]["proxy"]
    mounts = {mount["target"]: mount for mount in proxy["volumes"]}

    assert ["NET_BIND_SERVICE"] == proxy["cap_add"]
    assert {"/etc/caddy/Caddyfile", "/data"} == mounts.keys()
    assert mounts["/etc/caddy/Caddyfile"]["read_only"] is True
    assert f"./{CADDYFILE}" == mounts["/etc/caddy/Caddyfile"]["source"]


def test_forwards_to_services_that_it_reaches() -> None:
    """Every target is a service on a network of the proxy, at the port on which that service listens."""
    services = compose()["services"]
    targets = re.findall(r"reverse_proxy (\w+):(\d+)", text(CADDYFILE))

    assert [("server", "8765"), ("collector", "8766")] == targets
    for name, _ in targets:
        assert set(services["proxy"]["networks"]) & set(services[name]["networks"])


def test_braces_are_balanced() -> None:
    """Every block of the configuration is closed, and no tab or brace is left over."""
    depth = 0
    for line in text(CADDYFILE).splitlines():
        code = line.partition("#")[0].rstrip()
        depth -= code.lstrip().startswith("}")
        assert not code or len(code) - len(code.lstrip("\t")) == depth, line
        depth += code.endswith("{")
    assert 0 == depth
