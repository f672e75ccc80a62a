"""Tests of services/collector/evidence/server_clocks.py."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.evidence.run_evidence import RunEvidence
from services.collector.evidence.server_clocks import ClockBlock, ClockOffset, ServerSkew, SessionClocks, merged, skew
from services.contract import blocklog, ledger
from tests.builders.runs import (
    RUN,
    START_US,
    Files,
    Session,
    Writer,
    at,
    blocks_of,
    end,
    judged,
    ledger_source,
    log_files,
    opening,
    receipt,
    subscription,
)

TOTAL = 60


def block(number: int, first: int, last: int, offset_us: int, error_us: int = 100) -> ClockBlock:
    """Return a block with its clock offset."""
    return ClockBlock(number, f"x{number}", first, last, offset_us, error_us)


def session(*blocks: ClockBlock, boot: str = "k") -> SessionClocks:
    """Return the blocks of session 1."""
    made = SessionClocks()
    made.add_open(1, boot)
    for one in blocks:
        made.add_block(1, one)
    return made


def test_blocks_of_a_client_with_one_server_are_offsets_to_it() -> None:
    """The more exact one of the first and the last block counts, also after a reconnect to the same server."""
    made = session(block(1, 1, 10, 500, 90), block(2, 11, 20, 400, 5), block(3, 21, 30, 450, 80))

    assert {("k", "s"): ClockOffset(80, 450)} == made.offsets({1: [(1, "s"), (11, "s")]})


def test_a_client_that_moved_compares_two_servers() -> None:
    """A block that ended before the move is an offset to the first server, one that began after it to the last."""
    made = session(block(1, 1, 10, 500), block(2, 11, 20, 9), block(3, 21, 30, 100))

    assert {("k", "s"): ClockOffset(100, 500), ("k", "t"): ClockOffset(100, 100)} == made.offsets(
        {1: [(1, "s"), (21, "t")]}
    )


@pytest.mark.parametrize("moved_at", [5, 10, 11])
def test_a_block_around_a_move_is_no_evidence(moved_at: int) -> None:
    """The only block of a client that moved may have either server's offset."""
    assert {} == session(block(1, 1, 10, 500)).offsets({1: [(1, "s"), (moved_at, "t")]})


def test_what_no_ledger_knows_is_no_evidence() -> None:
    """A session without a subscription, or without an open line, has no offset."""
    without_open = SessionClocks()
    without_open.add_block(1, block(1, 1, 10, 500))

    assert {} == session(block(1, 1, 10, 500)).offsets({2: [(1, "s")]})
    assert {} == without_open.offsets({1: [(1, "s")]})


def test_servers_that_no_client_connects_have_no_known_skew() -> None:
    """Each kernel of clients has one server only, so nothing is known."""
    apart = {("k", "s"): ClockOffset(1, 0), ("l", "t"): ClockOffset(1, 0)}

    assert skew(apart, {"one": "s", "two": "t"}) is None


def test_the_furthest_servers_are_named() -> None:
    """Of three servers the two whose clocks differ most are named, over the clients that connect them."""
    offsets = {
        ("k", "s"): ClockOffset(10, 0),
        ("k", "t"): ClockOffset(20, 5000),
        ("l", "t"): ClockOffset(30, 0),
        ("l", "u"): ClockOffset(40, 4000),
    }

    assert ServerSkew(("three", "one"), 9000, 100) == skew(offsets, {"one": "s", "two": "t", "three": "u"})


@given(
    servers=st.lists(st.integers(-(10**6), 10**6), min_size=2, max_size=4),
    clients=st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=4),
    data=st.data(),
)
def test_the_true_skew_is_within_the_error(servers: list[int], clients: list[int], data: st.DataObject) -> None:
    """However inexact the offsets are, the true difference of the two named servers is within the stated error."""
    offsets = {}
    for client, client_us in enumerate(clients):
        for server, server_us in enumerate(servers):
            if data.draw(st.booleans(), label=f"client {client} at server {server}"):
                error = data.draw(st.integers(0, 10**5))
                wrong = data.draw(st.integers(-error, error))
                offsets[str(client), f"s{server}"] = ClockOffset(error, server_us - client_us + wrong)
    found = skew(offsets, {f"s{number}": f"s{number}" for number in range(len(servers))})

    if found is not None:
        one, other = (servers[int(name[1:])] for name in found.servers)
        assert abs((one - other) - found.skew_us) <= found.error_us
        assert found.skew_us >= 0


