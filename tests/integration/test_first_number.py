"""The stack shows figures at once, ends with the verdict, and keeps the page up afterwards."""

from __future__ import annotations

import urllib.request
from datetime import datetime

import pytest

from services.contract import summary
from services.contract.ledger import SubscribeEntry
from tests.integration.conftest import CLIENTS, GoodStack

pytestmark = pytest.mark.containers


def get(address: str) -> tuple[str, bytes]:
    """Return the content type and the body of a response."""
    with urllib.request.urlopen(address, timeout=10) as answer:
        return answer.headers["Content-Type"], answer.read()


def collector_log(good_stack: GoodStack) -> list[tuple[datetime, str]]:
    """Return the lines of the collector's log with their times."""
    lines = [line.partition(" ") for line in good_stack.stack.logs("collector").splitlines()]
    # Docker's times have nine digits.
    return [(datetime.fromisoformat(at[:26] + "+00:00"), text) for at, _, text in lines]


def test_a_line_of_numbers_comes_at_once(good_stack: GoodStack) -> None:
    """Within two seconds of the last subscription a line shows all five clients and their messages.

    No service waits for the collector, so it may itself be the last one to start.
    """
    entries, log = good_stack.volumes.ledger(good_stack.run), collector_log(good_stack)
    ready = next(at for at, text in log if '"event": "ready"' in text)
    subscribed = [datetime.fromisoformat(entry.at) for entry in entries if isinstance(entry, SubscribeEntry)]
    joined = max(ready, *subscribed)
    numbers = [(at, text) for at, text in log if "msg/s" in text and at >= joined]
    first_at, first = numbers[0]
    assert f"{CLIENTS} clients" in first
    assert 2.0 >= (first_at - joined).total_seconds(), first


def test_a_line_comes_every_second(good_stack: GoodStack) -> None:
    """During the run about one line a second is printed, none wider than a terminal."""
    lines = [(at, text) for at, text in collector_log(good_stack) if "msg/s" in text and "running" in text]
    lasted = (lines[-1][0] - lines[0][0]).total_seconds()
    assert 0.7 * lasted <= len(lines) <= 1.3 * lasted + 2
    assert 100 >= max(len(text) for _, text in lines)


def test_the_verdict_comes_first(good_stack: GoodStack) -> None:
    """Both the terminal and ``wait`` show the summary with the verdict as its first word."""
    final = [text.strip() for _, text in collector_log(good_stack)]
    assert 1 == len([text for text in final if text.startswith("PASS")])
    last_number = max(place for place, text in enumerate(final) if "msg/s  p99" in text)
    assert next(text for text in final[last_number + 1 :] if text).startswith("PASS")
    assert good_stack.text.split()[0] == "PASS"


def test_the_page_is_served_afterwards(good_stack: GoodStack) -> None:
    """After the run the page is still served, and /summary.json equals the file, byte for byte."""
    kind, body = get(f"{good_stack.stack.page()}/")
    assert kind.startswith("text/html")
    assert b"<html" in body.lower()
    kind, body = get(f"{good_stack.stack.page()}/summary.json")
    assert "application/json" == kind
    assert (good_stack.volumes.root / "summary" / "summary.json").read_bytes() == body
    assert ("PASS", good_stack.run) == (summary.decode(body).verdict, summary.decode(body).run)
