"""Servers without a common folder decide through real NATS servers, and play the feed of a stream."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.engines import jetstream_run, stream_judge
from chaos.engines.nats_cluster import NatsCluster, nats_server
from services.contract import ledger
from services.runtime.setting_tables.nats_address import nats_address
from services.server.feed.generator import FeedGenerator
from services.server.jetstream.client import JetStreamClient
from services.server.jetstream.stream_feed import DELETED, record_of
from tests.integration.processes import Process, System, verify
from tests.integration.shared_runs import ask, ledgers, schedules
from tests.poll import poll_until

PAYLOADS = (b'{"a":1}', b'{\n  "b": [1,\r\n 2]\n}', "só\n".encode(), b"\xff\x00", b"", b"17", b'"text"', b"x" * 70_000)
"""Messages of a producer that knows nothing of this project."""


@pytest.fixture(autouse=True)
def _engine() -> None:
    """A NATS server and its client library: without them a test is skipped on a laptop, and fails in CI."""
    if nats_server() is None or importlib.util.find_spec("nats") is None:
        if os.environ.get("CI"):
            pytest.fail("CI has no NATS server: `make test` installs requirements/engines.txt", pytrace=False)
        pytest.skip("no NATS server here; requirements/engines.txt has it")


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsCluster]:
    """One NATS server."""
    with NatsCluster(tmp_path / "nats", 1) as cluster:
        yield cluster


def publish(nats: NatsCluster, stream: str, payloads: tuple[bytes, ...], delete: tuple[int, ...] = ()) -> None:
    """Publish messages to a new stream, then delete some of them by their sequence."""
    address = nats_address()(nats.address(stream))
    assert address is not None
    client = JetStreamClient(address, "stream")
    client.start()
    try:
        client.run(client.ensure_stream([f"{stream}.>"]), 10)
        for payload in payloads:
            client.run(client.publish(f"{stream}.x", payload), 10)
        for seq in delete:
            client.run(client.manager().delete_msg(stream, seq), 10)
    finally:
        client.close()


@pytest.mark.slow
def test_servers_agree_while_a_node_is_killed(tmp_path: Path) -> None:
    """Three servers with a folder each play one schedule, and have equal ledgers, though a node is killed."""
    played = jetstream_run.play(tmp_path, records=900, rate=100, clients=9)

    assert played.is_good, played
    assert [100, None, 100] == [rate for _, _, rate in next(iter(played.schedules))]


@pytest.mark.slow
def test_a_server_joins_late_and_plays_the_next_run(nats: NatsCluster, tmp_path: Path) -> None:
    """A server that comes later, with an empty folder, joins the run by its copies, and plays the next one too."""
    settings = {"RECORDS": 400, "RATE": 100, "RUNS": 2, "LEDGER": nats.address("streamgauge")}
    with System(tmp_path / "first", **settings) as system, System(tmp_path / "second", **settings) as other:
        first = system.server()
        system.client("client-1")
        first.wait_for_line('"rate set"', 20)
        # Held, so that a slow start of the second server does not miss the run.
        ask(system.url, do="pause")
        second = other.server()
        assert "run continued" in second.text
        ask(other.url, do="resume")
        run = system.volumes.newest()
        poll_until(lambda: _ends(first) == _ends(second) == 2, "both servers end both runs", 60)
        assert (0, 0) == (second.stop(), first.stop())
        assert 0 == verify(tmp_path / "first")[0]

    runs = system.volumes.runs()
    assert (run, 2) == (runs[0], len(runs))
    assert runs == other.volumes.runs()
    for name in runs:
        assert (2, 2) == (len(ledgers(system.volumes, name)), len(ledgers(other.volumes, name)))
    # What was entered before a server joined is not entered again.
    fewer, more = sorted(
        sum(isinstance(entry, ledger.PaceEntry) for entry in entries) for entries in ledgers(system.volumes, runs[0])
    )
    assert fewer < more
    assert [1, 1] == [len(schedules(system.volumes, name)) for name in runs]


def _ends(server: Process) -> int:
    return server.text.count('"run ended"')


def test_a_server_plays_the_stream_of_any_producer(nats: NatsCluster, tmp_path: Path) -> None:
    """Clients log what the stream has, by its sequences: JSON, text, bytes, a message too big, a deleted one."""
    publish(nats, "orders", (b"before", *PAYLOADS, b'"last"'), delete=(3,))
    source = f"{nats.address('orders')}?from=2"
    with System(tmp_path / "volumes", RECORDS=len(PAYLOADS) + 1, RATE=50, SOURCE=source) as system:
        server = system.server()
        client = system.client("client-1")
        server.wait_for_line('"run ended"', 30)
        assert (0, 0) == (client.stop(), server.stop())
        code, text = verify(tmp_path / "volumes")

    assert 0 == code, text
    expected = [record_of(payload) for payload in (*PAYLOADS, b'"last"')]
    expected[1] = DELETED
    assert expected == [bytes(message.record) for message in system.volumes.messages("client-1")]


def test_the_feed_is_published_while_it_is_played(nats: NatsCluster, tmp_path: Path) -> None:
    """At rate 0 records are sent as soon as ``publish`` has put them into the stream, and are those of the feed."""
    publish(nats, "people", ())
    settings = {"RECORDS": 300, "SEED": 7, "GRACE_SECONDS": 60}
    with System(tmp_path / "volumes", RATE=0, SOURCE=nats.address("people"), **settings) as system:
        server = system.server()
        client = system.client("client-1")
        server.wait_for_line('"rate set"', 20)
        with Process("services.server", "publish", nats.address("people"), RATE=150, **settings) as publisher:
            assert 0 == publisher.wait(30), publisher.text
        assert "300 records" in publisher.text
        server.wait_for_line('"reason": "complete"', 30)
        assert (0, 0) == (client.stop(), server.stop())

    expected = FeedGenerator("person", "en_US", 7).records(1, 300)
    assert expected == [bytes(message.record) for message in system.volumes.messages("client-1")]


@pytest.mark.parametrize(
    ("name", "address", "expected"),
    [
        ("SOURCE", "{}", "create the stream first"),
        ("SOURCE", "nats://user:secret@127.0.0.1:1/run", "no NATS server accepted the connection"),
        ("LEDGER", "http://127.0.0.1", "expected an address like nats://one:4222"),
        ("SOURCE", "nats://127.0.0.1:4222", "expected an address like nats://one:4222"),
    ],
)
def test_an_unusable_stream_is_one_line(
    nats: NatsCluster, tmp_path: Path, name: str, address: str, expected: str
) -> None:
    """Without a server, a stream, or a readable address the server exits 104 with one line, and shows no password."""
    with Process("services.server", VOLUMES=tmp_path, **{name: address.format(nats.address("nothing"))}) as server:
        assert 104 == server.wait(30), server.text

    (line,) = [line for line in server.lines if line.startswith("error:")]
    assert line.startswith(f"error: {name}")
    assert expected in line
    assert "secret" not in server.text


def test_a_stream_without_its_beginning_is_refused(nats: NatsCluster, tmp_path: Path) -> None:
    """A stream that has dropped its first messages is refused with the number from which it can be played."""
    publish(nats, "orders", (b"1", b"2", b"3"), delete=(1, 2))
    with Process("services.server", VOLUMES=tmp_path, SOURCE=nats.address("orders")) as server:
        assert 104 == server.wait(30), server.text

    assert "its first message is number 3, not 1; end the setting with ?from=3" in server.text


@pytest.mark.slow
@pytest.mark.parametrize("kind", stream_judge.KINDS)
def test_the_judge_of_streams_finds_what_was_injected(kind: str, tmp_path: Path) -> None:
    """After a kill -9 the judge names exactly the messages that the stream was made to lose or to double."""
    judged = stream_judge.judge_kind(kind, tmp_path)

    assert judged.is_exact, judged
