"""Every command in the document on external feeds is run as written there."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.integration.processes import ROOT, environment
from tests.repo.markdown import Fence, fences
from tests.repo.repository import text

DOCUMENT = text("docs/guides/external-feeds.md")
WALK = [block for block in fences(re.sub(r"(?m)^   ", "", DOCUMENT), "sh", "text") if "make venv" not in block.text]
"""The code blocks of the document in order, including those in lists."""
IN_CONTAINERS = [block for block in WALK if block.language == "sh" and ".venv" not in block.text]
(WITHOUT,) = (block for block in WALK if block.language == "sh" and ".venv" in block.text)
SHOWN = [block.text for block in WALK if block.language == "text"]
MARK = "@@ "


class Step(NamedTuple):
    """Output of a block of commands, and the exit code of the last one."""

    output: str
    code: int


def follow(blocks: list[Fence], folder: Path, **settings: object) -> list[Step]:
    """Run the blocks in one shell, one after the other; return the result of each."""
    script = "\n".join(f"{block.text}\necho '{MARK}'$?" for block in blocks)
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment(settings), capture_output=True, text=True, timeout=400,
        stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    parts = re.split(rf"^{MARK}(\d+)\n", done.stdout, flags=re.MULTILINE)
    assert 2 * len(blocks) + 1 == len(parts), done.stdout + done.stderr
    return [Step(output, int(code)) for output, code in zip(parts[::2], parts[1::2], strict=False)]


@pytest.fixture(scope="module")
def walked(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Step]]:
    """The document's commands for containers, from first to last."""
    volumes = tmp_path_factory.mktemp("walk") / "volumes"
    volumes.mkdir()
    given = {"COMPOSE_PROJECT_NAME": f"sgtest{secrets.token_hex(4)}", "VOLUMES": volumes, "PAGE_PORT": 0}
    try:
        yield follow(IN_CONTAINERS, ROOT, **given)
    finally:
        command = ["docker", "compose", "-f", "docker-compose.yml", "-f", "deploy/foreign.yml", "--profile", "example"]
        subprocess.run([*command, "down"], cwd=ROOT, env=environment(given), capture_output=True, check=False)


def headline(output: str) -> str:
    """Return the verdict's lines of a summary without what differs from run to run: numbers and the own share."""
    whole = re.search(r"(?ms)^ *((?:PASS|FAIL|INVALID) .*?)\n *$", output + "\n")
    assert whole is not None, output
    numberless = re.sub(r"\d[\d.,]*( [mµn]?s\b)?", "N", " ".join(whole[1].split()))
    return numberless.replace(", of it N the instrument's", "")


@pytest.mark.containers
@pytest.mark.slow
def test_a_good_feed_passes(walked: list[Step]) -> None:
    """The unchanged example passes with the output that the document shows."""
    assert 0 == walked[1].code, walked[1].output
    assert headline(SHOWN[0]) == headline(walked[1].output)


@pytest.mark.containers
@pytest.mark.slow
def test_a_feed_that_loses_fails(walked: list[Step]) -> None:
    """The records that the example drops are reported for every client."""
    begins = "FAIL client-N: N messages missing"
    assert 99 == walked[2].code, walked[2].output
    assert (begins, begins) == (headline(SHOWN[1])[: len(begins)], headline(walked[2].output)[: len(begins)])
    assert "sent, not logged" in walked[2].output


@pytest.mark.containers
@pytest.mark.slow
def test_late_messages_and_both_runs_are_shown(walked: list[Step]) -> None:
    """The commands for a closer look work on the logs of an external feed, and `down` removes everything."""
    shown = walked[3].output

    assert '{"seq": ' in shown
    assert {"PASS", "FAIL"} <= set(shown.split())
    assert 0 == walked[3].code


def test_the_walk_without_containers(tmp_path: Path) -> None:
    """The same without containers: the example passes, and our own server is not started."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    for name in ("services", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    (step,) = follow([WITHOUT], tmp_path, PAGE_PORT=0)

    assert "PASS   3 clients · " in step.output, step.output
    assert 0 == step.code
    assert not (tmp_path / "volumes" / "ledger").exists() or not os.listdir(tmp_path / "volumes" / "ledger")
