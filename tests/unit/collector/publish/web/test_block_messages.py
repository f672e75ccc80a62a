"""Tests of services/collector/publish/web/block_messages.py."""

import json
from pathlib import Path
from typing import Any

import pytest

from services.collector.publish.web.block_messages import ReplyLimits, block_reply
from tests.builders.external_runs import log, message
from tests.builders.runs import RUN, good_run, log_source, record, write

DEFAULTS = ReplyLimits()


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    """Return a volumes folder with a good run: blocks of ten."""
    write(good_run(), tmp_path)
    return tmp_path


def ask(
    volumes: Path, query: dict[str, str] | None = None, limits: ReplyLimits = DEFAULTS
) -> tuple[int, dict[str, Any]]:
    """Return status and content of the reply to a query, by default for the third block of client-1."""
    defaults = {"run": RUN, "client": "client-1", "session": "1", "block": "3"}
    reply = block_reply(volumes, {**defaults, **(query or {})}, limits)
    return reply.status, json.loads(reply.body)


def test_a_block_is_shown_with_its_records(volumes: Path) -> None:
    """Each message has its seq, its formatted times, and its unchanged record."""
    status, shown = ask(volumes)
    first = shown["messages"][0]

    assert 200 == status
    assert 10 == len(shown["messages"])
    assert ["21", "1.0 ms", "0.5 ms", record(21).decode()] == [first[0], *first[2:]]
    assert "10 messages" in shown["note"]


def test_a_large_block_is_cut(volumes: Path) -> None:
    """A reply has a limited number of messages, and its note says so."""
    shown = ask(volumes, limits=ReplyLimits(messages=4))[1]

    assert 4 == len(shown["messages"])
    assert shown["note"].startswith("the first 4 messages")


def test_a_reply_with_large_records_is_cut(volumes: Path) -> None:
    """A reply has a limited size of records."""
    assert 1 == len(ask(volumes, limits=ReplyLimits(record_bytes=1))[1]["messages"])


@pytest.mark.parametrize(
    ("query", "status", "error"),
    [
        ({"block": "99"}, 404, "holds no block 99 of session 1"),
        ({"session": "7"}, 404, "holds no block 3 of session 7"),
        ({"client": "client-9"}, 404, "no log of 'client-9'"),
        ({"client": "../client-1"}, 404, "no log of"),
        ({"run": "../x"}, 404, "no log of"),
        ({"run": "20251122T073000Z"}, 404, "no log of"),
        ({"block": "0"}, 400, "numbers from 1 on"),
        ({"block": "1e9"}, 400, "numbers from 1 on"),
        ({"session": ""}, 400, "numbers from 1 on"),
    ],
)
def test_a_missing_block_is_an_error(volumes: Path, query: dict[str, str], status: int, error: str) -> None:
    """A reply without a block has an error in words."""
    actual, shown = ask(volumes, query)

    assert status == actual
    assert error in shown["error"]


def test_an_error_names_damaged_lines(volumes: Path) -> None:
    """A block whose line is damaged is not found, and the error names the line."""
    path = volumes / log_source("client-1").path
    lines = path.read_bytes().splitlines(keepends=True)
    (at,) = (index for index, line in enumerate(lines) if b'"session":1,"block":2,' in line)
    lines[at] = lines[at].replace(b'"count":10', b'"count":11')
    path.write_bytes(b"".join(lines))

    assert f"{log_source('client-1').path}:{at + 1}: " in ask(volumes, {"block": "2"})[1]["error"]


def test_missing_values_of_an_external_message_are_dashes(tmp_path: Path) -> None:
    """A message of an external feed may have no number and no latency, and never has a transit."""
    write(log("client-1", [message(7, 0), message(None, 1, late_ns=None)]), tmp_path)
    shown = ask(tmp_path, {"block": "1"})[1]["messages"]

    assert [["7", "1.0 ms", "-"], ["-", "-", "-"]] == [[row[0], *row[2:4]] for row in shown]
