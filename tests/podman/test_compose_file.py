"""The one compose file, started by a user of Podman with either program."""

from __future__ import annotations

import json
import urllib.request

import pytest

from services.collector.__main__ import main
from tests.podman.account import Account
from tests.podman.providers import Provider
from tests.podman.stack import PodmanStack
from tests.poll import poll_until
from tests.readers import is_sealed

CLIENTS = 5
NAMES = [f"client-{number}" for number in range(1, CLIENTS + 1)]


@pytest.fixture(scope="session", autouse=True)
def images(account: Account, provider: Provider) -> None:
    """The images of this checkout: podman-compose builds only images that are missing."""
    with PodmanStack(account, provider) as stack:
        stack.compose("build")


def test_up_ends_with_the_verdict(account: Account, provider: Provider) -> None:
    """`up` ends with PASS as exit code 0, clients have the containers' numbers, and the files belong to the user."""
    with PodmanStack(account, provider, RECORDS=500, RATE=200) as stack:
        done = stack.up_to_verdict(CLIENTS)
        assert 0 == done.returncode, done.stdout + done.stderr
        assert NAMES == stack.volumes.clients()
        assert 500 == stack.volumes.head("client-5")
        stack.down()
        assert 0 == main(["verify", str(stack.volumes.root)])
        logs = f"{stack.volumes.root}/logs"
        read = account.run("sh", "-c", f"cat {logs}/*/client-*/*.jsonl | wc -l && rm -r {stack.volumes.root}/*")
        assert 0 == read.returncode, read.stderr
        assert 5 * 500 / 250 < int(read.stdout)


def test_a_fault_is_the_exit_code(account: Account, provider: Provider) -> None:
    """A run that breaks a threshold ends `up` with 99, and stays FAIL in its files."""
    with PodmanStack(account, provider, RECORDS=50, RATE=100, THRESHOLDS="latency.p99<1ns") as stack:
        done = stack.up_to_verdict(1)
        assert 99 == done.returncode, done.stdout + done.stderr


def test_down_and_up_continue_a_run(account: Account, provider: Provider) -> None:
    """After `down` in the middle of a run the next `up` continues it, with the same clients, and it passes."""
    with PodmanStack(account, provider, RECORDS=3000, RATE=100) as stack:
        stack.up(3)
        poll_until(lambda: stack.volumes.head("client-3") >= 200, "client-3 has receipted 200 records", 60)
        stack.down()
        assert 98 == main(["verify", str(stack.volumes.root)])
        assert all(is_sealed(path) for name in NAMES[:3] for path in stack.volumes.files(name))
        stack.up(3)
        waited = stack.exec("collector", "python", "-m", "services.collector", "wait")
        assert 0 == waited.returncode, waited.stdout + waited.stderr
        assert NAMES[:3] == stack.volumes.clients()
        assert 2 == len(stack.volumes.files("client-2"))


def test_containers_are_confined(account: Account, provider: Provider) -> None:
    """Services are not root, cannot write to their root file system or gain privileges; the page is on 127.0.0.1."""
    with PodmanStack(account, provider, RATE=1) as stack:
        stack.up(1)
        for service in ("server", "client", "collector"):
            name = stack.container(service)
            found = json.loads(account.run("podman", "inspect", name).stdout)[0]
            assert found["HostConfig"]["ReadonlyRootfs"], service
            assert not found["EffectiveCaps"], service
            assert "no-new-privileges" in " ".join(found["HostConfig"]["SecurityOpt"]), service
            assert "10001\n" == account.run("podman", "exec", name, "id", "-u").stdout
            assert 0 != account.run("podman", "exec", name, "touch", "/app/file").returncode
        assert 0 != account.run("podman", "exec", stack.container("collector"), "touch", "/volumes/logs/x").returncode
        ports = account.run("podman", "port", stack.container("collector")).stdout
        assert f"8766/tcp -> 127.0.0.1:{stack.page_port}\n" == ports
        page = f"http://127.0.0.1:{stack.page_port}/metrics"
        assert b"streamgauge_" in urllib.request.urlopen(page, timeout=10).read()
