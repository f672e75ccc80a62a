"""A collector pulls the files of several nodes and judges the copies; a run of which a node is missing is INVALID."""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

import pytest

from services.contract.scalars import utc_text
from tests.builders.runs import RUN, Files, good_run, ledger_source, log_source, write
from tests.integration.processes import Process, System, free_port, verify
from tests.poll import poll_until
from tests.readers import Volumes

TOKEN = "a-token-of-all-nodes"
SECRET = "not-to-be-handed-out"


def start_text(seconds: float) -> str:
    """Return a time some seconds from now, in whole seconds."""
    return utc_text(int(time.time() + seconds) * 1_000_000)[:19] + "Z"


class Cluster:
    """Nodes of one machine, each with a folder, a server, clients and ``serve``, and a collector that pulls.

    Attributes:
        volumes: of the collector.
        nodes: the systems of the nodes.
    """

    def __init__(self, folder: Path, names: str, **settings: object) -> None:
        self.token = folder / "token"
        self.token.write_text(TOKEN + "\n")
        self.volumes = Volumes(folder / "root")
        self.nodes = {name: System(folder / name, NODE_TOKEN_FILE=self.token, **settings) for name in names}
        self.ports = {name: free_port() for name in names}
        self.root = System(folder / "root", NODE_TOKEN_FILE=self.token, NODES=self.addresses)
        self._stack = contextlib.ExitStack()

    @property
    def addresses(self) -> str:
        """The value of ``NODES``."""
        return ",".join(f"127.0.0.1:{port}" for port in self.ports.values())

    def label(self, name: str) -> str:
        """Return the name that the collector gives a node."""
        return f"127.0.0.1:{self.ports[name]}"

    def serve(self, name: str) -> Process:
        """Start ``serve`` at a node."""
        serving = self.nodes[name].start("collector", "serve", NODE_PORT=self.ports[name])
        serving.wait_for_line('"serving"')
        return serving

    def play(self, name: str, clients: int = 2) -> Process:
        """Start the server of a node, and clients with the node's name; return the server."""
        server = self.nodes[name].server()
        self.nodes[name].start("client", CLIENT_ID=name, CONNECTIONS=clients)
        return server

    def __enter__(self) -> Self:
        for system in (*self.nodes.values(), self.root):
            self._stack.enter_context(system)
        return self

    def __exit__(self, *_problem: object) -> None:
        self._stack.close()


def timed(**settings: object) -> dict[str, object]:
    """Return the settings of a short run that starts soon."""
    return {"START_AT": start_text(9), "RATE": 100, "RECORDS": 600, "GRACE_SECONDS": 4, "BLOCK_SECONDS": 1, **settings}


def test_three_nodes_are_judged_as_one_run(tmp_path: Path) -> None:
    """Clients at three nodes, one node cut during the run and back: the copies pass, and are those of the nodes."""
    with Cluster(tmp_path, "abc", CLIENTS=6, **timed()) as cluster:
        serving = {name: cluster.serve(name) for name in "abc"}
        for name in "abc":
            cluster.play(name)
        collector = cluster.root.start("collector")
        poll_until(lambda: cluster.nodes["b"].volumes.head("b.1") > 50, "the run goes", 60)
        serving["b"].signal(signal.SIGKILL)
        collector.wait_for_line("node not reached", 30)
        poll_until(lambda: cluster.nodes["b"].volumes.head("b.1") > 400, "the run goes on without its files", 60)
        cluster.serve("b")
        collector.wait_for_line("PASS", 90)
        code, text = verify(tmp_path / "root")

    assert 0 == code, text
    assert "6 clients" in text
    assert "3,600 of 3,600" in text
    copies = sorted((tmp_path / "root").glob("l*/*/*.jsonl")) + sorted((tmp_path / "root").glob("logs/*/*/*.jsonl"))
    assert 3 + 6 == len(copies)
    for copy in copies:
        node, _, name = copy.name.partition("~")
        (label,) = [label for label in "abc" if node.endswith(str(cluster.ports[label]))]
        original = tmp_path / label / copy.parent.relative_to(tmp_path / "root") / name
        assert original.read_bytes()[: copy.stat().st_size] == copy.read_bytes()


def recorded() -> dict[str, Files]:
    """Return the files of a run that passes, of three nodes: a server and two clients."""
    files = good_run()
    logs = {client: {source: lines for source, lines in files.items() if source.client == client} for client in CLIENTS}
    return {"a": {ledger_source(): files[ledger_source()]}, "b": logs["client-1"], "c": logs["client-2"]}


CLIENTS = "client-1", "client-2"


def write_nodes(folder: Path, nodes: str = "abc") -> None:
    """Write the files of a run that passes into the folders of its nodes."""
    for name, files in recorded().items():
        if name in nodes:
            write(files, folder / name)


def test_a_missing_node_is_named_until_its_files_come(tmp_path: Path) -> None:
    """A run is INVALID while a node cannot be reached, names it, and is judged again when its files are there."""
    write_nodes(tmp_path)
    with Cluster(tmp_path, "abc") as cluster:
        for name in "ab":
            cluster.serve(name)
        collector = cluster.root.start("collector")
        line = collector.wait_for_line("INVALID", 90)
        assert f"not all files of node {cluster.label('c')} are here: connection refused" in line
        code, text = verify(tmp_path / "root")
        assert 98 == code
        assert f"not all files of node {cluster.label('c')} are here" in text
        cluster.serve("c")
        collector.wait_for_line("PASS", 60)

    assert 0 == verify(tmp_path / "root")[0]


