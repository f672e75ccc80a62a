"""Every decoder of the services, as a function of bytes, with the errors that it declares."""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Callable, Iterator

from chaos.fuzz import http_targets
from chaos.fuzz.external_targets import TARGETS as EXTERNAL
from chaos.fuzz.target import Target
from services.collector.commands.merge import PartsRefused, merged_snapshot
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.nodes.node_copy import node_prefix
from services.collector.results import evidence_codec
from services.collector.results.evidence_codec import UnreadableEvidence
from services.collector.results.run_part import EvidencePart, MalformedPart, PartReader, RunPart
from services.collector.results.run_result import NotMergeable
from services.collector.scan import Source
from services.collector.verdict.snapshot import snapshot
from services.contract import blocklog, jsonl, ledger, nodes, summary, wire
from services.contract.errors import LineError, MalformedListing, PeerError, UnsupportedVersion
from services.contract.json_path import JsonPath, MalformedPath
from services.runtime import dns
from services.runtime.access import tokens
from services.runtime.access.tokens import MalformedTokens
from services.runtime.control import commands
from services.runtime.control.commands import NotACommand
from services.runtime.errors import BadSettings
from services.runtime.setting_tables.nats_address import nats_address
from services.runtime.settings import BY_NAME
from services.server.jetstream.stream_feed import record_of
from services.server.runs.past_run import PastRun

RUN = "20261122T073000Z"
LOG, LEDGER = Source(RUN, "client-1", "0001-0001.jsonl"), Source(RUN, None, "aaaaaaaaaaaa.jsonl")
_MOST_LINES = 200


def _from_server(data: bytes) -> None:
    frame, body = wire.decode_from_server(data)
    if isinstance(frame, wire.Records):
        wire.records_of(frame, body)
        wire.due_us(frame.due_us, frame.count, frame.rate)


def _sealed(contents: bytes) -> Iterator[bytes]:
    """Yield lines with these contents whose checksums are right."""
    prev = jsonl.FIRST
    for content in contents.split(b"\n")[:_MOST_LINES]:
        # A line begins as an object, and has at least one field.
        if content.startswith(b"{") and len(content) > 2:
            line, prev = jsonl.seal(content, prev)
            yield line


def _line(decode: Callable[[bytes], object]) -> Callable[[bytes], None]:
    """Return a decoder of lines: of the input as it is, and with its checksums put right."""

    def read(data: bytes) -> None:
        for line in (data, *_sealed(data)):
            try:
                decode(line)
            except LineError:
                continue

    return read


def _evidence(data: bytes) -> None:
    """Judge a run whose ledger and log have these lines, in their order; those of the log begin with a space."""
    evidence = RunEvidence(RUN)
    chains = {LOG: jsonl.FIRST, LEDGER: jsonl.FIRST}
    for content in data.split(b"\n")[:_MOST_LINES]:
        source = LOG if content.startswith(b" ") else LEDGER
        text = content.strip()
        if text.startswith(b"{") and len(text) > 2:
            line, chains[source] = jsonl.seal(text, chains[source])
            evidence.add_line(source, line)
    for final in (False, True):
        summary.encode(snapshot(evidence, final=final, made_at="2026-11-22T07:30:00Z").summary)


def _past_run(data: bytes) -> None:
    """Continue a run with these lines as its ledger, as a server does at its start."""
    past = PastRun(_entries(data))
    if past.obstacle is None and not past.has_ended:
        past.recorded.schedule.head(past.last_us)


def _entries(data: bytes) -> Iterator[ledger.Entry | None]:
    for line in _sealed(data):
        try:
            yield ledger.codec.decode(line)[1]
        except UnsupportedVersion:
            yield None
        except LineError:
            continue


def _setting(data: bytes) -> None:
    name, _, text = data.decode(errors="surrogateescape").partition("=")
    # The first character selects one of all settings, so that a change of the name reaches another one.
    names = list(BY_NAME)
    setting = BY_NAME.get(name) or BY_NAME[names[len(name) % len(names)]]
    setting.read(text)


def _listing(data: bytes) -> None:
    with contextlib.suppress(MalformedListing):
        node_prefix(nodes.decode(data, nodes.NodeInfo).node)
    with contextlib.suppress(MalformedListing):
        nodes.decode(data, nodes.PulledRun)
    nodes.decode(data, nodes.NodeListing)


def _part(data: bytes) -> None:
    """Read and judge a part of a run; of lines whose checksums are put right."""
    part = PartReader().read(b"".join(_sealed(data)))
    if isinstance(part, RunPart):
        merged_snapshot([part], absent=True)
    else:
        merged_snapshot([part])


def _part_evidence(data: bytes) -> None:
    """Read and judge the evidence in a part of a run, which is compressed there."""
    evidence = evidence_codec.decode(zlib.compress(data, 1), RunEvidence)
    merged_snapshot([EvidencePart(evidence=evidence, thresholds=())])


def _dns(data: bytes) -> None:
    for kind in (dns.ADDRESS, dns.POINTER):
        dns.answers(dns.number_of(data), data, kind)


def _text(decode: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: decode(data.decode(errors="surrogateescape"))


def _path(text: str) -> None:
    JsonPath(text).find({"a": [1, {"b": None}], "": 2})


def _stream_record(data: bytes) -> None:
    record = record_of(data)
    json.loads(record)
    assert b"\n" not in record, "a record is one line"


TARGETS: tuple[Target, ...] = (
    Target("frame-of-client", wire.decode_from_client, (PeerError,)),
    Target("frame-of-server", _from_server, (PeerError,)),
    Target("block-log-line", _line(blocklog.codec.decode)),
    Target("ledger-line", _line(ledger.codec.decode)),
    Target("evidence", _evidence),
    Target("past-run", _past_run),
    Target("part", _part, (MalformedPart, NotMergeable, PartsRefused)),
    Target("part-evidence", _part_evidence, (UnreadableEvidence, PartsRefused)),
    Target("node-listing", _listing, (MalformedListing,)),
    Target("dns-answer", _dns),
    Target("setting", _setting, (ValueError, BadSettings)),
    Target("tokens", _text(tokens.parse), (MalformedTokens,)),
    Target("json-path", _text(_path), (MalformedPath,)),
    Target("nats-address", _text(nats_address("x")), (ValueError,)),
    Target("console-command", _text(lambda text: commands.parse(text.split(), "x")), (NotACommand,)),
    Target("stream-record", _stream_record),
    *EXTERNAL,
    *http_targets.TARGETS,
)
