"""A cluster of real NATS servers on the loopback, with the configuration that the project ships."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import sys
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.integration.processes import ROOT, Program, free_port
from tests.poll import poll_until

SHIPPED = ROOT / "deploy/nats/nats.conf"
READY_SECONDS = 30.0


def nats_server() -> str | None:
    """Return the path of the NATS server of requirements/engines.txt; None without it."""
    return shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")


class NatsCluster:
    """Some NATS servers that are one cluster; all are ended on exit.

    Args:
        folder: for their files.
        size: number of servers.

    Attributes:
        nodes: the processes, None for one that was killed.
    """

    def __init__(self, folder: Path, size: int = 3) -> None:
        self._folder = folder
        self._ports, self._routes, self._monitors = ([free_port() for _ in range(size)] for _ in range(3))
        self.nodes: list[Program | None] = [None] * size

    def address(self, stream: str) -> str:
        """Return the address of a stream, with all servers of the cluster."""
        return "nats://" + ",".join(f"127.0.0.1:{port}" for port in self._ports) + f"/{stream}"

    def start(self, number: int) -> None:
        """Start a server, for the first time or with the files that it had."""
        home = self._folder / f"node-{number}"
        home.mkdir(parents=True, exist_ok=True)
        settings = SHIPPED.read_text(encoding="utf-8").replace("/data", str(home / "data"))
        routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in self._routes)
        cluster = f"cluster {{ name: test, listen: 127.0.0.1:{self._routes[number]}, routes: [{routes}] }}\n"
        (home / "nats.conf").write_text(
            f"server_name: node-{number}\nlisten: 127.0.0.1:{self._ports[number]}\n"
            f"http: 127.0.0.1:{self._monitors[number]}\n{settings}" + (cluster if len(self.nodes) > 1 else ""),
            encoding="utf-8",
        )
        program = nats_server()
        assert program is not None, "no nats-server: requirements/engines.txt has it"
        self.nodes[number] = Program(f"nats node-{number}", program, "--config", str(home / "nats.conf"))

    def kill(self, number: int) -> None:
        """Kill a server without warning."""
        node = self.nodes[number]
        assert node is not None
        node.signal(signal.SIGKILL)
        node.wait(10)
        node.close()
        self.nodes[number] = None

    def monitor(self, number: int, path: str) -> Any:
        """Return what a server reports about itself under a path; None while it does not answer."""
        url = f"http://127.0.0.1:{self._monitors[number]}{path}"
        with contextlib.suppress(OSError, ValueError), urllib.request.urlopen(url, timeout=2) as answer:
            return json.load(answer)
        return None

    def leader_of(self, stream: str) -> int | None:
        """Return the number of the server that leads a stream, None while there is none."""
        for number, node in enumerate(self.nodes):
            report = None if node is None else self.monitor(number, "/jsz?streams=1")
            for account in (report or {}).get("account_details", []):
                for one in account.get("stream_detail", []):
                    leader = (one.get("cluster") or {}).get("leader", "")
                    if one["name"] == stream and leader:
                        return int(leader.rpartition("-")[2])
        return None

    def _is_ready(self) -> bool:
        """Return whether every server has a leader of the cluster's metadata, so that streams can be made."""
        reports = [self.monitor(number, "/jsz") for number in range(len(self.nodes))]
        if len(reports) == 1:
            return reports[0] is not None
        return all(report is not None and report.get("meta_cluster", {}).get("leader") for report in reports)

    def __enter__(self) -> Self:
        for number in range(len(self.nodes)):
            self.start(number)
        poll_until(self._is_ready, "the NATS servers are one cluster", READY_SECONDS)
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        for node in self.nodes:
            if node is not None:
                node.close()
                if error is not None:
                    error.add_note(f"---- output of {node.name}\n{node.text[-3000:]}")