def test_the_token_is_required(tmp_path: Path) -> None:
    """A node answers no request without the token, and neither side starts without one."""
    write_nodes(tmp_path)
    with Cluster(tmp_path, "abc") as cluster:
        for name in "abc":
            cluster.serve(name)
        port = cluster.ports["b"]
        for headers in ({}, {"Authorization": "Bearer guess"}, {"Authorization": f"Basic {TOKEN}"}):
            request = urllib.request.Request(f"http://127.0.0.1:{port}/files?run={RUN}", headers=headers)
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(request, timeout=10)
        wrong = tmp_path / "wrong"
        wrong.write_text("another-token")
        collector = cluster.root.start("collector", NODE_TOKEN_FILE=wrong)
        collector.wait_for_line("the token is refused (HTTP 401)", 30)
        for given in ("", str(tmp_path / "nothing")):
            for arguments in (("serve",), ()):
                refused = cluster.root.start("collector", *arguments, NODE_TOKEN_FILE=given)
                assert 104 == refused.wait(30)
                assert ["error: NODE_TOKEN_FILE"] == [line[:22] for line in refused.lines]


def test_hostile_names_stay_in_their_folder(tmp_path: Path) -> None:
    """Files with a newline or bytes that are no UTF-8 in their names are copied; links, devices and tokens are not."""
    write_nodes(tmp_path)
    folder = tmp_path / "b" / "logs" / RUN / "client-1"
    lines = folder.joinpath("0001-0001.jsonl").read_bytes()
    for odd in (b"new\nline.jsonl", b"\xff\xfe.jsonl", b"%2e%2e%2fup.jsonl", b"x" * 240 + b"\xff.jsonl"):
        (folder / Path(odd.decode(errors="surrogateescape"))).write_bytes(lines)
    (tmp_path / "secret").write_text(SECRET)
    (folder / "link.jsonl").symlink_to(tmp_path / "secret")
    (folder / "..jsonl").write_text(SECRET)
    (tmp_path / "b" / "logs" / RUN / "client-9").symlink_to(tmp_path / "a", target_is_directory=True)
    (tmp_path / "a" / "ledger" / "control.token").write_text(SECRET)
    with Cluster(tmp_path, "abc") as cluster:
        for name in "abc":
            cluster.serve(name)
        collector = cluster.root.start("collector")
        collector.wait_for_line("PASS", 60)

    copies = [path for path in (tmp_path / "root").rglob("*") if path.is_file()]
    copied = [path for path in copies if path.suffix == ".jsonl"]
    assert 1 + 6 + 2 == len(copied)
    assert all("~" in path.name and path.name.isascii() for path in copied)
    assert not [path for path in copies if SECRET.encode() in path.read_bytes()]
    assert 0 == verify(tmp_path / "root")[0]


def test_half_a_line_is_completed_later(tmp_path: Path) -> None:
    """Half a line at the end of a file is copied, and the rest of it when the node has it."""
    write_nodes(tmp_path)
    log = tmp_path / "b" / log_source("client-1").path
    whole = log.read_bytes()
    log.write_bytes(whole[:-700])
    with Cluster(tmp_path, "abc") as cluster:
        for name in "abc":
            cluster.serve(name)
        collector = cluster.root.start("collector")
        copy = log_source("client-1").path.replace("0001-0001", f"127.0.0.1%3A{cluster.ports['b']}~0001-0001")
        place = tmp_path / "root" / copy
        poll_until(lambda: place.exists() and place.read_bytes() == whole[:-700], "half a line is copied", 30)
        with log.open("ab") as file:
            file.write(whole[-700:])
        collector.wait_for_line("PASS", 60)
        assert whole == place.read_bytes()


def test_a_node_with_an_empty_folder_is_named(tmp_path: Path) -> None:
    """Copies stay when a node loses its files, and the run is INVALID: what it wrote last is not known."""
    write_nodes(tmp_path)
    ledger = tmp_path / "a" / ledger_source().path
    whole = ledger.read_bytes()
    ledger.write_bytes(whole[: whole.rindex(b"\n", 0, -1) + 1])
    with Cluster(tmp_path, "abc") as cluster:
        serving = {name: cluster.serve(name) for name in "abc"}
        collector = cluster.root.start("collector")
        log = log_source("client-1").path
        place = tmp_path / "root" / log.replace("0001-0001", f"127.0.0.1%3A{cluster.ports['b']}~0001-0001")
        poll_until(lambda: place.exists() and place.stat().st_size > 0, "the log is copied", 30)
        serving["b"].stop()
        shutil.rmtree(tmp_path / "b")
        (tmp_path / "b").mkdir()
        cluster.serve("b")
        ledger.write_bytes(whole)
        line = collector.wait_for_line("INVALID", 60)

    assert f"node {cluster.label('b')}: {log} is no longer there," in line
    assert place.read_bytes() == b"".join(recorded()["b"][log_source("client-1")])


def test_a_node_without_files_of_the_run_is_named(tmp_path: Path) -> None:
    """A node that answers and has no file of the run may have another folder than its services."""
    write_nodes(tmp_path, "abc")
    (tmp_path / "d").mkdir()
    with Cluster(tmp_path, "abcd") as cluster:
        for name in "abcd":
            cluster.serve(name)
        line = cluster.root.start("collector").wait_for_line("INVALID", 60)

    assert f"node {cluster.label('d')} has no file of this run" in line


def test_own_files_are_refused(tmp_path: Path) -> None:
    """A collector does not pull into a folder of services of its host."""
    write(good_run(), tmp_path / "root")
    with Cluster(tmp_path, "abc") as cluster:
        collector = cluster.root.start("collector")
        assert 104 == collector.wait(30)
        assert "was written by a service of this host; give the collector that pulls another VOLUMES" in collector.text
