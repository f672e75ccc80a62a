"""Tests of the HTTP server of a node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.collector.nodes.node_address import NodeAddress
from services.collector.nodes.node_client import PIECE, NodeClient, NodeUnreachable
from services.collector.publish.web.node_server import NodeServer, make_app
from services.contract.nodes import NodeInfo, NodeListing, decode
from services.runtime.access.tls import ClientTls, ServerTls
from services.runtime.errors import BadSettings, PortInUse
from services.server.secrets_folder import make_certificate
from tests.builders.runs import RUN, good_run, log_source, write
from tests.unit.collector.publish.asgi_client import ask

TOKEN = "Bearer secret"
LOG = f"/file?run={RUN}&client=client-1&name=0001-0001.jsonl"


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    """Return a volumes folder with a run."""
    write(good_run(), tmp_path)
    return tmp_path


@pytest.mark.parametrize("path", ["/node", f"/files?run={RUN}", LOG, "/nothing", "/healthz/../node", "//healthz"])
@pytest.mark.parametrize("given", [None, "", "Bearer", "Bearer secre", "Bearer secrets", "bearer secret", "secret"])
async def test_the_token_is_required(volumes: Path, path: str, given: str | None) -> None:
    """Without the token every address but the probe answers 401, and says nothing else."""
    headers = {} if given is None else {"authorization": given}
    status, found, body = await ask(make_app(volumes, "secret", "one"), path, **headers)

    assert (401, "Bearer", b"a token is required\n") == (status, found["www-authenticate"], body)


async def test_the_probe_needs_no_token(volumes: Path) -> None:
    """The probe of a container answers without the token."""
    assert 200 == (await ask(make_app(volumes, "secret", "one"), "/healthz")).status


async def test_runs_files_and_bytes_are_handed_out(volumes: Path) -> None:
    """With the token a node names itself and its runs, lists the files of a run, and serves ranges of them."""
    app = make_app(volumes, "secret", "one")
    whole = b"".join(good_run()[log_source("client-1")])
    info = decode((await ask(app, "/node", authorization=TOKEN)).body, NodeInfo)
    listing = decode((await ask(app, f"/files?run={RUN}", authorization=TOKEN)).body, NodeListing)
    part = await ask(app, LOG, authorization=TOKEN, range="bytes=10-19")
    rest = await ask(app, LOG, authorization=TOKEN, range="bytes=10-")

    assert ("one", [RUN]) == (info.node, info.runs)
    assert len(good_run()) == len(listing.files)
    assert (206, whole[10:20]) == (part.status, part.body)
    assert f"bytes 10-19/{len(whole)}" == part.headers["content-range"]
    assert whole[10:] == rest.body


async def test_a_range_has_a_limit(volumes: Path) -> None:
    """A longer range is answered with the first mebibyte of it."""
    (volumes / log_source("client-1").path).write_bytes(b"x" * (PIECE + 10))
    found = await ask(make_app(volumes, "secret", "one"), LOG, authorization=TOKEN, range="bytes=0-99999999")

    assert (206, PIECE) == (found.status, len(found.body))
    assert f"bytes 0-{PIECE - 1}/{PIECE + 10}" == found.headers["content-range"]


@pytest.mark.parametrize(
    "given",
    [
        "",
        "bytes=-5",
        "bytes=5-4x",
        "bytes=0-1,3-4",
        "lines=0-1",
        "bytes=999999-",
        "bytes=9-5",
        "bytes=999999999999999-",
    ],
)
async def test_other_ranges_are_refused(volumes: Path, given: str) -> None:
    """No range, several, a suffix, and one behind the end of the file are refused."""
    found = await ask(make_app(volumes, "secret", "one"), LOG, authorization=TOKEN, range=given)

    assert 416 == found.status


@pytest.mark.parametrize(
    "path",
    [
        "/files?run=..",
        "/files",
        f"/file?run={RUN}&name=..%252F..%252Fsecret.jsonl",
        f"/file?run={RUN}&client=..&name=a.jsonl",
        f"/file?run={RUN}&client=client-1&name=%ff.jsonl",
        "/file",
    ],
)
async def test_what_is_not_there_is_not_found(volumes: Path, path: str) -> None:
    """Other runs, other folders and malformed names do not exist."""
    found = await ask(make_app(volumes, "secret", "one"), path, authorization=TOKEN, range="bytes=0-9")

    assert 404 == found.status


async def test_a_client_reads_a_file_over_a_connection(volumes: Path) -> None:
    """The client of a node reads what its server serves, and a second server cannot have its port."""
    server = NodeServer(["127.0.0.1"], 0, make_app(volumes, "secret", "one"))
    serving = asyncio.create_task(server.serve())
    client = NodeClient(NodeAddress("127.0.0.1", server.port), "secret")
    listing = await asyncio.to_thread(client.listing, RUN)
    (file,) = [file for file in listing.files if (file.client, file.name) == ("client-1", "0001-0001.jsonl")]
    data = await asyncio.to_thread(client.part, RUN, file, 0)
    with pytest.raises(PortInUse, match="NODE_PORT"):
        NodeServer(["127.0.0.1"], server.port, make_app(volumes, "secret", "one"))
    client.close()
    await server.stop()
    await serving

    assert b"".join(good_run()[log_source("client-1")]) == data


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a certificate for this machine, and its key."""
    made = tmp_path_factory.mktemp("tls")
    make_certificate(made, [])
    return made


@asynccontextmanager
async def serving(volumes: Path, tls: ServerTls | None) -> AsyncIterator[int]:
    """Serve a folder as a node; yield its port."""
    server = NodeServer(["127.0.0.1"], 0, make_app(volumes, "secret", "one"), tls)
    task = asyncio.create_task(server.serve())
    yield server.port
    await server.stop()
    await task


async def reason(address: NodeAddress, tls: ClientTls | None = None) -> str:
    """Return why a node cannot be asked; empty if it can."""
    client = NodeClient(address, "secret", tls=tls)
    try:
        await asyncio.to_thread(client.info)
    except NodeUnreachable as problem:
        return str(problem)
    finally:
        client.close()
    return ""


async def test_a_node_with_a_certificate_is_asked_by_tls(volumes: Path, secrets: Path) -> None:
    """Its certificate is verified for the name in NODES, whichever address of the name is asked."""
    trusted = ClientTls(str(secrets / "tls.crt"))
    async with serving(volumes, ServerTls(str(secrets / "tls.crt"), str(secrets / "tls.key"))) as port:
        assert "" == await reason(NodeAddress("127.0.0.1", port, "localhost"), trusted)
        assert "TLS_CA_FILE" in await reason(NodeAddress("127.0.0.1", port, "localhost"))
        assert "not valid for 'node.example.org'" in await reason(
            NodeAddress("127.0.0.1", port, "node.example.org"), trusted
        )
        assert "" != await reason(NodeAddress("127.0.0.1", port), trusted)


async def test_a_node_without_a_certificate_is_not_asked_by_tls(volumes: Path) -> None:
    """A node that does not speak TLS is named with the remedy."""
    async with serving(volumes, None) as port:
        assert "has no https://" in await reason(NodeAddress("127.0.0.1", port, "localhost"))


def test_an_address_of_another_machine_is_refused(volumes: Path) -> None:
    """An address that this machine does not have is one line."""
    with pytest.raises(BadSettings, match=r"HOST='192\.0\.2\.1'"):
        NodeServer(["192.0.2.1"], 0, make_app(volumes, "secret", "one"))
