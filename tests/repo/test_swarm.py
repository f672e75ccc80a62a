"""The stack file for Docker Swarm: settings exist, nothing moves, secrets are used, no file of a host is needed."""

from __future__ import annotations

import importlib
import re
from typing import Any

import pytest
import yaml

from chaos.scale import swarm
from services import __version__
from services.runtime.setting_tables import access_settings
from services.runtime.settings import BY_NAME
from services.server.secrets_folder import CERTIFICATE, CLIENT_FOLDER, KEY, NODE_TOKEN, TOKENS
from tests.repo.kubernetes_objects import IMAGES
from tests.repo.markdown import commands, sections
from tests.repo.repository import text

FILE, GUIDE = "deploy/swarm.yml", "docs/guides/swarm.md"
STACK: dict[str, Any] = yaml.safe_load(text(FILE))
NAMES = ("server", "client", "node", "collector")
MADE = (NODE_TOKEN, TOKENS, CERTIFICATE, KEY, f"{CLIENT_FOLDER}/{TOKENS}")
"""The files that the first command of the guide makes."""
OF_STACK = {"IMAGES"}
"""Variables of the file that are no settings."""

every_service = pytest.mark.parametrize("name", NAMES)


def service(name: str) -> dict[str, Any]:
    """Return a service of the stack."""
    found: dict[str, Any] = STACK["services"][name]
    return found


def test_every_service_is_tested() -> None:
    """No service is left out of these tests."""
    assert list(NAMES) == list(STACK["services"])


@every_service
def test_is_hardened(name: str) -> None:
    """Every container has a read-only root, no capability, a bounded log, and limits of memory and processes."""
    found = service(name)

    assert (True, ["ALL"], True) == (found["read_only"], found["cap_drop"], found["init"])
    assert {"memory", "pids"} == found["deploy"]["resources"]["limits"].keys()
    assert {"max-size", "max-file"} == found["logging"]["options"].keys()
    assert not found.keys() & {"user", "privileged", "cap_add", "ports", "build", "depends_on", "restart"}


@every_service
def test_image_is_pinned(name: str) -> None:
    """Every image is one of this repository, in this version, with a prefix of the operator's choice."""
    assert service(name)["image"] in {f"${{IMAGES:-}}{image}:{__version__}" for image in IMAGES}


@every_service
def test_is_found_by_its_tasks(name: str) -> None:
    """No address is virtual, tasks start again, and an update never has two tasks in the place of one."""
    deploy = service(name)["deploy"]

    assert "dnsrr" == deploy["endpoint_mode"]
    assert "any" == deploy["restart_policy"]["condition"]
    assert {"stop-first"} == {deploy[one]["order"] for one in ("update_config", "rollback_config")}


@every_service
def test_variables_are_settings(name: str) -> None:
    """Every variable is a setting of its service with a valid value, and a default is that of the setting."""
    for variable, value in service(name)["environment"].items():
        assert variable in BY_NAME
        default = re.fullmatch(r"\$\{(\w+):-(.*)\}", str(value))
        if default is not None:
            assert (variable, BY_NAME[variable].default) == default.groups()
        elif not re.search(r"\$\{|\{\{", str(value)):
            BY_NAME[variable].read(str(value))
    if name in ("server", "client"):
        read = set(importlib.import_module(f"services.{name}.settings").NAMES)
        of_access = {setting.name for setting in access_settings.SETTINGS}
        assert not service(name)["environment"].keys() - read - of_access


def test_reads_no_other_variable() -> None:
    """Every variable that the file reads is a setting, or the prefix of the images."""
    assert not set(re.findall(r"\$\{([A-Z_]+)", text(FILE))) - BY_NAME.keys() - OF_STACK


@every_service
def test_needs_no_file_of_a_host(name: str) -> None:
    """Every mount is a volume of the stack or memory, and /tmp is memory."""
    mounts = service(name)["volumes"]

    assert {"volume", "tmpfs"} == {mount["type"] for mount in mounts}
    assert ["/tmp"] == [mount["target"] for mount in mounts if mount["type"] == "tmpfs"]
    assert {mount["source"] for mount in mounts if mount["type"] == "volume"} <= STACK["volumes"].keys()


