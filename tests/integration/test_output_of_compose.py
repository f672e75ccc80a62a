"""What Compose adds to the output of the services is removed by the recipes, on the versions that are supported."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from tests.integration.conftest import GoodStack
from tests.integration.processes import ROOT, environment
from tests.repo.markdown import sections

pytestmark = pytest.mark.containers

GUIDE = (ROOT / "docs" / "guides" / "recipes.md").read_text(encoding="utf-8")
LOGS, PREVIEW = re.findall(r"^docker compose .*$", sections(GUIDE)["What Compose adds"], re.MULTILINE)


def output(good_stack: GoodStack, command: str) -> str:
    """Run a command of the recipes, without its last part, jq, in the project of a stack."""
    settings = {**good_stack.stack.settings, "COMPOSE_PROJECT_NAME": good_stack.stack.project}
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command.rpartition(" | jq")[0]],
        cwd=ROOT, env=environment(settings), capture_output=True, text=True, timeout=120, check=True,
    ).stdout  # fmt: skip


def test_logs_are_json(good_stack: GoodStack) -> None:
    """Each line of the logs of server and clients is a JSON object."""
    events = [json.loads(line) for line in output(good_stack, LOGS).splitlines()]

    assert {"server", "client"} == {event["service"] for event in events}


def test_a_preview_is_json(good_stack: GoodStack) -> None:
    """A preview in a container prints one JSON object and nothing of the build."""
    assert 1 == json.loads(output(good_stack, PREVIEW))["records"][0]["id"]


def test_limits_may_be_overridden(good_stack: GoodStack, tmp_path: object) -> None:
    """An override file may limit processors, memory and processes; what it does not name stays."""
    override = f"{tmp_path}/override.yml"
    with open(override, "w", encoding="utf-8") as file:
        file.write('services: {client: {deploy: {resources: {limits: {cpus: "0.5"}}}}}\n')
    files = ["-f", "docker-compose.yml", "-f", override]
    found = json.loads(good_stack.stack.compose(*files, "config", "--format", "json").stdout)["services"]
    limits = {name: found[name]["deploy"]["resources"]["limits"] for name in ("client", "server")}

    assert {"cpus": 0.5, "memory": "536870912", "pids": 128} == limits["client"]
    assert {"memory": "536870912", "pids": 128} == limits["server"]


def test_limits_are_those_of_the_engine(good_stack: GoodStack) -> None:
    """The limits under `deploy` reach the engine without swarm."""
    host = good_stack.stack.inspect("client")["HostConfig"]

    assert (512 * 1024 * 1024, 128) == (host["Memory"], host["PidsLimit"])
