"""Images contain only their service's files and packages; containers have only the privileges that it needs."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.integration.conftest import GoodStack
from tests.integration.processes import ROOT

pytestmark = pytest.mark.containers

SERVICES = ("server", "client", "collector")

FACTS = """
import importlib, importlib.metadata, json, os, pathlib, subprocess

def imports(name):
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True

def refusal(path):
    try:
        pathlib.Path(path).write_text("x")
    except OSError as problem:
        return problem.strerror
    return None

def status(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\\t", 1) for line in lines if ":\\t" in line)

names = ["starlette", "uvicorn", "faker", "websockets", "pip", "pytest", "services.__main__",
         "services.server", "services.client", "services.collector", "services.contract", "services.runtime"]
find = ["find", "/", "-xdev", "-type", "f", "-perm", "/6000"]
print(json.dumps({
    "uid": os.getuid(),
    "gid": os.getgid(),
    "first": status(1),
    "self": status("self"),
    "root": refusal("/trial"),
    "app": refusal("/app/trial"),
    "tmp": refusal("/tmp/trial"),
    "setuid": subprocess.run(find, capture_output=True, text=True).stdout.split(),
    "imports": {name: imports(name) for name in names},
    "packages": sorted({one.metadata["Name"] for one in importlib.metadata.distributions()}),
}))
"""


@pytest.fixture(scope="module")
def facts(good_stack: GoodStack) -> dict[str, dict[str, Any]]:
    """The engine's description of each service's container."""
    return {service: json.loads(good_stack.stack.exec(service, "python", "-c", FACTS).stdout) for service in SERVICES}


@pytest.mark.parametrize("service", SERVICES)
def test_nobody_is_root(service: str, facts: dict[str, dict[str, Any]]) -> None:
    """Every service runs as uid 10001, without capabilities and without a way to gain one."""
    assert 10001 == facts[service]["uid"]
    for process in ("first", "self"):
        status = facts[service][process]
        assert "1" == status["NoNewPrivs"]
        sets = {name: int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
        assert dict.fromkeys(sets, 0) == sets


@pytest.mark.parametrize("service", SERVICES)
def test_the_root_file_system_is_read_only(service: str, facts: dict[str, dict[str, Any]]) -> None:
    """Only the volumes and a small /tmp are writable."""
    assert ("Read-only file system", "Read-only file system", None) == (
        facts[service]["root"],
        facts[service]["app"],
        facts[service]["tmp"],
    )


@pytest.mark.parametrize("service", SERVICES)
def test_no_file_lends_anybody_rights(service: str, facts: dict[str, dict[str, Any]]) -> None:
    """No file in the image is set-user-id or set-group-id."""
    assert [] == facts[service]["setuid"]


def test_an_image_holds_its_own_service_alone(facts: dict[str, dict[str, Any]]) -> None:
    """Each image imports contract, runtime and its own service; code and libraries of other services are absent."""
    own = {
        "server": {"faker", "websockets", "services.server"},
        "client": {"websockets", "services.client"},
        "collector": {"starlette", "uvicorn", "websockets", "services.collector"},
    }
    for service in SERVICES:
        found = {name for name, there in facts[service]["imports"].items() if there}
        assert own[service] | {"services.contract", "services.runtime"} == found


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_holds_its_own_requirements_alone(service: str, facts: dict[str, dict[str, Any]]) -> None:
    """Every package in an image is listed in its requirements file: no installer, no tool."""
    text = (ROOT / "requirements" / f"{service}.txt").read_text()
    required = {canonical(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE)}
    found = {canonical(name) for name in facts[service]["packages"]}
    assert set() == found - required
    assert found


def canonical(name: str) -> str:
    """Return a package's normalised name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_only_the_page_is_published(good_stack: GoodStack) -> None:
    """The only open port on the host is the collector's page, on loopback."""
    for service in SERVICES:
        ports = good_stack.stack.inspect(service)["NetworkSettings"]["Ports"] or {}
        bound = {inside: {one["HostIp"] for one in outside} for inside, outside in ports.items() if outside}
        assert ({"8766/tcp": {"127.0.0.1"}} if service == "collector" else {}) == bound


def test_the_collector_can_write_to_neither_ledger_nor_logs(good_stack: GoodStack) -> None:
    """The collector cannot write into the logs or the ledger: its mounts are read-only."""
    for side in ("logs", "ledger"):
        done = good_stack.stack.exec("collector", "touch", f"/volumes/{side}/trial", check=False)
        assert 0 != done.returncode
        assert "Read-only file system" in done.stderr


def test_only_prepare_is_root_and_it_has_no_network(good_stack: GoodStack) -> None:
    """The only service that runs as root has three capabilities, no network, and idles."""
    found = good_stack.stack.inspect("prepare")
    host = found["HostConfig"]
    assert ("0:0", "none", True) == (found["Config"]["User"], host["NetworkMode"], host["ReadonlyRootfs"])
    assert ["CHOWN", "FOWNER", "FSETID"] == sorted(name.removeprefix("CAP_") for name in host["CapAdd"])
    assert ["ALL"] == host["CapDrop"]
    assert ("running", "healthy") == (found["State"]["Status"], found["State"]["Health"]["Status"])
