"""Tests of services/collector/publish/web/block_messages.py."""

import json
from pathlib import Path
from typing import Any

import pytest

from services.collector.publish.web import block_messages
from tests.builders.external_runs import log, message
from tests.builders.runs import RUN, good_run, log_source, record, write


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    """Return a volumes folder with a good run: blocks of ten."""
    write(good_run(), tmp_path)
    return tmp_path


def ask(volumes: Path, **query: str) -> tuple[int, dict[str, Any]]:
    """Return status and content of the answer to a query, by default for the third block of client-1."""
    found = block_messages.answer(volumes, {"run": RUN, "client": "client-1", "session": "1", "block": "3", **query})
    return found.status, json.loads(found.text)


def test_a_block_is_shown_with_its_records(volumes: Path) -> None:
    """Each message has its seq, its times in words, and its record byte for byte."""
    status, shown = ask(volumes)
    first = shown["messages"][0]

    assert 200 == status
    assert 10 == len(shown["messages"])
    assert ["21", "1.0 ms", "0.5 ms", record(21).decode()] == [first[0], *first[2:]]
    assert "10 messages" in shown["note"]


def test_a_great_block_is_cut(volumes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a reader can take in is not sent, and that is said."""
    monkeypatch.setattr(block_messages, "MOST_MESSAGES", 4)
    shown = ask(volumes)[1]

    assert 4 == len(shown["messages"])
    assert shown["note"].startswith("the first 4 messages")


def test_great_records_are_cut(volumes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is bounded in bytes as well."""
    monkeypatch.setattr(block_messages, "MOST_BYTES", 1)

    assert 1 == len(ask(volumes)[1]["messages"])


@pytest.mark.parametrize(
    ("query", "status", "said"),
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
def test_what_is_not_there_is_said_in_words(volumes: Path, query: dict[str, str], status: int, said: str) -> None:
    """An answer that has no block has a sentence."""
    found, shown = ask(volumes, **query)

    assert status == found
    assert said in shown["error"]


def test_damage_is_said(volumes: Path) -> None:
    """A block whose line is damaged is not there, and the line is named."""
    path = volumes / log_source("client-1").path
    lines = path.read_bytes().splitlines(keepends=True)
    (at,) = (index for index, line in enumerate(lines) if b'"session":1,"block":2,' in line)
    lines[at] = lines[at].replace(b'"count":10', b'"count":11')
    path.write_bytes(b"".join(lines))

    assert f"{log_source('client-1').path}:{at + 1}: " in ask(volumes, block="2")[1]["error"]


def test_what_a_foreign_message_lacks_is_a_dash(tmp_path: Path) -> None:
    """A block of a feed that is not ours is shown too: without a number, a latency, and always without a transit."""
    write(log("client-1", [message(7, 0), message(None, 1, late_ns=None)]), tmp_path)
    shown = ask(tmp_path, block="1")[1]["messages"]

    assert [["7", "1.0 ms", "-"], ["-", "-", "-"]] == [[row[0], *row[2:4]] for row in shown]