def test_parts_merge_in_any_order() -> None:
    """The most exact offset of all parts counts."""
    one, other = {("k", "s"): ClockOffset(10, 5)}, {("k", "s"): ClockOffset(9, 7), ("k", "t"): ClockOffset(1, 1)}

    assert (
        merged([one, other]) == merged([other, one]) == {("k", "s"): ClockOffset(9, 7), ("k", "t"): ClockOffset(1, 1)}
    )


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 9), st.booleans()), max_size=12))
def test_files_of_a_client_that_are_read_apart_merge(blocks: list[tuple[int, int, bool]]) -> None:
    """The offsets are the same whichever of two processes has read which block of a client."""
    whole, one, other = SessionClocks(), SessionClocks(), SessionClocks()
    for number, (session_number, offset_us, is_other) in enumerate(blocks):
        for clocks in (whole, other if is_other else one):
            clocks.add_open(session_number, f"k{session_number}")
            clocks.add_block(session_number, block(number, number * 10 + 1, number * 10 + 10, offset_us))
    one.merge(other)
    subscriptions = {number: [(1, "s"), (51, "t")] for number in (1, 2, 3)}

    assert whole.offsets(subscriptions) == one.offsets(subscriptions)


def test_logs_of_two_sessions_that_are_read_apart_have_both_offsets() -> None:
    """The evidence of two files of one client has the clock offsets of both."""
    sessions = [
        Session("client-1", number, number, 0, blocks_of(first, first + 29, 10)) for number, first in ((1, 1), (2, 31))
    ]
    parts = []
    for one in sessions:
        parts.append(RunEvidence(RUN))
        for source, lines in log_files(one).items():
            for line in lines:
                parts[-1].add_line(source, line)
    parts[0].merge(parts[1])
    offsets = [parts[0].logs["client-1"].clocks.offsets({number: [(1, "s")]}) for number in (1, 2)]

    assert [1, 1] == [len(found) for found in offsets]


def files_of_two_hosts(
    offsets_us: dict[str, int], *, error_us: int = 100, kernels: tuple[str, str] = ("k", "k")
) -> Files:
    """Return the files of a run with a server and a client on each of two hosts, by the clients' offsets."""
    files: Files = {}
    for number, (server, offset_us) in enumerate(offsets_us.items(), 1):
        one = Session(f"client-{number}", 1, 1, 0, blocks_of(1, TOTAL, 10))
        writer = Writer(ledger.codec)
        start = ledger.PaceEntry(at=at(0), first=1, due_us=START_US, rate=1000)
        opened = msgspec.structs.replace(opening(TOTAL, 2), instance=server, boot=f"boot-{server}")
        for entry in (opened, start, subscription(one)):
            writer.put(entry)
        writer.put(ledger.SentEntry(at=at(0), client=one.client, fence=1, through=TOTAL))
        for index, (first, last) in enumerate(one.blocks):
            writer.put(receipt(one, index + 1, first, last))
        writer.put(end(TOTAL))
        files[ledger_source(server)] = writer.lines
        for source, lines in log_files(one).items():
            log = Writer(blocklog.codec)
            for line in lines:
                logged = blocklog.codec.decode(line)[1]
                if isinstance(logged, blocklog.OpenLine):
                    logged = msgspec.structs.replace(logged, boot=kernels[number - 1])
                elif isinstance(logged, blocklog.Block):
                    logged = msgspec.structs.replace(logged, clock_offset_us=offset_us, clock_error_us=error_us)
                elif isinstance(logged, blocklog.EndLine):
                    digest = hashlib.sha256(b"".join(log.lines)).hexdigest()
                    logged = msgspec.structs.replace(logged, sha256=digest)
                log.put(logged)
            files[source] = log.lines
    return files


@pytest.mark.parametrize(
    ("offsets_us", "error_us", "kernels", "ok", "says"),
    [
        ({"a": 500, "b": 600}, 100, ("k", "k"), True, "servers b and a are 0.1 ms apart, known within 0.2 ms"),
        ({"a": 0, "b": 90_000}, 100, ("k", "k"), False, "servers b and a are 90.0 ms apart, known within 0.2 ms"),
        ({"a": 0, "b": 900}, 600, ("k", "k"), None, "which is too inexact to compare it with latency's p99"),
        ({"a": 0, "b": 90_000}, 100, ("k", "l"), None, "it is not known how far they are apart"),
    ],
)
def test_the_check_of_clocks_compares_servers(
    offsets_us: dict[str, int], error_us: int, kernels: tuple[str, str], ok: bool | None, says: str
) -> None:
    """Clocks that are proved to be apart make the run INVALID; what is not known is null, with a sentence."""
    made = judged(files_of_two_hosts(offsets_us, error_us=error_us, kernels=kernels))
    (check,) = [check for check in made.checks if check.name == "clocks"]

    assert (ok, True) == (check.ok, says in check.detail)
    assert ("INVALID" if ok is False else "PASS") == made.verdict, made.reasons
