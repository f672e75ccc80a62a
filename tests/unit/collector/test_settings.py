"""Tests of services/collector/settings.py."""

import contextlib
from pathlib import Path

import pytest

from services.collector.nodes.node_address import NodeAddress
from services.collector.settings import CollectorSettings, NodeSettings
from services.runtime.errors import BadSettings


def test_defaults_are_those_of_the_table() -> None:
    """Without a setting the collector reads /volumes, serves on 8766, and sends control requests to the server."""
    settings = CollectorSettings.read({})

    assert ("ws://server:8765", "") == (settings.server_url, settings.control_token)

    assert (Path("/volumes"), (), "127.0.0.1", 8766, 0) == (
        settings.volumes, settings.limits, settings.page_host, settings.page_port, settings.keep_runs,
    )  # fmt: skip


def test_all_mistakes_are_reported_together() -> None:
    """A malformed threshold does not hide a malformed port."""
    with pytest.raises(BadSettings) as caught:
        CollectorSettings.read({"THRESHOLDS": "latency<1", "PAGE_PORT": "x"})

    assert ["THRESHOLDS", "PAGE_PORT"] == [
        problem[: problem.index(sign)] for problem, sign in zip(caught.value.problems, ":=", strict=True)
    ]


@pytest.mark.parametrize(("environment", "colour"), [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True)])
def test_no_color_is_respected(environment: dict[str, str], colour: bool) -> None:
    """Any value of NO_COLOR that is not empty forbids colours."""
    assert colour is CollectorSettings.read(environment).colour


def test_nodes_have_the_common_port_unless_they_name_another(tmp_path: Path) -> None:
    """Hosts, addresses and ports are read, with the token of the file."""
    (tmp_path / "token").write_text("secret\n")
    nodes = "one, 192.0.2.1:1,https://[::1]:2"
    token = {"NODE_PORT": "9000", "NODE_TOKEN_FILE": str(tmp_path / "token")}
    environment = {"NODES": nodes, **token, "EXPOSURE": "INSECURE"}
    settings = CollectorSettings.read(environment)

    expected = (NodeAddress("one", 9000), NodeAddress("192.0.2.1", 1), NodeAddress("::1", 2, "::1"))
    assert expected == settings.nodes
    assert "secret" == settings.node_token


@pytest.mark.parametrize("nodes", ["one,", "http://one", "one:0", "one:65536", "one:port", "one,one", "[::1", "a b"])
def test_malformed_nodes_are_refused(nodes: str) -> None:
    """A list of nodes with something else in it is a mistake, with the expected form."""
    with pytest.raises(BadSettings, match=r"NODES=.*: expected "):
        CollectorSettings.read({"NODES": nodes})


def test_nodes_need_a_token() -> None:
    """A collector does not start to pull without a token."""
    with pytest.raises(BadSettings, match="NODE_TOKEN_FILE: expected a file with a token"):
        CollectorSettings.read({"NODES": "one"})


@pytest.mark.parametrize(
    ("nodes", "exposure", "is_refused"),
    [
        ("one", "", True),
        ("https://one,192.0.2.1", "", True),
        ("one", "INSECURE", False),
        ("one", "internal", False),
        ("https://one", "", False),
        ("127.0.0.1,localhost,[::1]", "", False),
    ],
)
def test_nodes_beyond_this_machine_need_tls(tmp_path: Path, nodes: str, exposure: str, is_refused: bool) -> None:
    """The token is not sent to another machine in plain text, unless the operator says so."""
    (tmp_path / "token").write_text("secret\n")
    environment = {"NODES": nodes, "EXPOSURE": exposure, "NODE_TOKEN_FILE": str(tmp_path / "token")}

    refusal = pytest.raises(BadSettings, match=r"(?s)NODES: .*https://.*EXPOSURE")
    with refusal if is_refused else contextlib.nullcontext():
        CollectorSettings.read(environment)


def node_environment(folder: Path, token: str, **more: str) -> dict[str, str]:
    """Return settings of a node that listens on all addresses, with this token."""
    (folder / "token").write_text(token)
    return {"HOST": "*", "NODE_TOKEN_FILE": str(folder / "token"), **more}


@pytest.mark.parametrize("more", [{}, {"FEED_TOKEN_FILE": "tokens"}])
def test_a_node_that_others_reach_needs_tls(tmp_path: Path, more: dict[str, str]) -> None:
    """Beyond this machine a node does not start without a certificate, also if the feed has tokens."""
    with pytest.raises(BadSettings, match=r"(?s)HOST=\*: .* no NODE_TOKEN_FILE or no TLS_CERT_FILE.*EXPOSURE"):
        NodeSettings.read(node_environment(tmp_path, "a-token-with-24-letters", **more))


def test_a_node_that_others_reach_needs_a_long_token(tmp_path: Path) -> None:
    """A token that can be guessed is for this machine alone, and is in no error."""
    with pytest.raises(BadSettings, match="NODE_TOKEN_FILE: expected at least 16 characters") as refused:
        NodeSettings.read(node_environment(tmp_path, "guessed", EXPOSURE="INSECURE"))

    assert "guessed" not in str(refused.value)
    assert "guessed" == NodeSettings.read(node_environment(tmp_path, "guessed", HOST="127.0.0.1")).token


@pytest.mark.parametrize("exposure", ["INSECURE", "internal"])
def test_a_node_may_be_protected_otherwise(tmp_path: Path, exposure: str) -> None:
    """Behind a firewall, and on the compose network, a node needs its token alone."""
    read = NodeSettings.read(node_environment(tmp_path, "a-token-with-24-letters", EXPOSURE=exposure))

    assert ("a-token-with-24-letters", "") == (read.token, read.access.cert_file)


def test_the_mistakes_of_a_node_are_reported_together(tmp_path: Path) -> None:
    """No token, no certificate and a key without one are reported at once."""
    with pytest.raises(BadSettings) as refused:
        NodeSettings.read({"HOST": "*", "TLS_KEY_FILE": "key"})

    for setting in ("NODE_TOKEN_FILE: ", "HOST=*: ", "TLS_CERT_FILE, TLS_KEY_FILE: "):
        assert setting in refused.value.report()