def test_nothing_moves_away_from_its_files() -> None:
    """Clients and the services that hand out evidence are on every node and named by it; the root is on a manager."""
    assert {"global"} == {service(name)["deploy"]["mode"] for name in ("client", "node")}
    assert "{{.Node.Hostname}}" == service("client")["environment"]["CLIENT_ID"] == service("node")["hostname"]
    assert ["node.role == manager"] == service("collector")["deploy"]["placement"]["constraints"]
    assert {"max_replicas_per_node": 1} == service("server")["deploy"]["placement"]


def test_evidence_is_read_only() -> None:
    """What servers and clients write is handed out by a service that can only read it, with the same volumes."""
    written = {mount["source"]: mount["target"] for name in NAMES[:2] for mount in service(name)["volumes"][1:]}
    mounts = [mount for mount in service("node")["volumes"] if mount["type"] == "volume"]

    assert written == {mount["source"]: mount["target"] for mount in mounts}
    assert all(mount["read_only"] for mount in mounts)


def test_names_are_those_of_services() -> None:
    """The collector finds every node, and every client a server, by the tasks of a service of this stack."""
    collector, node = service("collector")["environment"], service("node")["environment"]

    assert ("https://tasks.node", node["NODE_PORT"]) == (collector["NODES"], collector["NODE_PORT"])
    port = BY_NAME["PORT"].default
    assert {f"wss://tasks.server:{port}"} == {service(n)["environment"]["SERVER_URL"] for n in ("client", "collector")}
    assert "*" == node["HOST"]


def test_every_secret_is_used() -> None:
    """Each service has exactly the secrets that its settings name, and `token` makes the files of all of them."""
    used = set()
    for name in NAMES:
        given = {secret["source"] for secret in service(name)["secrets"]}
        named = {value for variable, value in service(name)["environment"].items() if variable.endswith("_FILE")}
        assert named == {f"/run/secrets/{source}" for source in given}
        assert {secret["target"] for secret in service(name)["secrets"]} == given
        used |= given
    assert used == STACK["secrets"].keys()
    for secret in STACK["secrets"].values():
        assert secret["file"].removeprefix("../secrets/") in MADE


def test_what_is_read_on_its_way_is_encrypted() -> None:
    """Services that listen have a certificate for the name by which others reach them, and a token."""
    (made,) = [command for command in commands(text(GUIDE)) if "services.server token" in command]
    for name, token in (("server", "FEED_TOKEN_FILE"), ("node", "NODE_TOKEN_FILE")):
        assert {"TLS_CERT_FILE", "TLS_KEY_FILE", token} <= service(name)["environment"].keys()
        assert f"--host tasks.{name}" in made
    assert not any("EXPOSURE" in service(name)["environment"] for name in NAMES)


def test_network_is_closed() -> None:
    """All services are in one network without a way out, and no port is published."""
    assert [["wire"]] * 4 == [service(name)["networks"] for name in NAMES]
    assert STACK["networks"]["wire"]["internal"] is True


def test_a_sidecar_is_in_the_name_service_at_once() -> None:
    """Nodes have no health check, since the name service lists healthy tasks only; servers have one for that reason."""
    assert {"disable": True} == service("node")["healthcheck"] == service("client")["healthcheck"]
    assert "disable" not in service("server")["healthcheck"]


def test_no_message_of_a_required_variable_has_a_sign_of_a_default() -> None:
    """An engine of version 20 takes what follows a hyphen in such a message for the default of the variable."""
    messages = re.findall(r"\$\{\w+:\?([^}]*)\}", text(FILE))

    assert 2 == len(messages)
    assert not [message for message in messages if re.search(r"[-:?]", message)]


def test_guide_sets_what_is_required() -> None:
    """The guide plays a run with four commands: secrets, deploy with what the file requires, wait, remove."""
    required = re.findall(r"\$\{(\w+):\?", text(FILE))
    secrets, deploy, wait, remove = swarm.commands()

    assert [secrets, deploy, wait, remove] == commands(sections(text(GUIDE))["A run"])
    assert " --node " in secrets
    assert all(f"{name}=" in deploy for name in required)
    assert f"docker stack deploy -c {FILE} " in deploy
    assert wait.endswith("services.collector wait")
    assert "docker stack rm streamgauge" == remove
