"""The settings for log shippers: every line that a client writes with our own defaults passes through them whole."""

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
"""Each program's setting for the longest line that it accepts."""
UNITS = {"": 1, "m": 1024**2, "mib": 1024**2}

every_file = pytest.mark.parametrize("name", LIMITS)


def longest_line() -> int:
    """Return how long a block can be: as many messages as it can hold, and one record more than it closes at."""
    at = "2026-11-22T19:43:47.238570Z"
    message = blocklog.OwnMessage(MAX_INTEGER, at, -MAX_INTEGER, -MAX_INTEGER, msgspec.Raw(b""))
    beside_records = blocklog.MAX_BLOCK * len(msgspec.json.encode(message) + b",")
    return int(BY_NAME["BLOCK_BYTES"].default) + wire.MAX_RECORD + beside_records


def test_the_bound_on_a_line_holds() -> None:
    """What the contract says of the longest line of our defaults is no less than what a block can be."""
    longest = block_text.longest_line(blocklog.MAX_BLOCK, int(BY_NAME["BLOCK_BYTES"].default), wire.MAX_RECORD)

    assert longest_line() < longest < blocklog.MAX_LINE


def limit_of(name: str) -> int:
    """Return the longest line that a file's settings let through, in bytes."""
    (found,) = re.findall(rf'\b{LIMITS[name]}[:=] ?"?(\d+)([A-Za-z]*)', text(f"{SHIPPING}/{name}"))
    number, unit = found
    return int(number) * UNITS[unit.lower()]


def settings(name: str) -> Any:
    """Return a file's settings."""
    return yaml.safe_load(text(f"{SHIPPING}/{name}"))


def test_every_file_is_tested() -> None:
    """There are no other files than those that the tests look at."""
    assert sorted(LIMITS) == sorted(path.name for path in (ROOT / SHIPPING).iterdir())


@every_file
def test_every_line_passes(name: str) -> None:
    """The configured limit is above the longest line that the default settings allow; the default limit is not."""
    assert longest_line() <= limit_of(name) <= 16 * 1024**2


@every_file
def test_the_document_has_it(name: str) -> None:
    """The document names the setting and where it is."""
    (row,) = [row for row in rows(text("docs/guides/shipping.md")) if f"({'../../' + SHIPPING}/{name})" in row[0]]

    assert LIMITS[name] == plain(row[1])


@every_file
def test_all_logs_are_read_from_their_beginning(name: str) -> None:
    """Every file of every run is read from its first line; after a restart only new lines are read."""
    found = text(f"{SHIPPING}/{name}")

    assert "/volumes/logs/*/*/*.jsonl" in found
    assert "/var/lib/streamgauge" in found


def test_vector_is_put_together() -> None:
    """Vector's sink receives the lines of its source as text, and acknowledges them."""
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
    """The pipeline names defined components, and sends requests of a size that receivers accept by default."""
    found = settings("otelcol.yaml")
    pipeline = found["service"]["pipelines"]["logs"]
    batch = found["exporters"]["otlphttp"]["sending_queue"]["batch"]

    assert (found["receivers"].keys(), found["exporters"].keys()) == (
        {*pipeline["receivers"]},
        {*pipeline["exporters"]},
    )
    assert found["extensions"].keys() == {*found["service"]["extensions"]} == {found["receivers"]["filelog"]["storage"]}
    assert longest_line() < batch["max_size"] < 20 * 1024**2
