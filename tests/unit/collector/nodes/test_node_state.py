"""Tests of what a collector knows of the nodes."""

from __future__ import annotations

from services.collector.nodes.node_address import NodeAddress
from services.collector.nodes.node_copy import PassReport
from services.collector.nodes.node_state import NodeTable
from services.contract import bounds
from services.contract.nodes import NodeInfo, PulledNode

RUN, NEXT = "20261122T073000Z", "20261122T073100Z"
ONE, OTHER = NodeAddress("192.0.2.1", 8768), NodeAddress("192.0.2.2", 8768)


def info(folder: str = "x", *runs: str) -> NodeInfo:
    """Return what a node says of itself."""
    return NodeInfo(node="a", folder=folder, runs=list(runs or (RUN,)))


def table(*names: str, keep_runs: int = 0) -> NodeTable:
    """Return a table whose nodes were each reached once."""
    made = NodeTable(names, [], keep_runs)
    for name in names:
        assert "" == made.claim(name, ONE, info(name), 0.0)
        assert made.note_trouble(name, ONE, "", 0.0)
    return made


def test_a_run_is_complete_when_every_node_is() -> None:
    """The time since when everything is here is that of the node that was asked longest ago."""
    made = table("a", "b")
    made.note_pass("a", RUN, 10.0, PassReport(files=2))
    assert float("-inf") == made.complete_from(RUN)
    made.note_pass("b", RUN, 7.0, PassReport(files=1))
    assert 7.0 == made.complete_from(RUN)

    for report in (PassReport(files=1, has_changed=True), PassReport(files=1, is_complete=False)):
        made.note_pass("b", RUN, 20.0, report)
        assert 7.0 == made.complete_from(RUN)


def test_without_a_node_nothing_is_complete() -> None:
    """Before any node is known, nothing is known of a run."""
    assert float("-inf") == NodeTable([], [RUN], 0).complete_from(RUN)


def test_a_record_names_what_is_missing() -> None:
    """The record of a run that was over at a time has for each node whether it was asked since, and why not."""
    made = table("a", "b")
    made.note_pass("a", RUN, 10.0, PassReport(files=2))
    made.note_trouble("b", ONE, "connection refused", 20.0)
    a, b = made.record(RUN, since=9.0).nodes

    assert PulledNode(node="a", files=2, is_complete=True) == a
    assert PulledNode(node="b", trouble="connection refused") == b
    assert not made.record(RUN, since=10.0).nodes[0].is_complete
    assert "" == made.record(RUN).nodes[0].trouble


def test_faults_stay() -> None:
    """What a pass has found is not forgotten by the next one, and is named once."""
    made = table("a")
    for _ in range(2):
        made.note_pass("a", RUN, 1.0, PassReport(faults=["it shrank"]))
    made.note_pass("a", RUN, 2.0, PassReport(faults=[f"fault {number}" for number in range(100)]))

    assert ["it shrank", "fault 0"] == made.record(RUN).nodes[0].faults[:2]
    assert 20 == len(made.record(RUN).nodes[0].faults)


def test_the_newest_runs_of_all_nodes_are_pulled() -> None:
    """With ``KEEP_RUNS`` older runs are left out; one that is closed is left out in any case."""
    made = table("a", keep_runs=1)
    made.claim("a", ONE, info("a", RUN, NEXT), 1.0)
    assert [NEXT] == made.open_runs()
    made.close(NEXT)

    assert [] == made.open_runs()


def test_two_nodes_of_one_name_are_a_conflict() -> None:
    """Another folder under a name that was reached a moment ago is another node; later it is the same one, again."""
    made = table("a")

    assert "the node at 192.0.2.1 has the same host name, a" in made.claim("a", OTHER, info("other"), 5.0)
    assert "" == made.claim("a", OTHER, info("other"), 20.0)


def test_a_node_with_two_addresses_is_pulled_once() -> None:
    """The same folder at another address is the same node, which is pulled at the first address while that answers."""
    made = table("a")

    assert made.is_pulled_elsewhere("a", OTHER, "a", 5.0)
    assert not made.is_pulled_elsewhere("a", ONE, "a", 5.0)
    assert not made.is_pulled_elsewhere("a", OTHER, "a", 20.0)


def test_trouble_at_a_former_address_does_not_count() -> None:
    """A node that answers at its new address has no trouble, whatever happens at the old one."""
    made = table("a")
    made.claim("a", OTHER, info("a"), 20.0)

    assert not made.note_trouble("a", ONE, "timed out", 21.0)
    assert made.note_trouble("a", OTHER, "timed out", 22.0)
    assert not made.note_trouble("a", OTHER, "timed out", 23.0)


def test_an_address_without_a_node_is_forgotten() -> None:
    """An address that never answered is no node, once the name has it no more; a node that answered stays."""
    made = table("a")
    made.note_trouble("192.0.2.9:8768", OTHER, "timed out", 1.0)
    made.forget("192.0.2.9:8768")
    made.forget("a")

    assert ["a"] == [node.node for node in made.record(RUN).nodes]


def test_a_node_may_listen_on_one_kind_of_address() -> None:
    """An address of the name that never answered is not missed if the node answers at an address of the other kind."""
    made = NodeTable([], [], 0, is_one_name=True)
    made.note_trouble("::1:8768", NodeAddress("::1", 8768), "connection refused", 0.0)
    assert ["::1:8768"] == [node.node for node in made.record(RUN).nodes]
    made.claim("a", ONE, info(), 1.0)
    assert ["a"] == [node.node for node in made.record(RUN).nodes]
    made.note_trouble("192.0.2.2:8768", OTHER, "connection refused", 2.0)

    assert ["192.0.2.2:8768", "a"] == [node.node for node in made.record(RUN).nodes]


def test_a_named_node_is_required_at_any_address() -> None:
    """A node that the operator has named is missed also if it is the only one with such an address."""
    made = NodeTable(["::1", "a"], [], 0)
    made.claim("a", ONE, info(), 1.0)
    made.note_trouble("::1", NodeAddress("::1", 8768), "connection refused", 0.0)

    assert ["::1", "a"] == [node.node for node in made.record(RUN).nodes]


def test_nodes_and_runs_are_bounded() -> None:
    """A node that announces ever other runs, or is one node too many, is refused with the reason."""
    made = table("a")
    runs = [f"{RUN}-{number}" for number in range(2, bounds.LISTED_RUNS.value + 2)]

    assert "there are more than 10,000 runs" in made.claim("a", ONE, info("a", *runs), 1.0)
    assert [RUN] == made.open_runs()
    for number in range(bounds.NODES.value - 1):
        assert "" == made.claim(f"n{number}", NodeAddress("192.0.2.3", number), info(str(number)), 1.0)
    assert "there are more than 1,024 nodes" == made.claim("b", OTHER, info("b"), 1.0)
