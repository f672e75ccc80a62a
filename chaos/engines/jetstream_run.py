"""A run of three servers that have no common folder: they decide through JetStream, of which one node is killed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from chaos.engines.nats_cluster import NatsCluster
from services.contract import ledger
from tests.integration.processes import Process, free_port, verify
from tests.integration.shared_runs import ask
from tests.poll import poll_until
from tests.readers import Volumes

SERVERS = 3
STREAM = "streamgauge"
Schedule = tuple[tuple[int, int, float | None], ...]


class JetStreamRun(NamedTuple):
    """What a run left behind.

    Attributes:
        code: exit code of the ordinary collector, for the folder of the first server.
        verdict: its first line.
        schedules: the different schedules in the ledgers.
        ledgers: number of ledgers in each server's folder.
        differing: copies of a ledger that are not equal to the original.
        blocks: that the clients logged.
        receipts: different ones in the ledgers.
        killed: the node that led the stream, and was killed.
    """

    code: int
    verdict: str
    schedules: set[Schedule]
    ledgers: list[int]
    differing: list[str]
    blocks: int
    receipts: int
    killed: int

    @property
    def is_good(self) -> bool:
        """Whether the run passed, with one schedule, equal copies, and a receipt for each block."""
        is_one = len(self.schedules) == 1 and set(self.ledgers) == {SERVERS} and not self.differing
        return self.code == 0 and is_one and self.blocks == self.receipts


def entries_of(path: Path) -> list[ledger.Entry]:
    """Return the entries of a ledger."""
    return [ledger.codec.decode(line)[1] for line in path.read_bytes().splitlines(keepends=True)]


def schedule_of(entries: Sequence[ledger.Entry]) -> Schedule:
    """Return the rates of a ledger with the records and times at which they begin."""
    return tuple((entry.first, entry.due_us, entry.rate) for entry in entries if isinstance(entry, ledger.PaceEntry))


def play(folder: Path, *, records: int = 2400, rate: int = 200, clients: int = 15) -> JetStreamRun:
    """Play a run with a pause at one server, a resumption at another, and the leader of the stream killed between."""
    with NatsCluster(folder / "nats") as nats:
        ports = [free_port() for _ in range(SERVERS)]
        folders = [folder / f"server-{number}" for number in range(SERVERS)]
        started: list[Process] = []
        try:
            for port, volumes in zip(ports, folders, strict=True):
                settings = {"RECORDS": records, "RATE": rate, "CLIENTS": clients, "LEDGER": nats.address(STREAM)}
                started.append(Process("services.server", PORT=port, VOLUMES=volumes, **settings))
            for server in started:
                server.wait_for_line('"listening"', 60)
            killed = _play(nats, [f"ws://127.0.0.1:{port}" for port in ports], folders[0], started, clients)
            for server in started[:SERVERS]:
                server.wait_for_line('"run ended"', 60)
        except BaseException as error:
            for process in started:
                error.add_note(f"---- output of {process.name}\n{process.text[-6000:]}")
            raise
        finally:
            # The servers last, so that they have every client's last receipts.
            for process in reversed(started):
                process.close()
    return _read(folders, killed)


def _play(nats: NatsCluster, urls: list[str], folder: Path, started: list[Process], clients: int) -> int:
    """Start the clients and change the run; return the node that was killed."""
    for number, url in enumerate(urls, 1):
        share = {"CONNECTIONS": clients // SERVERS, "BLOCK_SIZES": "10,25"}
        started.append(
            Process("services.client", VOLUMES=folder, CLIENT_ID=f"client-{number}", SERVER_URL=url, **share)
        )
    poll_until(lambda: ask(urls[0], do="status").head > 100, "the run goes", 60)
    ask(urls[1], do="pause")
    poll_until(lambda: {ask(url, do="status").state for url in urls} == {"paused"}, "all servers pause", 30)
    leader = nats.leader_of(STREAM)
    assert leader is not None
    nats.kill(leader)
    resume(urls[2])
    poll_until(lambda: {ask(url, do="status").state for url in urls} == {"ended"}, "the run ends", 120)
    return leader


def resume(url: str) -> None:
    """Resume the run as an operator does: again, until a server says that it goes on."""

    def goes() -> bool:
        try:
            return ask(url, do="resume").state == "running"
        except AssertionError:
            # Without a leader nothing can be decided for some seconds, and the request is refused.
            return ask(url, do="status").state == "running"

    poll_until(goes, "the run is resumed", 60, 0.5)


def _read(folders: list[Path], killed: int) -> JetStreamRun:
    code, text = verify(folders[0])
    run = Volumes(folders[0]).newest()
    files = [sorted((folder / "ledger" / run).glob("*.jsonl")) for folder in folders]
    contents = [{path.name: path.read_bytes() for path in paths} for paths in files]
    entries = [entries_of(path) for path in files[0]]
    blocks = sum(len(Volumes(folders[0]).blocks(client)) for client in Volumes(folders[0]).clients())
    receipts = {
        (entry.client, entry.session, entry.block)
        for one in entries
        for entry in one
        if isinstance(entry, ledger.ReceiptEntry)
    }
    return JetStreamRun(
        code,
        next((line.strip() for line in text.splitlines() if line.strip()), ""),
        {schedule_of(one) for one in entries},
        [len(one) for one in contents],
        sorted({name for one in contents for name in one if one[name] != contents[0].get(name)}),
        blocks,
        len(receipts),
        killed,
    )
