"""Part (c): ``deploy/swarm.yml`` on three real Docker engines, by the commands of its guide, with nodes cut off.

Every node has its own volumes, and the collector on the manager copies and judges what the others hand out.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from chaos.engines import swarm_nodes
from chaos.engines.swarm_nodes import SwarmNode, SwarmNodes
from chaos.scale import run_check
from chaos.scale.part import Part, PartOutcome
from services import __version__
from tests.integration.processes import ROOT, Program
from tests.integration.stack import docker, engine_answers
from tests.poll import poll_until
from tests.readers import Volumes

_NODES, _CONNECTIONS = 3, 7
_RATE, _RECORDS, _GRACE_SECONDS = 50, 3000, 10
_CUTS, _CUT_SECONDS, _BETWEEN_SECONDS = (3, 2, 3, 2, 3), 2.5, 6.0
_STEP_SECONDS, _BUILD_SECONDS, _RUN_SECONDS = 120.0, 600.0, 240.0
_IMAGES = ("streamgauge-server", "streamgauge-client", "streamgauge-collector")
_GUIDE = ROOT / "docs" / "guides" / "swarm.md"
_SETTINGS = {"RATE": _RATE, "RECORDS": _RECORDS, "GRACE_SECONDS": _GRACE_SECONDS}


def commands() -> list[str]:
    """Return the commands that the guide plays a run with: secrets, deploy, wait, remove."""
    found = [line for line in _GUIDE.read_text(encoding="utf-8").splitlines() if line.startswith("$ ")]
    return [line.removeprefix("$ ") for line in found]


def _lacking() -> str:
    if absent := swarm_nodes.lacking():
        return absent
    if shutil.which("openssl") is None:
        return "openssl: not installed"
    return "" if engine_answers() else "no Docker engine with Compose answers, to build the images"


def _play(folder: Path) -> PartOutcome:
    clone = _clone(folder / "clone")
    images = _images(folder)
    with SwarmNodes(folder / "nodes", _NODES) as swarm:
        swarm.load(images)
        images.unlink()
        for node in swarm.nodes:
            for image in _IMAGES:
                node.docker("tag", image, f"{image}:{__version__}")
        make_secrets, deploy, wait, remove = commands()
        _run(clone, swarm.manager, make_secrets)
        deploy = _with(
            deploy, "CONNECTIONS=10 CLIENTS=30", f"CONNECTIONS={_CONNECTIONS} CLIENTS={_NODES * _CONNECTIONS}"
        )
        _run(clone, swarm.manager, deploy, **_SETTINGS)
        with _shell(clone, swarm.manager, wait) as waiting:
            _disturb(swarm, Volumes(swarm.manager.volume("streamgauge_copies")))
            code = waiting.wait(_RUN_SECONDS)
        outcome = run_check.judge(swarm.manager.volume("streamgauge_copies"), runs=1, servers=_NODES + 1)
        if code:
            outcome.problems.append(f"wait ends with {code}:\n{waiting.text}")
        _run(clone, swarm.manager, remove)
        for node in swarm.nodes:
            poll_until(lambda node=node: not node.docker("ps", "--quiet"), f"{node.name} is empty", _STEP_SECONDS)
    return outcome


def _clone(folder: Path) -> Path:
    """Make a folder with what the commands of the guide need of a clone, and without its secrets; return it."""
    folder.mkdir()
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    for name in ("services", ".venv"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def _images(folder: Path) -> Path:
    """Build the images, as they are now, with this machine's engine; return an archive of them."""
    docker("compose", "build", "--quiet", timeout=_BUILD_SECONDS)
    archive = folder / "images.tar"
    docker("save", "--output", str(archive), *_IMAGES, timeout=_BUILD_SECONDS)
    return archive


def _with(command: str, old: str, new: str) -> str:
    assert old in command, f"the guide has no {old!r} any more"
    return command.replace(old, new)


def _run(clone: Path, node: SwarmNode, command: str, **settings: object) -> str:
    """Run a command of the guide on a node, in a clone of the repository; return its output."""
    with _shell(clone, node, command, **settings) as shell:
        code = shell.wait(_STEP_SECONDS)
        assert code == 0, f"{command!r} ended with {code}:\n{shell.text}"
        return shell.text


def _shell(clone: Path, node: SwarmNode, command: str, **settings: object) -> Program:
    text = f"cd '{clone}' && {command}"
    return Program("shell", "bash", "-c", text, DOCKER_HOST=node.engine, **settings)


def _disturb(swarm: SwarmNodes, copies: Volumes) -> None:
    """Cut nodes off while the run goes, one after the other, and kill the server of the last one meanwhile."""
    poll_until(lambda: _sent(copies) > 0, "the collector has copies of the run", _STEP_SECONDS + _RUN_SECONDS)
    for index, number in enumerate(_CUTS):
        began = time.monotonic()
        swarm.cut(number)
        _wait_since(began, _CUT_SECONDS)
        swarm.mend(number)
        if index == 1:
            node = swarm.nodes[_CUTS[0] - 1]
            node.docker("kill", "--signal", "KILL", node.container("server"))
        _wait_since(began, _BETWEEN_SECONDS)


def _sent(copies: Volumes) -> int:
    """Return the number of blocks that the collector has copied."""
    return sum(len(copies.blocks(client)) for client in copies.clients()) if copies.runs() else 0


def _wait_since(began: float, seconds: float) -> None:
    """Sleep until ``seconds`` after ``began``: the length of a fault, which no condition tells."""
    time.sleep(max(0.0, began + seconds - time.monotonic()))


SWARM = Part(
    letter="c",
    what=f"{_NODES} engines of a Swarm × {_CONNECTIONS} clients, {len(_CUTS)} cuts of nodes, a server killed -9",
    is_short=False,
    play=_play,
    lacking=_lacking,
)
