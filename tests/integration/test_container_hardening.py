"""The running containers keep the rules of the CIS Docker Benchmark that apply to images and to their run time.

Its section 4 is about images, section 5 about containers. Rules about settings of the host, the client or Swarm do not
apply, and 5.15 (at most five restarts) is not kept: a service has to come back as often as its host does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.integration.stack import Stack, docker

pytestmark = pytest.mark.containers

SERVICES = ("server", "client", "collector")
every_service = pytest.mark.parametrize("service", SERVICES)


@pytest.fixture(scope="module")
def stack(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A run of a minute with one client, in progress."""
    folder = tmp_path_factory.mktemp("hardening") / "volumes"
    folder.mkdir()
    with Stack(folder, RATE=100, RECORDS=6000, CLIENTS=1) as made:
        made.up(clients=1)
        made.subscribed()
        yield made


@every_service
def test_the_image_is_no_root_and_is_probed(stack: Stack, service: str) -> None:
    """4.1, 4.6: the image has a user that is not root, and a health check."""
    config = json.loads(docker("image", "inspect", stack.inspect(service)["Image"]))[0]["Config"]

    assert "10001:10001" == config["User"]
    assert config["Healthcheck"]["Test"][0] == "CMD"
    labels = config["Labels"]
    for name in ("title", "version", "revision", "licenses", "base.name"):
        assert labels[f"org.opencontainers.image.{name}"], name


@every_service
def test_no_file_of_the_image_gives_rights(stack: Stack, service: str) -> None:
    """4.8: there is no set-user-id or set-group-id file."""
    found = stack.exec(service, "find", "/", "-xdev", "-type", "f", "-perm", "/6000", check=False).stdout

    assert "" == found.strip()


@every_service
def test_the_image_has_no_installer(stack: Stack, service: str) -> None:
    """4.3: neither the environment nor the base image has pip, and no compiler is there."""
    program = "import importlib.util as u, shutil as s; print([n for n in ('pip', 'ensurepip') if u.find_spec(n)],"
    programs = "[n for n in ('pip', 'pip3', 'gcc', 'cc', 'make') if s.which(n)])"
    for python in ("python", "/usr/bin/env PATH=/usr/local/bin:/usr/bin python3"):
        assert "[] []" == stack.exec(service, *python.split(), "-c", f"{program} {programs}").stdout.strip()


@every_service
def test_no_secret_is_in_the_image(stack: Stack, service: str) -> None:
    """4.10: neither the image's variables nor its history contain a secret."""
    image = stack.inspect(service)["Image"]
    text = docker("image", "inspect", image) + docker("history", "--no-trunc", image)

    assert not [word for word in ("PRIVATE KEY", "PASSWORD=", "CONTROL_TOKEN=") if word in text]


@every_service
def test_the_container_has_no_rights(stack: Stack, service: str) -> None:
    """5.3, 5.4, 5.21, 5.25: no capability, not privileged, no way to gain rights, the default filter of calls."""
    found = stack.inspect(service)
    host = found["HostConfig"]
    status = dict(
        line.split(":\t", 1)
        for line in stack.exec(service, "cat", "/proc/1/status").stdout.splitlines()
        if ":\t" in line
    )

    assert host["Privileged"] is False
    assert ["ALL"] == host["CapDrop"]
    assert not host["CapAdd"]
    assert 0 == int(status["CapEff"], 16) == int(status["CapBnd"], 16)
    assert "1" == status["NoNewPrivs"].strip()
    assert "2" == status["Seccomp"].strip()
    assert not [option for option in host["SecurityOpt"] if "unconfined" in option]


@every_service
def test_the_container_shares_nothing_with_the_host(stack: Stack, service: str) -> None:
    """5.9, 5.16, 5.17, 5.20, 5.30, 5.31: no namespace, device or socket of the host."""
    found = stack.inspect(service)
    host = found["HostConfig"]

    assert "none" == host["IpcMode"]
    assert host["NetworkMode"] not in ("host", "bridge", "default")
    assert host["PidMode"] == host["UTSMode"] == host["UsernsMode"] == ""
    assert not host["Devices"]
    sources = [mount["Source"] for mount in found["Mounts"]]
    assert not [source for source in sources if "docker.sock" in source or source in ("/", "/etc", "/proc", "/sys")]
    assert "" == stack.exec(service, "sh", "-c", "echo x 2>/dev/null >/dev/shm/x; ls /dev/shm", check=False).stdout


@every_service
def test_the_container_has_bounds(stack: Stack, service: str) -> None:
    """5.10 to 5.12, 5.18, 5.28: bounds of memory without swap, of processes and of open files; a read-only root."""
    host = stack.inspect(service)["HostConfig"]

    assert 0 < host["Memory"] == host["MemorySwap"]
    assert 0 < host["PidsLimit"] <= 256
    assert host["ReadonlyRootfs"] is True
    assert [("nofile", 20_000, 20_000)] == [(limit["Name"], limit["Soft"], limit["Hard"]) for limit in host["Ulimits"]]
    assert "20000" == stack.exec(service, "sh", "-c", "ulimit -n").stdout.strip()


@every_service
def test_only_the_page_is_published_and_on_loopback(stack: Stack, service: str) -> None:
    """5.7, 5.8, 5.13: no privileged port, only the page's, and on one address of this machine."""
    ports = stack.inspect(service)["HostConfig"]["PortBindings"] or {}
    bindings = [binding for found in ports.values() for binding in found]

    assert (["127.0.0.1"] if service == "collector" else []) == [binding["HostIp"] for binding in bindings]
    assert all(int(port.partition("/")[0]) >= 1024 for port in ports)


@every_service
def test_the_container_is_healthy_and_runs_one_program(stack: Stack, service: str) -> None:
    """5.26 and 5.6: the probe succeeds at run time, and no other service such as sshd runs."""
    commands = stack.exec(service, "sh", "-c", "cat /proc/[0-9]*/comm").stdout.split()

    assert stack.inspect(service)["State"]["Health"]["Status"] in ("healthy", "starting")
    assert not set(commands) - {"docker-init", "tini", "python", "python3", "python3.13", "sh", "cat"}
