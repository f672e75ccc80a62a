"""Tests of pulling from all nodes at the same time."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from services.collector.nodes import node_state
from services.collector.nodes.node_address import NodeAddress
from services.collector.nodes.node_pulls import FolderInUse, NodePulls, refuse_own_files
from services.collector.nodes.pull_record import read_record
from services.collector.publish.web.node_server import NodeServer, make_app
from tests.builders.runs import RUN, good_run, log_source, write
from tests.poll import poll_until

TOKEN = "secret"


@asynccontextmanager
async def serving(
    volumes: Path, name: str = "one", host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[NodeAddress]:
    """Serve a folder as a node; yield its address."""
    server = NodeServer([host], port, make_app(volumes, TOKEN, name))
    task = asyncio.create_task(server.serve())
    yield NodeAddress(host, server.port)
    await server.stop()
    await task


@contextmanager
def pulling(pulls: NodePulls) -> Iterator[NodePulls]:
    """Pull while the block runs."""
    pulls.start()
    try:
        yield pulls
    finally:
        pulls.stop()


def copies(root: Path) -> dict[Path, bytes]:
    """Return the pulled files."""
    return {path: path.read_bytes() for path in root.rglob("*.jsonl")}


async def complete(pulls: NodePulls, since: float) -> None:
    """Wait until every node has given everything of the run since a time."""
    await asyncio.to_thread(poll_until, lambda: pulls.complete_from(RUN) > since, "everything is here", 20)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the folder of the collector."""
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


async def test_files_of_all_nodes_are_pulled(tmp_path: Path, root: Path) -> None:
    """A collector has the files of both nodes, and the record says that nothing is missing."""
    files = good_run()
    write({source: lines for source, lines in files.items() if source.client is None}, tmp_path / "a")
    write({source: lines for source, lines in files.items() if source.client is not None}, tmp_path / "b")
    async with serving(tmp_path / "a") as a, serving(tmp_path / "b") as b:
        with pulling(NodePulls(root, [a, b], TOKEN)) as pulls:
            await complete(pulls, 0.0)
            assert not pulls.is_settled(RUN)
            record = pulls.seal(RUN, time.monotonic() - 60)

    assert record.is_complete
    assert record == read_record(root, RUN)
    assert {b"".join(lines) for lines in files.values()} == set(copies(root).values())


async def test_a_node_that_hangs_delays_only_itself(tmp_path: Path, root: Path) -> None:
    """While one node accepts connections and never answers, the files of the other one arrive."""
    write(good_run(), tmp_path / "a")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with serving(tmp_path / "a") as a:
            pulls = NodePulls(root, [a, NodeAddress(*silent.getsockname())], TOKEN)
            with pulling(pulls):
                await asyncio.to_thread(poll_until, lambda: len(copies(root)) == len(good_run()), "files arrive", 20)
                assert float("-inf") == pulls.complete_from(RUN)


async def test_a_node_that_comes_back_is_continued(tmp_path: Path, root: Path) -> None:
    """A node that was away and has written meanwhile is pulled on."""
    write(good_run(), tmp_path / "a")
    log = tmp_path / "a" / log_source("client-1").path
    whole = log.read_bytes()
    log.write_bytes(whole[:1000])
    async with serving(tmp_path / "a") as address:
        pulls = NodePulls(root, [address], TOKEN)
        with pulling(pulls):
            await complete(pulls, 0.0)
    log.write_bytes(whole)
    async with serving(tmp_path / "a", port=address.port):
        pulls = NodePulls(root, [address], TOKEN)
        with pulling(pulls):
            await complete(pulls, time.monotonic())

    assert whole in set(copies(root).values())
    assert len(good_run()) == len(copies(root))


async def test_one_name_has_all_its_addresses(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one name, the nodes at all its addresses are pulled, name themselves, and may get other addresses."""
    monkeypatch.setattr(node_state, "_REPLACED_SECONDS", 1.0)
    files = good_run()
    write({source: lines for source, lines in files.items() if source.client is None}, tmp_path / "a")
    write({source: lines for source, lines in files.items() if source.client is not None}, tmp_path / "b")
    found: list[NodeAddress] = []
    with pulling(NodePulls(root, [NodeAddress("nodes", 1)], TOKEN, find=lambda _host, _port: list(found))) as pulls:
        async with serving(tmp_path / "a", "a") as a, serving(tmp_path / "b", "b") as b:
            found += [a, b]
            await complete(pulls, 0.0)
            nodes = await asyncio.to_thread(
                poll_until, lambda: {node.node for node in pulls.table.record(RUN).nodes} == {"a", "b"}, "names", 10
            )
            assert nodes
        found[:] = [a]
        moved_at = time.monotonic()
        async with serving(tmp_path / "a", "a", port=a.port), serving(tmp_path / "b", "b") as moved:
            found.append(moved)
            await complete(pulls, moved_at)

    assert {"a", "b"} == {path.name.partition("~")[0] for path in copies(root)}
    assert len(files) == len(copies(root))


async def test_the_collectors_own_folder_is_not_pulled(root: Path) -> None:
    """A node that hands out the folder of the collector would have its copies copied for ever."""
    async with serving(root) as address:
        pulls = NodePulls(root, [address], TOKEN)
        with pulling(pulls):
            await asyncio.to_thread(
                poll_until, lambda: "own folder" in pulls.table.record(RUN).nodes[0].trouble, "it is named", 10
            )


async def test_a_settled_run_is_not_pulled_again(tmp_path: Path, root: Path) -> None:
    """A collector that starts again knows which runs are complete."""
    write(good_run(), tmp_path / "a")
    async with serving(tmp_path / "a") as address:
        with pulling(NodePulls(root, [address], TOKEN)) as pulls:
            await complete(pulls, 0.0)
            pulls.seal(RUN, time.monotonic() - 60)
    again = NodePulls(root, [address], TOKEN)

    assert again.is_settled(RUN)
    assert [] == again.table.open_runs()


def test_files_that_were_not_pulled_are_refused(tmp_path: Path) -> None:
    """A folder with files of services of this host is named with one of them; one with copies is used."""
    write(good_run(), tmp_path)
    with pytest.raises(FolderInUse, match="was written by a service of this host"):
        refuse_own_files(tmp_path)
    for path in tmp_path.rglob("*.jsonl"):
        path.rename(path.with_name(f"a~{path.name}"))
    refuse_own_files(tmp_path)


def test_two_collectors_do_not_pull_into_one_folder(root: Path) -> None:
    """The second one is refused while the first one pulls."""
    nodes = [NodeAddress("127.0.0.1", 1)]
    with pulling(NodePulls(root, nodes, TOKEN)), pytest.raises(FolderInUse, match="another collector pulls into"):
        NodePulls(root, nodes, TOKEN).start()
    with pulling(NodePulls(root, nodes, TOKEN)):
        pass


async def test_a_name_with_both_kinds_of_addresses_is_one_node(tmp_path: Path, root: Path) -> None:
    """A host whose node listens on IPv4 only is not missed at its IPv6 address."""
    write(good_run(), tmp_path / "a")
    async with serving(tmp_path / "a", "a") as address:
        both = [NodeAddress("::1", address.port), address]
        with pulling(NodePulls(root, [NodeAddress("nodes", 1)], TOKEN, find=lambda _host, _port: both)) as pulls:
            await complete(pulls, 0.0)

    assert ["a"] == [node.node for node in pulls.table.record(RUN).nodes]
