"""Prometheus finds every server and collector by the name of its service, in compose and in Swarm."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from services.runtime.settings import BY_NAME
from services.server.secrets_folder import CERTIFICATE
from tests.repo.repository import compose, text

MONITORING = "deploy/monitoring"


def jobs(name: str) -> dict[str, dict[str, Any]]:
    """Return the jobs of a configuration of Prometheus, by name."""
    return {job["job_name"]: job for job in yaml.safe_load(text(f"{MONITORING}/{name}"))["scrape_configs"]}


@pytest.mark.parametrize(("service", "setting"), [("server", "PORT"), ("collector", "PAGE_PORT")])
def test_all_containers_of_a_service_are_targets(service: str, setting: str) -> None:
    """A job asks for all addresses of a service that shares a network with Prometheus, every 5 s."""
    (found,) = jobs("prometheus.yml")[service]["dns_sd_configs"]
    services = compose()["services"]

    assert ([service], "A", int(BY_NAME[setting].default)) == (found["names"], found["type"], found["port"])
    assert set(services[service]["networks"]) & set(services["prometheus"]["networks"])
    assert (
        found["refresh_interval"] == yaml.safe_load(text(f"{MONITORING}/prometheus.yml"))["global"]["scrape_interval"]
    )


def test_no_target_is_a_single_address() -> None:
    """No configuration names an address itself: of several servers only one would be scraped."""
    assert {"server", "collector"} == jobs("prometheus.yml").keys()
    for name in ("prometheus.yml", "prometheus-swarm.yml"):
        assert not [job for job in jobs(name).values() if "static_configs" in job or "dns_sd_configs" not in job]


def test_all_servers_of_a_swarm_are_targets() -> None:
    """In Swarm the job asks for the tasks of the servers, speaks TLS, and shows a token."""
    stack = yaml.safe_load(text("deploy/swarm.yml"))
    (job,) = jobs("prometheus-swarm.yml").values()
    (found,) = job["dns_sd_configs"]
    address = f"{found['names'][0]}:{found['port']}"

    assert f"wss://{address}" == stack["services"]["client"]["environment"]["SERVER_URL"]
    assert ("https", found["names"][0]) == (job["scheme"], job["tls_config"]["server_name"])
    assert job["tls_config"]["ca_file"] == stack["services"]["client"]["environment"]["TLS_CA_FILE"]
    assert CERTIFICATE in stack["secrets"]["certificate"]["file"]
    assert job["authorization"]["credentials_file"].startswith("/run/secrets/")
