"""The configurations for log shippers pass on every line that a client writes with default settings as a whole."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
import yaml

from services.contract import block_text, blocklog, wire
from services.contract.scalars import MAX_INTEGER
from services.runtime.settings import BY_NAME
from tests.repo.markdown import plain, rows
from tests.repo.repository import ROOT, text

SHIPPING = "deploy/shipping"
LIMITS = {
    "rsyslog.conf": "maxMessageSize",
    "vector.yaml": "max_line_bytes",
    "fluent-bit.yaml": "buffer_max_size",
    "otelcol.yaml": "max_log_size",
}
"""Each shipper's name for its longest accepted line."""
UNITS = {"": 1, "m": 1024**2, "mib": 1024**2}

every_file = pytest.mark.parametrize("name", LIMITS)


def longest_line() -> int:
    """Return the length of the longest block: the most messages, and a record more than its limit of bytes."""
    at = "2026-11-22T19:43:47.238570Z"
    message = blocklog.OwnMessage(MAX_INTEGER, at, -MAX_INTEGER, -MAX_INTEGER, msgspec.Raw(b""))
    beside_records = blocklog.MAX_BLOCK * len(msgspec.json.encode(message) + b",")
    return int(BY_NAME["BLOCK_BYTES"].default) + wire.MAX_RECORD + beside_records


def test_the_bound_on_a_line_holds() -> None:
    """The contract's longest line with default settings is at least as long as the longest possible block."""
    longest = block_text.longest_line(blocklog.MAX_BLOCK, int(BY_NAME["BLOCK_BYTES"].default), wire.MAX_RECORD)

    assert longest_line() < longest < blocklog.MAX_LINE


def limit_of(name: str) -> int:
    """Return the longest line that a configuration accepts, in bytes."""
    (found,) = re.findall(rf'\b{LIMITS[name]}[:=] ?"?(\d+)([A-Za-z]*)', text(f"{SHIPPING}/{name}"))
    number, unit = found
    return int(number) * UNITS[unit.lower()]


def settings(name: str) -> Any:
    """Return the settings in a configuration file."""
    return yaml.safe_load(text(f"{SHIPPING}/{name}"))


def test_every_file_is_tested() -> None:
    """The folder contains no configuration that these tests do not read."""
    assert sorted(LIMITS) == sorted(path.name for path in (ROOT / SHIPPING).iterdir())


@every_file
def test_every_line_passes(name: str) -> None:
    """The longest default line is within the configured limit, and above the shipper's default limit."""
    assert longest_line() <= limit_of(name) <= 16 * 1024**2


@every_file
def test_the_document_has_it(name: str) -> None:
    """The page names the setting and links to its file."""
    (row,) = [row for row in rows(text("docs/guides/shipping.md")) if f"({'../../' + SHIPPING}/{name})" in row[0]]

    assert LIMITS[name] == plain(row[1])


@every_file
def test_all_logs_are_read_from_their_beginning(name: str) -> None:
    """Every file of every run is read from its first line on, and after a restart only its new lines."""
    found = text(f"{SHIPPING}/{name}")

    assert "/volumes/logs/*/*/*.jsonl" in found
    assert "/var/lib/streamgauge" in found


def test_vector_is_put_together() -> None:
    """Vector's sink writes the source's lines as text, and acknowledges them."""
    found = settings("vector.yaml")
    sink = found["sinks"]["target"]

    assert found["sources"].keys() == {*sink["inputs"]}
    assert ("text", True) == (sink["encoding"]["codec"], sink["acknowledgements"]["enabled"])
    assert ("beginning", 1) == (
        found["sources"]["blocks"]["read_from"],
        found["sources"]["blocks"]["fingerprint"]["lines"],
    )


def test_fluent_bit_is_put_together() -> None:
    """Fluent Bit's output matches its input's tag and writes its key, and no line is skipped."""
    (source,), (target,) = (settings("fluent-bit.yaml")["pipeline"][part] for part in ("inputs", "outputs"))

    assert source["tag"] == target["match"]
    assert f"{{{source['key']}}}" == target["template"]
    assert (True, False) == (source["read_from_head"], source["skip_long_lines"])


def test_the_collector_of_opentelemetry_is_put_together() -> None:
    """Every part of the pipeline is defined, and its requests fit a receiver's default limit."""
    found = settings("otelcol.yaml")
    pipeline = found["service"]["pipelines"]["logs"]
    batch = found["exporters"]["otlphttp"]["sending_queue"]["batch"]

    assert (found["receivers"].keys(), found["exporters"].keys()) == (
        {*pipeline["receivers"]},
        {*pipeline["exporters"]},
    )
    assert found["extensions"].keys() == {*found["service"]["extensions"]} == {found["receivers"]["filelog"]["storage"]}
    assert longest_line() < batch["max_size"] < 20 * 1024**2
