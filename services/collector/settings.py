"""The collector's settings, read once from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from services.collector.nodes import node_token
from services.collector.nodes.node_address import NodeAddress
from services.collector.verdict.threshold_settings import read_limits
from services.collector.verdict.thresholds import ThresholdLimit
from services.runtime.access.access_control import AccessControl, usable_rules
from services.runtime.access.listen_rules import ListenRules, plain_text_problem, read_rules
from services.runtime.access.tls import ClientTls
from services.runtime.access.tokens import MIN_LENGTH
from services.runtime.errors import BadSettings
from services.runtime.settings import is_external_feed, read

NODE_NAMES = ("VOLUMES", "HOST", "NODE_PORT", "NODE_TOKEN_FILE")
"""Of the command `serve`."""
NAMES = (
    "VOLUMES", "THRESHOLDS", "PAGE_PORT", "PAGE_PUBLISHED", "PAGE_HOST", "KEEP_RUNS", "SERVER_URL", "CONTROL_TOKEN",
    "NODES", "NODE_PORT", "NODE_TOKEN_FILE", "HOST",
)  # fmt: skip
ACCESS_NAMES = ("PAGE_NAMES", "TLS_CA_FILE")


@dataclass(frozen=True)
class CollectorSettings:
    """Where logs and ledgers are, which limits a run has to keep, and where the page listens.

    Attributes:
        volumes: the folder that holds ``logs/``, ``ledger/`` and ``summary/``.
        limits: the operator's thresholds.
        page_host: the address the page listens on.
        page_port: the port of the page; 0 takes any free one.
        page_published: the host's port for it; 0 for one that the engine chooses, None outside of compose.
        keep_runs: how many closed runs stay on disk; 0 keeps all.
        server_url: the server to which control requests are sent; None for an external feed.
        ca_file: certificates to trust when server and nodes are asked by TLS; empty for those of the system.
        control_token: authorises these requests; empty takes the token that the server writes beside its ledger.
        nodes: whose files are pulled into ``volumes``; none if the files there are those of this host's services.
        node_token: that these nodes require; empty without nodes.
        colour: whether colours may be used on a terminal.
        access: what the page demands of its peers.
        page_names: further host names under which the page answers.
    """

    volumes: Path
    limits: tuple[ThresholdLimit, ...]
    page_host: str
    page_port: int
    page_published: int | None
    keep_runs: int
    server_url: str | None
    control_token: str
    nodes: tuple[NodeAddress, ...]
    node_token: str
    colour: bool
    access: ListenRules = field(default_factory=ListenRules)
    page_names: frozenset[str] = frozenset()
    ca_file: str = ""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> CollectorSettings:
        """Read the settings from an environment.

        Raises:
            BadSettings: with every mistake, one line each.
        """
        problems: list[str] = []
        values: dict[str, Any] = {}
        limits: tuple[ThresholdLimit, ...] = ()
        try:
            # Read one after the other, so that a mistake in one does not hide those in the others.
            limits = read_limits("THRESHOLDS", environment.get("THRESHOLDS", ""))
        except BadSettings as error:
            problems.extend(error.problems)
        try:
            values = read(environment, NAMES)
        except BadSettings as error:
            problems.extend(error.problems)
        access, files = ListenRules(), dict[str, Any]()
        try:
            files = read(environment, ACCESS_NAMES)
            hosts = [values["page_host"]] if values else []
            access = usable_rules(environment, "PAGE_HOST", hosts, files["page_names"])
            ClientTls(files["tls_ca_file"])
        except BadSettings as error:
            problems.extend(error.problems)
        token = ""
        try:
            if values.get("nodes"):
                plain = [host for host, _, is_tls in values["nodes"] if not is_tls]
                if (problem := plain_text_problem("NODES", plain, "https://…", access.exposure)) is not None:
                    problems.append(problem)
                token = node_token.read("NODE_TOKEN_FILE", values["node_token_file"])
        except BadSettings as error:
            problems.extend(error.problems)
        if problems:
            raise BadSettings(list(dict.fromkeys(problems)))
        return cls(
            volumes=Path(values["volumes"]),
            limits=limits,
            page_host=values["page_host"],
            page_port=values["page_port"],
            page_published=values["page_published"],
            keep_runs=values["keep_runs"],
            # An external feed takes no control requests.
            server_url=None if is_external_feed(environment) else values["server_url"],
            control_token=values["control_token"],
            nodes=tuple(
                NodeAddress(host, port or values["node_port"], host if is_tls else "")
                for host, port, is_tls in values["nodes"]
            ),
            node_token=token,
            # A convention of many programs, https://no-color.org: any value that is not empty.
            colour=not environment.get("NO_COLOR"),
            access=access,
            page_names=files["page_names"],
            ca_file=files["tls_ca_file"],
        )


@dataclass(frozen=True)
class NodeSettings:
    """What a node hands out, and where.

    Attributes:
        volumes: the folder that holds ``logs/`` and ``ledger/``.
        host: the addresses to listen on.
        port: where; 0 takes any free one.
        token: that every request has to send.
        access: what is demanded of its peers besides the token: TLS.
    """

    volumes: Path
    host: tuple[str, ...]
    port: int
    token: str
    access: ListenRules = field(default_factory=ListenRules)

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> NodeSettings:
        """Read the settings from an environment.

        Raises:
            BadSettings: with every mistake, one line each; also without a token.
        """
        values = read(environment, NODE_NAMES)
        token, problems = "", list[str]()
        try:
            token = node_token.read("NODE_TOKEN_FILE", values["node_token_file"])
        except BadSettings as error:
            problems.extend(error.problems)
        access = ListenRules()
        try:
            rules = read_rules(environment, "HOST", values["host"], grants_from="NODE_TOKEN_FILE")
            if token and rules.is_reachable and len(token) < MIN_LENGTH:
                problems.append(f"NODE_TOKEN_FILE: expected at least {MIN_LENGTH} characters, since others can guess")
            # The file has one token and no roles: the node itself compares it.
            access = replace(rules, token_file="")
            AccessControl(access)
        except BadSettings as error:
            problems.extend(error.problems)
        if problems:
            raise BadSettings(problems)
        return cls(Path(values["volumes"]), values["host"], values["node_port"], token, access)
