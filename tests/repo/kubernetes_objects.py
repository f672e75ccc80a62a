"""The Kubernetes objects as kubectl renders them, and the rules that they have to keep."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from services import __version__
from services.runtime.settings import BY_NAME
from tests.repo.repository import ROOT

Manifest = dict[str, Any]
"""One Kubernetes object."""

FOLDER = ROOT / "deploy/kubernetes"
SECRET, SECRET_KEYS = "streamgauge", {"node-token", "tokens", "client-tokens", "certificate", "key"}
"""What the README has the operator create."""
IMAGES = ("streamgauge-server", "streamgauge-client", "streamgauge-collector")


def wheel_program(name: str) -> str:
    """Return the path of a program that a wheel has installed; without it a test is skipped, and fails in CI."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None and os.environ.get("CI"):
        pytest.fail(f"CI has no {name}: `make test` installs requirements/kubernetes.txt there", pytrace=False)
    if found is None:
        pytest.skip(f"no {name} here; `make .venv/.kubernetes` installs it")
    return found


@functools.cache
def render(folder: str) -> str:
    """Return the YAML that kubectl makes of a Kustomize folder; no cluster is contacted."""
    command = [wheel_program("kubectl"), "kustomize", str(FOLDER / folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def objects(folder: str) -> list[Manifest]:
    """Return the objects of a Kustomize folder, each of them new."""
    return list(yaml.safe_load_all(render(folder)))


def of_kind(found: list[Manifest], *kinds: str) -> list[Manifest]:
    """Return the objects of some kinds."""
    return [one for one in found if one["kind"] in kinds]


def pods(found: list[Manifest]) -> list[Manifest]:
    """Return the pod templates of all workloads."""
    return [one["spec"]["template"] for one in of_kind(found, "Deployment", "StatefulSet")]


def containers(pod: Manifest) -> list[Manifest]:
    """Return all containers of a pod, those that start first included."""
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def selects(selector: Manifest, pod: Manifest) -> bool:
    """Return whether a selector of labels selects a pod."""
    labels: dict[str, str] = selector.get("matchLabels", {}) if "matchLabels" in selector or not selector else selector
    of_pod: dict[str, str] = pod["metadata"]["labels"]
    return labels.items() <= of_pod.items()


def all_problems(found: list[Manifest]) -> list[str]:
    """Return what breaks a rule, one line each."""
    rules = (
        restriction_problems,
        selector_problems,
        port_problems,
        setting_problems,
        access_problems,
        image_problems,
        volume_problems,
        network_problems,
        disruption_problems,
    )
    return [problem for rule in rules for problem in rule(found)]


def restriction_problems(found: list[Manifest]) -> Iterator[str]:
    """Every pod keeps the profile `restricted`, and has a read-only root, limits and no access to the API server."""
    for pod in pods(found):
        spec, context = pod["spec"], pod["spec"].get("securityContext", {})
        of_pod = {
            "runAsNonRoot": context.get("runAsNonRoot") is True,
            "runAsUser": context.get("runAsUser", 0) > 0,
            "seccompProfile": context.get("seccompProfile") == {"type": "RuntimeDefault"},
            "automountServiceAccountToken": spec.get("automountServiceAccountToken") is False,
            "enableServiceLinks": spec.get("enableServiceLinks") is False,
            "host namespaces": not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"},
            "volumes": not any("hostPath" in volume for volume in spec.get("volumes", [])),
        }
        yield from (f"{pod['metadata']['labels']}: {name}" for name, is_kept in of_pod.items() if not is_kept)
        for container in containers(pod):
            context, resources = container.get("securityContext", {}), container.get("resources", {})
            of_container = {
                "allowPrivilegeEscalation": context.get("allowPrivilegeEscalation") is False,
                "readOnlyRootFilesystem": context.get("readOnlyRootFilesystem") is True,
                "capabilities": context.get("capabilities") == {"drop": ["ALL"]},
                "privileged": not context.keys() & {"privileged", "runAsUser", "runAsNonRoot", "seccompProfile"},
                "requests": resources.get("requests", {}).keys() == {"cpu", "memory"},
                # A limit of processor time throttles, which the collector reports as a disturbed measurement.
                "limits": resources.get("limits", {}).keys() == {"memory"},
                "ports of the host": not any("hostPort" in port for port in container.get("ports", [])),
                "a probe": bool(container.keys() & {"readinessProbe", "livenessProbe"}),
            }
            yield from (f"{container['name']}: {name}" for name, is_kept in of_container.items() if not is_kept)


def selector_problems(found: list[Manifest]) -> Iterator[str]:
    """Every selector selects a pod, a workload selects its own, and each StatefulSet has its service."""
    known = pods(found)
    services = {one["metadata"]["name"] for one in of_kind(found, "Service")}
    for one in of_kind(found, "StatefulSet"):
        if one["spec"]["serviceName"] not in services:
            yield f"{one['metadata']['name']}: no service {one['spec']['serviceName']}"
    for one in of_kind(found, "Service", "PodDisruptionBudget"):
        if not any(selects(one["spec"]["selector"], pod) for pod in known):
            yield f"{one['kind']} {one['metadata']['name']} selects no pod"
    for one in of_kind(found, "Deployment", "StatefulSet"):
        if [pod for pod in known if selects(one["spec"]["selector"], pod)] != [one["spec"]["template"]]:
            yield f"{one['metadata']['name']} does not select exactly its own pods"
    for policy in of_kind(found, "NetworkPolicy"):
        peers = [peer for rule in rules_of(policy) for peer in rule.get("from", []) + rule.get("to", [])]
        inside = [peer["podSelector"] for peer in peers if peer.keys() == {"podSelector"}]
        for selector in [policy["spec"]["podSelector"], *inside]:
            if not any(selects(selector, pod) for pod in known):
                yield f"NetworkPolicy {policy['metadata']['name']}: {selector} selects no pod"


def rules_of(policy: Manifest) -> list[Manifest]:
    """Return the rules of a policy in both directions."""
    rules: list[Manifest] = policy["spec"].get("ingress", []) + policy["spec"].get("egress", [])
    return rules


def named_ports(pod: Manifest) -> dict[str, int]:
    """Return the ports of a pod by name."""
    return {port["name"]: port["containerPort"] for one in containers(pod) for port in one.get("ports", [])}


def port_problems(found: list[Manifest]) -> Iterator[str]:
    """Every port of a service, a policy and a probe is a port of the pods that it concerns."""
    for service in of_kind(found, "Service"):
        for port in service["spec"].get("ports", []):
            for pod in (pod for pod in pods(found) if selects(service["spec"]["selector"], pod)):
                if named_ports(pod).get(port["targetPort"]) != port["port"]:
                    yield f"Service {service['metadata']['name']}: {pod['metadata']['labels']} has no port {port}"
    for policy in of_kind(found, "NetworkPolicy"):
        for selector, port in policy_ports(policy):
            if any(selects(selector, pod) and port not in named_ports(pod) for pod in pods(found)):
                yield f"NetworkPolicy {policy['metadata']['name']}: no port {port}"
    for container in (one for pod in pods(found) for one in containers(pod)):
        own = {port["name"] for port in container.get("ports", [])}
        probes = [container.get(name, {}) for name in ("readinessProbe", "livenessProbe")]
        asked = [probe.get("httpGet", probe.get("tcpSocket", {})).get("port") for probe in probes]
        yield from (f"{container['name']}: no port {port} to probe" for port in asked if port and port not in own)


def policy_ports(policy: Manifest) -> Iterator[tuple[Manifest, str]]:
    """Yield the ports that a policy opens, each with the selector of the pods of this namespace that listen there."""
    for rule in policy["spec"].get("ingress", []):
        yield from ((policy["spec"]["podSelector"], port["port"]) for port in rule["ports"])
    for rule in policy["spec"].get("egress", []):
        inside = [peer["podSelector"] for peer in rule["to"] if peer.keys() == {"podSelector"}]
        yield from ((selector, port["port"]) for selector in inside for port in rule["ports"])


def given_settings(found: list[Manifest], container: Manifest) -> dict[str, str]:
    """Return the variables of a container, those of its ConfigMaps included; the value of a reference is empty."""
    maps = {one["metadata"]["name"]: one["data"] for one in of_kind(found, "ConfigMap")}
    given: dict[str, str] = {}
    for source in container.get("envFrom", []):
        given |= maps[source["configMapRef"]["name"]]
    return given | {one["name"]: one.get("value", "") for one in container.get("env", [])}


def setting_problems(found: list[Manifest]) -> Iterator[str]:
    """Every variable is a setting with a valid value, and every name in an address is that of a headless service."""
    headless = {
        one["metadata"]["name"]: {port["port"] for port in one["spec"].get("ports", [])}
        for one in of_kind(found, "Service")
        if one["spec"].get("clusterIP") == "None"
    }
    for container in (one for pod in pods(found) for one in containers(pod)):
        given = given_settings(found, container)
        for name, value in given.items():
            if name not in BY_NAME:
                yield f"{container['name']}: {name} is no setting"
            elif value:
                try:
                    BY_NAME[name].read(value)
                except ValueError as expected:
                    yield f"{container['name']}: {name}={value}: expected {expected}"
        if "serve" in container.get("command", []) and given.get("HOST") != "*":
            yield f"{container['name']}: listens on the loopback only"
        nodes = given.get("NODES", "https://nodes").removeprefix("https://")
        if "NODES" in given and int(given["NODE_PORT"]) not in headless.get(nodes, set()):
            yield f"NODES={given['NODES']}: no headless service by TLS with port {given['NODE_PORT']}"
        if "SERVER_URL" in given:
            host, _, port = given["SERVER_URL"].removeprefix("wss://").partition(":")
            if not port.isdecimal() or int(port) not in headless.get(host, set()):
                yield f"SERVER_URL={given['SERVER_URL']}: no headless service by TLS with this port"
    maps = {one["metadata"]["name"] for one in of_kind(found, "ConfigMap")}
    read = [
        {s["configMapRef"]["name"] for s in c.get("envFrom", [])} for p in pods(found) for c in p["spec"]["containers"]
    ]
    yield from (f"a service does not read the settings of the run, but {names}" for names in read if names != maps)


def access_problems(found: list[Manifest]) -> Iterator[str]:
    """Every service that listens has a token and a certificate, and every file that a setting names is mounted."""
    for pod in pods(found):
        keys = {
            volume["name"]: {item["path"] for item in volume["secret"]["items"]}
            for volume in pod["spec"].get("volumes", [])
            if "secret" in volume
        }
        for container in containers(pod):
            given = given_settings(found, container)
            if container.get("ports") and (
                given.get("EXPOSURE") or not {"TLS_CERT_FILE", "TLS_KEY_FILE"} <= given.keys()
            ):
                yield f"{container['name']}: listens without TLS"
            if container.get("ports") and not given.keys() & {"FEED_TOKEN_FILE", "NODE_TOKEN_FILE"}:
                yield f"{container['name']}: listens without a token"
            files = {
                f"{mount['mountPath']}/{key}"
                for mount in container["volumeMounts"]
                for key in keys.get(mount["name"], ())
            }
            named = {path for name, path in given.items() if name.endswith("_FILE")}
            yield from (f"{container['name']}: no file {path}" for path in sorted(named - files))
            yield from (f"{container['name']}: does not use {path}" for path in sorted(files - named))


def image_problems(found: list[Manifest]) -> Iterator[str]:
    """Every image is one of this repository, in this version."""
    for container in (one for pod in pods(found) for one in containers(pod)):
        name, _, tag = container["image"].rpartition(":")
        if name not in IMAGES or tag != __version__:
            yield f"{container['name']}: image {container['image']}"


def volume_problems(found: list[Manifest]) -> Iterator[str]:
    """Every mount has a volume and the reverse, /tmp can be written to, and every secret is one that the README has."""
    for one in of_kind(found, "Deployment", "StatefulSet"):
        spec = one["spec"]["template"]["spec"]
        claims = {claim["metadata"]["name"] for claim in one["spec"].get("volumeClaimTemplates", [])}
        volumes = {volume["name"] for volume in spec.get("volumes", [])} | claims
        mounted = {
            mount["name"] for container in containers(one["spec"]["template"]) for mount in container["volumeMounts"]
        }
        yield from (f"{one['metadata']['name']}: volume {name}" for name in volumes ^ mounted)
        for container in containers(one["spec"]["template"]):
            if not any(mount["mountPath"] == "/tmp" for mount in container["volumeMounts"]):
                yield f"{container['name']}: no /tmp"
        for secret in (volume["secret"] for volume in spec.get("volumes", []) if "secret" in volume):
            if secret["secretName"] != SECRET or {item["key"] for item in secret["items"]} - SECRET_KEYS:
                yield f"{one['metadata']['name']}: {secret}"


def network_problems(found: list[Manifest]) -> Iterator[str]:
    """Nothing is allowed by default, the feed is reached by clients only, and the page from one namespace only."""
    policies = of_kind(found, "NetworkPolicy")
    if not any(policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} for policy in policies):
        yield "no policy forbids everything by default"
    reached: dict[str, list[Manifest]] = {"feed": [], "evidence": [], "page": []}
    for rule in (rule for policy in policies for rule in policy["spec"].get("ingress", [])):
        for port in rule.get("ports", [{"port": name} for name in reached]):
            reached.setdefault(port["port"], []).extend(rule.get("from", [{}]))
    for port, client in {"feed": "client", "evidence": "collector"}.items():
        if [names_of(peer, found) for peer in reached.pop(port)] != [[client]]:
            yield f"port {port} is reached by others than the {client}"
    if [peer.keys() for peer in reached.pop("page")] != [{"namespaceSelector"}]:
        yield "the page is not reached from one namespace only"
    yield from (f"port {port} is reached as well" for port in reached)
    outside = [
        rule
        for policy in policies
        for rule in policy["spec"].get("egress", [])
        for peer in rule.get("to", [{}])
        if "podSelector" not in peer or "namespaceSelector" in peer
    ]
    if [{port["port"] for port in rule.get("ports", [])} for rule in outside] != [{53}]:
        yield "a pod may reach more outside of its namespace than the name server"


def names_of(peer: Manifest, found: list[Manifest]) -> list[str]:
    """Return the names of the pods of this namespace that a peer of a policy is; ``*`` for any others."""
    if peer.keys() != {"podSelector"}:
        return ["*"]
    return [
        pod["metadata"]["labels"]["app.kubernetes.io/name"] for pod in pods(found) if selects(peer["podSelector"], pod)
    ]


def disruption_problems(found: list[Manifest]) -> Iterator[str]:
    """Each workload with several pods loses at most one to a drained node, and no budget blocks a drain for ever."""
    budgets = of_kind(found, "PodDisruptionBudget")
    for one in of_kind(found, "Deployment", "StatefulSet"):
        of_pod = [budget["spec"] for budget in budgets if selects(budget["spec"]["selector"], one["spec"]["template"])]
        if one["spec"]["replicas"] > 1 and [budget.get("maxUnavailable") for budget in of_pod] != [1]:
            yield f"{one['metadata']['name']}: disruption budgets {of_pod}"
