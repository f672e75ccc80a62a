"""The commands of the guide for several hosts, run for two hosts on this machine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.integration.processes import ROOT, Program, free_port, verify
from tests.integration.test_start_at import start_text

GUIDE = ROOT / "docs" / "guides" / "several-hosts.md"


def commands() -> list[str]:
    """Return the blocks of commands of the guide."""
    return re.findall(r"```sh\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)


def with_places(text: str, replaced: dict[str, str]) -> str:
    """Return commands of the guide with ports and folders of this machine in the places of the guide's."""
    for old, new in replaced.items():
        assert old in text, f"the guide has no {old!r} any more"
        text = text.replace(old, new)
    return text


class Shell(Program):
    """A shell that runs commands of the guide, with the ports and folders of this machine."""

    def __init__(self, name: str, text: str, replaced: dict[str, str], **settings: object) -> None:
        super().__init__(name, "bash", "-ec", f"{with_places(text, replaced)}\nwait\n", **settings)


def test_the_commands_of_the_guide(tmp_path: Path) -> None:
    """Two hosts play one run by the guide's commands, and the collector that pulls passes it."""
    make_secrets, on_every_host, on_one_host = commands()
    common = {".venv/bin/python": f"{ROOT}/.venv/bin/python"}
    made = with_places(make_secrets, {**common, "server token": f"server token {tmp_path}/secrets"})
    subprocess.run(["bash", "-ec", made], check=True, timeout=60, cwd=ROOT)
    common["secrets/"] = f"{tmp_path}/secrets/"
    start, ports, hosts = start_text(12), {}, []
    for name in ("one", "two"):
        port, ports[name] = free_port(), free_port()
        replaced = {
            "2026-11-22T07:30:00Z": start,
            "RECORDS=6000": "RECORDS=600 GRACE_SECONDS=3",
            "VOLUMES=volumes": f"VOLUMES={tmp_path / name}",
            "$(hostname)": name,
            "8765": str(port),
            **common,
        }
        hosts.append(Shell(name, on_every_host, replaced, PORT=port, NODE_PORT=ports[name]))
    nodes = ",".join(f"https://127.0.0.1:{port}" for port in ports.values())
    replaced = {"https://host1,https://host2": nodes, "VOLUMES=all": f"VOLUMES={tmp_path / 'all'}", **common}
    collector = Shell("collector", on_one_host, replaced, PAGE_PORT=free_port())
    try:
        collector.wait_for_line("10 clients", 90)
        collector.wait_for_line("PASS", 90)
        code, text = verify(tmp_path / "all")
    finally:
        for program in (*hosts, collector):
            program.close()

    assert 0 == code, text
    assert "6,000 of 6,000" in text
