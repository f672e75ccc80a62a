"""Judges a stream of NATS JetStream: which confirmed messages does it lose, double or reorder when a node is killed?

    python -m chaos.engines.stream_judge

publishes numbered messages, kills nodes with -9, reads the stream back, and prints what is missing beside what was
injected. The exit code is 0 if both are equal for every kind of stream.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from chaos.engines.nats_cluster import NatsCluster, nats_server
from services.contract.rangeset import RangeSet
from services.runtime.setting_tables.nats_address import nats_address
from services.server.jetstream.client import JetStreamClient, OutdatedSequence
from tests.poll import poll_until

STREAM, SUBJECT = "judged", "judged.number"
PUBLISH_SECONDS, RETRY_SECONDS = 60.0, 0.1


class StreamFindings(NamedTuple):
    """What a stream did with numbered messages.

    Attributes:
        lost: confirmed numbers that it does not have.
        twice: numbers that it has more than once.
        out_of_order: numbers that come after a higher one.
        unknown: numbers that it has and that were not published.
        unconfirmed: numbers that it has although their publisher got no answer; no fault.
    """

    lost: RangeSet
    twice: RangeSet
    out_of_order: RangeSet
    unknown: RangeSet
    unconfirmed: RangeSet


def judge(confirmed: Sequence[int], attempted: Sequence[int], read: Sequence[int]) -> StreamFindings:
    """Compare the numbers that were published with those that the stream has. Pure.

    Args:
        confirmed: numbers that JetStream has confirmed.
        attempted: all numbers that were published, confirmed or not.
        read: numbers in the stream, in its order.
    """
    present, highest, late = Counter(read), 0, []
    for number in read:
        if number < highest:
            late.append(number)
        highest = max(highest, number)
    return StreamFindings(
        RangeSet.from_numbers(set(confirmed) - present.keys()),
        RangeSet.from_numbers(number for number, times in present.items() if times > 1),
        RangeSet.from_numbers(late),
        RangeSet.from_numbers(present.keys() - set(attempted)),
        RangeSet.from_numbers((present.keys() & set(attempted)) - set(confirmed)),
    )


class JudgedStream(NamedTuple):
    """A kind of stream, what was injected into it, and what the judge has found.

    Attributes:
        name: of the kind.
        injected_lost: confirmed numbers that it was made to lose.
        injected_twice: numbers that were published twice.
        findings: of the judge.
        longest_seconds: between a message and its confirmation.
    """

    name: str
    injected_lost: RangeSet
    injected_twice: RangeSet
    findings: StreamFindings
    longest_seconds: float

    @property
    def is_exact(self) -> bool:
        """Whether the judge has found what was injected, and nothing else."""
        found = self.findings
        is_equal = (found.lost, found.twice) == (self.injected_lost, self.injected_twice)
        return is_equal and not found.out_of_order and not found.unknown


class NumberPublisher:
    """Publishes numbers, each until it is confirmed, and reads them back."""

    def __init__(self, nats: NatsCluster) -> None:
        address = nats_address()(nats.address(STREAM))
        assert address is not None
        self.client = JetStreamClient(address, "stream")
        self.client.start()
        self.attempted: list[int] = []
        self.confirmed: list[int] = []
        self.longest_seconds = 0.0

    def make_stream(self, storage: str, replicas: int) -> None:
        """Create the stream, as soon as a node answers."""

        async def make() -> bool:
            try:
                await self.client.manager().add_stream(
                    name=STREAM, subjects=[SUBJECT], storage=storage, num_replicas=replicas, allow_direct=True
                )
            except Exception:  # noqa: BLE001
                # Whatever the library raises while it looks for a node.
                return False
            return True

        poll_until(lambda: self.client.run(make(), 20), "the stream is made", PUBLISH_SECONDS)

    def publish(self, first: int, last: int, *, again: bool = False) -> None:
        """Publish the numbers from ``first`` to ``last``; JetStream drops repeats unless they are meant."""
        for number in range(first, last + 1):
            began = time.monotonic()
            headers = None if again else {"Nats-Msg-Id": str(number)}
            self.attempted.append(number)
            while True:
                try:
                    self.client.run(self.client.publish(SUBJECT, b"%d" % number, headers), 10)
                    break
                except (OSError, TimeoutError, OutdatedSequence):
                    assert time.monotonic() - began < PUBLISH_SECONDS, "no node confirms a message"
                    time.sleep(RETRY_SECONDS)
            self.confirmed.append(number)
            self.longest_seconds = max(self.longest_seconds, time.monotonic() - began)

    def delete(self, numbers: Sequence[int]) -> None:
        """Delete the messages with these sequences."""
        for number in numbers:
            self.client.run(self.client.manager().delete_msg(STREAM, number), 10)

    def read(self) -> list[int]:
        """Return the numbers in the stream, in its order."""
        read, after = list[int](), 0
        while True:
            messages = self.client.run(self.client.read(after + 1), 10)
            if messages is None:
                continue
            if not messages:
                return read
            read += [int(message.data) for message in messages]
            after = messages[-1].seq


def leader_killed(nats: NatsCluster, publisher: NumberPublisher, count: int) -> tuple[RangeSet, RangeSet]:
    """Kill the leader of a stream that is on three disks, while numbers are published: nothing may be lost."""
    publisher.make_stream("file", 3)
    publisher.publish(1, count // 2)
    leader = nats.leader_of(STREAM)
    assert leader is not None
    nats.kill(leader)
    publisher.publish(count // 2 + 1, count)
    return RangeSet(), RangeSet()


def memory_killed(nats: NatsCluster, publisher: NumberPublisher, count: int) -> tuple[RangeSet, RangeSet]:
    """Kill the only node of a stream that is in memory: it loses everything that it had confirmed."""
    publisher.make_stream("memory", 1)
    publisher.publish(1, count // 2)
    nats.kill(0)
    nats.start(0)
    # The node has forgotten the stream itself, too.
    publisher.make_stream("memory", 1)
    publisher.publish(count // 2 + 1, count)
    return RangeSet([(1, count // 2)]), RangeSet()


def tampered(nats: NatsCluster, publisher: NumberPublisher, count: int) -> tuple[RangeSet, RangeSet]:
    """Delete some messages and publish others twice, then kill the only node: the files keep the rest."""
    publisher.make_stream("file", 1)
    publisher.publish(1, count)
    deleted = [3, 4, count // 2]
    publisher.delete(deleted)
    publisher.publish(count, count, again=True)
    nats.kill(0)
    nats.start(0)
    return RangeSet.from_numbers(deleted), RangeSet([(count, count)])


Injection = Callable[[NatsCluster, NumberPublisher, int], tuple[RangeSet, RangeSet]]
KINDS: dict[str, tuple[int, Injection]] = {
    "three nodes, files, leader killed": (3, leader_killed),
    "one node, memory, killed": (1, memory_killed),
    "one node, files, messages deleted and doubled, killed": (1, tampered),
}
"""Number of nodes and injection, by the name of the kind."""


def judge_kind(name: str, folder: Path, count: int = 400) -> JudgedStream:
    """Publish numbers to one kind of stream, inject its faults, and judge what it has afterwards."""
    size, inject = KINDS[name]
    with NatsCluster(folder, size) as nats:
        publisher = NumberPublisher(nats)
        try:
            lost, twice = inject(nats, publisher, count)
            findings = judge(publisher.confirmed, publisher.attempted, publisher.read())
        finally:
            publisher.client.close()
    return JudgedStream(name, lost, twice, findings, publisher.longest_seconds)


def main(arguments: Sequence[str]) -> int:
    """Judge every kind of stream and print what was found; return the exit code."""
    argparse.ArgumentParser(prog="python -m chaos.engines.stream_judge", description=__doc__).parse_args(arguments)
    if nats_server() is None:
        print("no nats-server: install requirements/engines.txt")
        return 104
    is_exact = True
    for name in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            judged = judge_kind(name, Path(folder))
        is_exact &= judged.is_exact
        print(f"{name}: lost {judged.findings.lost.spans()}, injected {judged.injected_lost.spans()}")
        print(f"    twice {judged.findings.twice.spans()}, injected {judged.injected_twice.spans()}")
        print(f"    longest wait for a confirmation {judged.longest_seconds:.1f} s")
    return 0 if is_exact else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
