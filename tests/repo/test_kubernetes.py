"""The Kubernetes manifests render, keep the schemas of Kubernetes, and keep the rules of this project."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.repo.kubernetes_objects import (
    FOLDER,
    SECRET,
    SECRET_KEYS,
    Manifest,
    all_problems,
    containers,
    objects,
    of_kind,
    pods,
    render,
    wheel_program,
)
from tests.repo.repository import text

EVERY_FOLDER = ("base", "overlays/example")
README = "deploy/kubernetes/README.md"

every_folder = pytest.mark.parametrize("folder", EVERY_FOLDER)


def test_every_folder_is_tested() -> None:
    """No Kustomize folder is left out of these tests."""
    assert sorted(EVERY_FOLDER) == sorted(
        path.parent.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("kustomization.yaml")
    )


@every_folder
def test_keeps_the_schemas(folder: str, tmp_path: Path) -> None:
    """Every rendered object keeps the schema of its kind, without unknown fields."""
    file = tmp_path / "rendered.yaml"
    file.write_text(render(folder), encoding="utf-8")
    command = [wheel_program("kubernetes-validate"), "--strict", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert len(objects(folder)) == (done.stdout + done.stderr).count(" passed for resource ")


@every_folder
def test_keeps_the_rules(folder: str) -> None:
    """Pods are restricted, selectors and ports match, variables are settings, images are pinned, peers are limited."""
    assert [] == all_problems(objects(folder))


@every_folder
def test_contains_no_secret(folder: str) -> None:
    """No secret is in the repository: the operator creates the one that the pods mount."""
    assert not of_kind(objects(folder), "Secret")


def first(found: list[Manifest], kind: str, name: str) -> Any:
    """Return the specification of an object."""
    return next(one["spec"] for one in of_kind(found, kind) if one["metadata"]["name"] == name)


def first_container(found: list[Manifest]) -> Any:
    """Return a container of the first pod."""
    return containers(pods(found)[0])[0]


BREAKS: dict[str, Callable[[list[Manifest]], object]] = {
    "a writable root": lambda found: first_container(found)["securityContext"].pop("readOnlyRootFilesystem"),
    "a capability": lambda found: first_container(found)["securityContext"].update(capabilities={"add": ["NET_ADMIN"]}),
    "root": lambda found: pods(found)[1]["spec"]["securityContext"].update(runAsNonRoot=False),
    "no seccomp": lambda found: pods(found)[2]["spec"]["securityContext"].pop("seccompProfile"),
    "a folder of the node": lambda found: pods(found)[0]["spec"]["volumes"].append({"name": "x", "hostPath": {}}),
    "no memory limit": lambda found: first_container(found)["resources"].pop("limits"),
    "no probe": lambda found: first_container(found).pop("livenessProbe"),
    "a selector of nothing": lambda found: first(found, "Service", "server")["selector"].update(x="y"),
    "a selector of all": lambda found: first(found, "Deployment", "server")["selector"].update(matchLabels={}),
    "a port of nothing": lambda found: first(found, "Service", "collector")["ports"][0].update(targetPort="pages"),
    "a port of a policy": lambda found: first(found, "NetworkPolicy", "clients-to-feed")["egress"][0].update(
        ports=[{"port": "fed"}]
    ),
    "a misspelt setting": lambda found: first_container(found)["env"].append({"name": "RATES", "value": "5"}),
    "a bad value": lambda found: of_kind(found, "ConfigMap")[0]["data"].update(RATE="fast"),
    "an unknown name": lambda found: first(found, "StatefulSet", "client")["template"]["spec"]["containers"][0][
        "env"
    ].append({"name": "SERVER_URL", "value": "wss://servers:8765"}),
    "a feed without TLS": lambda found: first(found, "StatefulSet", "client")["template"]["spec"]["containers"][0][
        "env"
    ].append({"name": "SERVER_URL", "value": "ws://server:8765"}),
    "no certificate": lambda found: first_container(found)["env"].remove(
        {"name": "TLS_CERT_FILE", "value": "/secrets/certificate"}
    ),
    "no token": lambda found: first_container(found)["env"].remove(
        {"name": "NODE_TOKEN_FILE", "value": "/secrets/node-token"}
    ),
    "an opt-out": lambda found: first_container(found)["env"].append({"name": "EXPOSURE", "value": "INSECURE"}),
    "a file that is not mounted": lambda found: first_container(found)["env"].append(
        {"name": "TLS_CA_FILE", "value": "/secrets/authority"}
    ),
    "a hidden sidecar": lambda found: first_container(found)["env"].remove({"name": "HOST", "value": "*"}),
    "a moving tag": lambda found: first_container(found).update(image="streamgauge-collector:latest"),
    "no tag": lambda found: first_container(found).update(image="streamgauge-collector"),
    "a mount of nothing": lambda found: first_container(found)["volumeMounts"][0].update(name="nothing"),
    "another secret": lambda found: pods(found)[0]["spec"]["volumes"][-1]["secret"].update(secretName="mine"),
    "no default": lambda found: found.remove(
        next(one for one in found if one["metadata"]["name"] == "nothing")
    ),
    "a feed for all": lambda found: first(found, "NetworkPolicy", "feed-from-clients")["ingress"][0].pop("from"),
    "a feed for all ports": lambda found: first(found, "NetworkPolicy", "page-from-operator")["ingress"][0].update(
        ports=[{"port": "page"}, {"port": "evidence"}]
    ),
    "a way out": lambda found: first(found, "NetworkPolicy", "names")["egress"].append({"to": [{}], "ports": []}),
    "no budget": lambda found: found.remove(of_kind(found, "PodDisruptionBudget")[0]),
}  # fmt: skip


@pytest.mark.parametrize("broken", BREAKS)
def test_rule_finds(broken: str) -> None:
    """Each rule finds an object that breaks it."""
    found = objects("overlays/example")
    BREAKS[broken](found)

    assert all_problems(found)


def test_servers_share_a_start() -> None:
    """The overlay sets START_AT, without which servers with folders of their own play a run each."""
    (settings,) = of_kind(objects("overlays/example"), "ConfigMap")

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", settings["data"]["START_AT"])
    assert first(objects("overlays/example"), "Deployment", "server")["strategy"] == {"type": "Recreate"}


def test_all_clients_are_expected() -> None:
    """CLIENTS is the number of pods times CONNECTIONS, since a client that never comes is in no log."""
    for folder in EVERY_FOLDER:
        (settings,) = of_kind(objects(folder), "ConfigMap")
        replicas = first(objects(folder), "StatefulSet", "client")["replicas"]

        assert int(settings["data"]["CLIENTS"]) == replicas * int(settings["data"]["CONNECTIONS"])


def test_readme_creates_the_secret() -> None:
    """The README has the command that creates the secret with each key that the pods mount."""
    command = next(line for line in text(README).splitlines() if "create secret generic" in line)

    assert f"generic {SECRET} " in command
    assert SECRET_KEYS == set(re.findall(r"--from-(?:literal|file)=([\w-]+)", command))


def test_readme_names_what_was_not_tried() -> None:
    """The README says that no cluster has run these manifests."""
    assert "**No cluster was used.**" in text(README)
