"""The JavaScript examples in docs/conformance interoperate: with our services, and with each other."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from benchmarks.peers import install
from chaos.wire.damage import DamagePlan, Kind
from chaos.wire.proxy import Proxy
from chaos.wire.tcp import TcpProxy
from services.collector.commands.verify import check
from services.contract import blocklog, ledger
from services.contract.rangeset import RangeSet
from services.contract.summary import Summary
from tests.integration.processes import ROOT, Process, Program, System, free_port
from tests.integration.programs import program
from tests.poll import poll_until
from tests.readers import Volumes, is_sealed

KIT = ROOT / "docs" / "conformance"
RECORDS = 600
RATE = 300
KINDS: tuple[Kind, ...] = ("drop", "duplicate", "swap", "corrupt", "header")
GONE: tuple[Kind, ...] = ("drop", "corrupt", "header")
"""Kinds of damage after which records are in no log."""
Node = Callable[..., Program]


@pytest.fixture(scope="session")
def node() -> Node:
    """Starts an example; without Node.js or `ws` a test is skipped on a laptop, and fails in CI."""
    command = program("node", "nodejs")
    program("npm", "npm")
    try:
        _, modules = install.npm("ws").command
    except install.NotAvailable as problem:
        if os.environ.get("CI"):
            pytest.fail(f"CI has no npm package ws: {problem}", pytrace=False)
        pytest.skip(f"no npm package ws here: {problem}")

    def start(script: str, *arguments: object) -> Program:
        words = [command, str(KIT / "javascript" / script), *map(str, arguments)]
        return Program(script, *words, NODE_PATH=f"{modules}/node_modules")

    return start


def ended(volumes: Volumes) -> bool:
    """Return whether the ledger has the end of the run."""
    return any(isinstance(entry, ledger.EndEntry) for entry in volumes.ledger())


def is_over(volumes: Volumes) -> None:
    """Wait until the run is over, and every client has sealed its log."""
    poll_until(lambda: ended(volumes), "the run is over", 20, 0.05)
    files = [path for client in volumes.clients() for path in volumes.files(client)]
    poll_until(lambda: all(is_sealed(path) for path in files), "every log is sealed", 10, 0.05)


def reaches(volumes: Volumes, client: str, seq: int) -> None:
    """Wait until a client has receipted this number of records."""
    poll_until(lambda: volumes.head(client) >= seq, f"{client} has receipted {seq}", 15, 0.02)


def subscriptions(volumes: Volumes, client: str) -> list[int]:
    """Return the first seq of each subscription of a client."""
    entries = volumes.ledger()
    return [entry.first for entry in entries if isinstance(entry, ledger.SubscribeEntry) and entry.client == client]


def summary_of(folder: Path) -> Summary:
    """Audit the only run in a folder."""
    (verified,) = check(folder)
    return verified.summary


def closed(volumes: Volumes) -> Summary:
    """Verify the run, which must pass with everything delivered; return the summary."""
    made = summary_of(volumes.root)
    assert ("PASS", 0) == (made.verdict, made.totals.residual), made.reasons
    assert [] == made.faults
    return made


def test_our_server_and_their_clients(tmp_path: Path, node: Node) -> None:
    """Two clients in JavaScript receive and acknowledge everything that our server sends, despite cut connections."""
    with System(tmp_path, RECORDS=RECORDS, RATE=RATE, CLIENTS=2) as system, TcpProxy(system.port, 1) as proxy:
        system.server()
        with (
            node("client.js", proxy.url, tmp_path, "theirs-1", 7) as small,
            node("client.js", proxy.url, tmp_path, "theirs-2", 64) as large,
        ):
            reaches(system.volumes, "theirs-2", 128)
            assert 2 == proxy.reset()
            is_over(system.volumes)
            assert [0, 0] == [small.stop(), large.stop()]

    assert 2 * RECORDS == closed(system.volumes).totals.received
    for client, size in (("theirs-1", 7), ("theirs-2", 64)):
        counts = [block.count for block in system.volumes.blocks(client)]
        _, again = subscriptions(system.volumes, client)

        assert [size] * (RECORDS // size) == counts[: RECORDS // size]
        assert 128 < again <= RECORDS
        assert [True] * len(counts) == [
            entry.match
            for entry in system.volumes.ledger()
            if isinstance(entry, ledger.ReceiptEntry) and entry.client == client
        ]


def test_their_server_and_our_clients(tmp_path: Path, node: Node) -> None:
    """Our clients receive and acknowledge everything that a server in JavaScript sends, despite cut connections."""
    volumes, port = Volumes(tmp_path), free_port()
    with (
        node("server.js", port, tmp_path, RECORDS, RATE, 2) as server,
        TcpProxy(port, 1) as proxy,
        Process("services.client", VOLUMES=tmp_path, SERVER_URL=proxy.url, CLIENT_ID="ours", CONNECTIONS=2) as clients,
    ):
        reaches(volumes, "ours.2", 150)
        assert 2 == proxy.reset()
        is_over(volumes)
        assert [0, 0] == [clients.stop(), server.stop()]

    assert 2 * RECORDS == closed(volumes).totals.received
    assert [2, 2] == [len(subscriptions(volumes, client)) for client in ("ours.1", "ours.2")]
    assert {f'{{"id":{seq}'.encode() for seq in range(1, RECORDS + 1)} == {
        bytes(message.record).partition(b",")[0] for message in volumes.messages("ours.1")
    }


def test_they_among_themselves(tmp_path: Path, node: Node) -> None:
    """Server and clients in JavaScript pass `verify`, with one client that joins late and one that leaves early."""
    volumes, port = Volumes(tmp_path), free_port()
    url = f"ws://127.0.0.1:{port}"
    with (
        node("server.js", port, tmp_path, 2000, 1000, 2) as server,
        node("client.js", url, tmp_path, "leaves", 10) as leaves,
        node("client.js", url, tmp_path, "stays", 250) as stays,
        node("client.js", url, tmp_path, "joins", 1000) as joins,
    ):
        reaches(volumes, "leaves", 10)
        assert 0 == leaves.stop()
        is_over(volumes)
        assert [0, 0, 0] == [stays.stop(), joins.stop(), server.stop()]

    states = {client.client: client.state for client in closed(volumes).clients}
    assert {"joins": "finished", "leaves": "left", "stays": "finished"} == states
    assert [RangeSet([(1, 2000)])] * 2 == [volumes.held(client) for client in ("stays", "joins")]
    assert isinstance(end := volumes.log("leaves")[-1], blocklog.EndLine)
    assert "shutdown" == end.reason


def test_their_server_pauses_the_run_when_it_is_stopped(tmp_path: Path, node: Node) -> None:
    """A stopped server records the pause and its clients; a client waits for another server, and seals when stopped."""
    volumes, port = Volumes(tmp_path), free_port()
    with (
        node("server.js", port, tmp_path, 10_000, RATE) as server,
        node("client.js", f"ws://127.0.0.1:{port}", tmp_path, "theirs", 10) as client,
    ):
        reaches(volumes, "theirs", 50)
        assert 0 == server.stop()
        assert client.code is None
        assert 0 == client.stop()

    *_, pace = [entry for entry in volumes.ledger() if isinstance(entry, ledger.PaceEntry)]
    assert pace.rate is None
    assert ["draining"] == [entry.cause for entry in volumes.ledger() if isinstance(entry, ledger.LeaveEntry)]
    made = summary_of(tmp_path)
    assert ("INVALID", 0) == (made.verdict, made.totals.residual)
    assert made.headline.startswith("the ledger has no end")
    assert [True] == [is_sealed(path) for path in volumes.files("theirs")]


HOSTILE = (
    "{", "5", "null", "[]", '{"type":"constructor"}', '{"type":"receipt"}', '{"type":"subscribe"}',
    '{"type":"subscribe","client":["odd"]}', '{"type":"subscribe","client":"odd","instance":5}',
    '{"type":"subscribe","client":"odd","after":1e300}', '{"type":"subscribe","client":"../odd"}',
)  # fmt: skip
RECEIPT = {"session": 1, "block": 1, "first": 1, "last": 1, "count": 1, "missing": [], "digest": "x00000000"}
WRONG = ({"missing": 5}, {"missing": None}, {"missing": [None]}, {"digest": 7}, {"block": 0}, {"last": 10**6})


def test_their_server_refuses_what_is_malformed(tmp_path: Path, node: Node) -> None:
    """A malformed message is answered with close code 4400, and the other clients complete the run."""
    volumes, port = Volumes(tmp_path), free_port()
    url = f"ws://127.0.0.1:{port}"
    receipts = [json.dumps({"type": "receipt", **RECEIPT, **wrong}) for wrong in WRONG]
    with node("server.js", port, tmp_path, 1000, RATE) as server, node("client.js", url, tmp_path, "good", 50) as good:
        reaches(volumes, "good", 50)
        for frame in [*HOSTILE, *receipts]:
            with connect(url, proxy=None) as peer:
                if frame in receipts:
                    peer.send('{"type":"subscribe","client":"odd","session":1}')
                peer.send(frame)
                with pytest.raises(ConnectionClosedError) as closing:
                    list(iter(peer.recv, None))
                assert closing.value.rcvd is not None
                assert (frame, 4400) == (frame, closing.value.rcvd.code)
        with connect(url, proxy=None) as peer:
            peer.send('{"type":"subscribe","client":"odd","session":0}')
            poll_until(lambda: len(subscriptions(volumes, "odd")) == len(receipts) + 1, "it is let in", 5, 0.05)
            peer.send('{"type":"bye"}')
        is_over(volumes)
        assert [0, 0] == [good.stop(), server.stop()]

    found = {client.client: client for client in summary_of(tmp_path).clients}
    assert ("finished", 1000, 0) == (found["good"].state, found["good"].received, found["good"].residual)
    assert [] == summary_of(tmp_path).faults


def test_a_name_belongs_to_one_process(tmp_path: Path, node: Node) -> None:
    """Our client switches to the suggested name if the JavaScript server reports that its name is taken."""
    volumes, port = Volumes(tmp_path), free_port()
    settings = {"VOLUMES": tmp_path, "SERVER_URL": f"ws://127.0.0.1:{port}", "CLIENT_ID": "same"}
    with (
        node("server.js", port, tmp_path, RECORDS, 0, 2),
        Process("services.client", **settings),
        Process("services.client", **settings),
    ):
        poll_until(lambda: volumes.runs() and len(volumes.clients()) == 2, "there are two clients", 15)
        is_over(volumes)

    assert 2 * RECORDS == closed(volumes).totals.received
    assert re.fullmatch(r"same same~\d+", " ".join(volumes.clients()))


def test_their_client_sees_what_is_wrong(tmp_path: Path, node: Node) -> None:
    """Faults injected into frames on their way appear in the summary with number and position."""
    plans: dict[str, DamagePlan] = {kind: DamagePlan(kind, 2, "middle", seed=7) for kind in KINDS}
    with (
        System(tmp_path, RECORDS=400, RATE=RATE, GRACE_SECONDS=1, CLIENTS=len(KINDS)) as system,
        Proxy(system.url, plans) as proxy,
        contextlib.ExitStack() as clients,
    ):
        system.server()
        for kind in KINDS:
            clients.enter_context(node("client.js", proxy.url, tmp_path, kind, 10))
        is_over(system.volumes)
    found = {client.client: client for client in summary_of(tmp_path).clients}

    for kind in KINDS:
        book = proxy.damages[kind]
        touched = RangeSet((one.first, one.last) for one in book.faults)
        assert (2, 0) == (len(book.faults), found[kind].residual)
        if kind in GONE:
            assert touched.spans() == found[kind].missing_ranges
            assert (touched.count if kind == "corrupt" else 0) == found[kind].corrupt
        else:
            assert [] == found[kind].missing_ranges
            assert (kind == "duplicate", kind == "swap") == (bool(found[kind].duplicates), bool(found[kind].reordered))


def test_a_verifier_is_held_to_the_kit(tmp_path: Path) -> None:
    """The script accepts the expected summaries, and shows the difference in a changed one."""
    program("jq", "jq")
    count = len(list((KIT / "volumes").iterdir()))
    liar = tmp_path / "liar"
    liar.write_text('#!/bin/sh\nsed \'s/"residual":-2/"residual":0/g\' "$1/expected.json"\n', encoding="utf-8")
    liar.chmod(0o755)
    lied = subprocess.run([KIT / "check.sh", liar], capture_output=True, text=True, timeout=60, check=False)

    assert (1, f"{count - 1} of {count} cases agree") == (lied.returncode, lied.stdout.splitlines()[-1])
    assert "^ residual: expected <, printed >" in lied.stdout
