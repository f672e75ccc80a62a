"""Tests of the services' own logs."""

from __future__ import annotations

import json
import logging
from datetime import datetime
from typing import Any

import pytest

from services.runtime import jsonlogs

pytestmark = pytest.mark.usefixtures("restored_logging")


def started() -> logging.Logger:
    """Return a logger of a service that has just started."""
    jsonlogs.configure("client")
    return logging.getLogger("services.client.anything")


def objects(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return what was printed on standard output, one object per line."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_one_object_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Every event is one line of JSON, whatever is in it: newlines, quotes, an exception's whole story."""
    log = started()
    log.info("started")
    log.warning('a "quoted"\nnewline\u2028', extra={"client": "client-1\n"})
    try:
        int("two\nlines")
    except ValueError:
        log.exception("failed")
    first, warned, failed = objects(capsys)

    assert first["event"] == "started"
    assert warned["event"] == 'a "quoted"\nnewline\u2028'
    assert "ValueError: invalid literal" in failed["exc_info"]
    assert "\n" in failed["exc_info"]


def test_fields(capsys: pytest.CaptureFixture[str]) -> None:
    """An event has its level, its service, its time, and beside these its own data as fields."""
    log = started()
    log.warning("gap", extra={"client": "client-1", "missing": 7})
    (event,) = objects(capsys)
    at = datetime.fromisoformat(event.pop("at"))
    expected = {"level": "WARNING", "event": "gap", "service": "client", "client": "client-1", "missing": 7}

    assert at.tzinfo is not None
    assert expected == event


def test_arguments_are_put_in(capsys: pytest.CaptureFixture[str]) -> None:
    """A library that logs with arguments is printed as a sentence."""
    started()
    logging.getLogger("asyncio").error("%s took %d ms", "it", 5)
    (event,) = objects(capsys)

    assert event["event"] == "it took 5 ms"


def test_odd_values_do_not_lose_the_event(capsys: pytest.CaptureFixture[str]) -> None:
    """A value that JSON does not know is printed somehow, and the event is not lost."""
    log = started()
    log.info("odd", extra={"what": object(), "raw": b"\xff", "many": {1, 2}})
    (event,) = objects(capsys)

    assert event["event"] == "odd"


def test_levels(capsys: pytest.CaptureFixture[str]) -> None:
    """Only events of the level asked for, or above, are printed."""
    jsonlogs.configure("server", logging.WARNING)
    logging.getLogger("services").info("unheard")
    logging.getLogger("services").warning("heard")

    assert [event["event"] for event in objects(capsys)] == ["heard"]


def test_the_library_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """A handshake that somebody broke off is no event of the service."""
    started()
    logging.getLogger("websockets.server").error("opening handshake failed")

    assert not objects(capsys)


def test_configuring_twice_prints_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A second configuration replaces the first."""
    jsonlogs.configure("server")
    jsonlogs.configure("client")
    logging.getLogger("services").info("once")

    assert [event["service"] for event in objects(capsys)] == ["client"]


def test_a_repeating_event_is_logged_sparingly() -> None:
    """What happens many times a second is logged once a second, the first time at once."""
    sparingly = jsonlogs.RateLimitedLog()
    times = [0.0, 0.1, 0.9, 1.0, 1.5, 1.9, 5.0]

    assert [now for now in times if sparingly.due(now)] == [0.0, 1.0, 5.0]


def test_kinds_of_an_event_are_told_apart() -> None:
    """An event of another kind is logged though one was logged just before, and kinds are bounded in number."""
    sparingly = jsonlogs.RateLimitedLog()

    assert [True, True, False] == [sparingly.due(0.0, kind) for kind in ("503", "1006", "503")]
    assert all(sparingly.due(0.1, str(number)) for number in range(500, 1500) if number != 503)
    assert len(sparingly._last) <= 100
