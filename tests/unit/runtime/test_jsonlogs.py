"""Tests of the services' own logs, and of the limits on how often an event is logged."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime
from typing import Any

import pytest

from services.runtime import jsonlogs

pytestmark = pytest.mark.usefixtures("restored_logging")


def configured() -> logging.Logger:
    """Configure logging; return a logger."""
    jsonlogs.configure("client")
    return logging.getLogger("services.client.anything")


def objects(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return the lines of standard output as objects."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_one_object_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Every event is one line of JSON, even if it contains newlines, quotes or a traceback."""
    log = configured()
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
    """An event has its level, service and time as fields, and its own data beside them."""
    log = configured()
    log.warning("gap", extra={"client": "client-1", "missing": 7})
    (event,) = objects(capsys)
    at = datetime.fromisoformat(event.pop("at"))
    expected = {"level": "WARNING", "event": "gap", "service": "client", "client": "client-1", "missing": 7}

    assert at.tzinfo is not None
    assert expected == event


def test_arguments_are_formatted(capsys: pytest.CaptureFixture[str]) -> None:
    """The arguments of a log call are formatted into the event."""
    configured()
    logging.getLogger("asyncio").error("%s took %d ms", "it", 5)
    (event,) = objects(capsys)

    assert event["event"] == "it took 5 ms"


def test_odd_values_do_not_lose_the_event(capsys: pytest.CaptureFixture[str]) -> None:
    """A value without a JSON form is printed as text, and the event is not lost."""
    log = configured()
    log.info("odd", extra={"what": object(), "raw": b"\xff", "many": {1, 2}})
    (event,) = objects(capsys)

    assert event["event"] == "odd"


def test_levels(capsys: pytest.CaptureFixture[str]) -> None:
    """Only events of the configured level or a higher one are printed."""
    jsonlogs.configure("server", logging.WARNING)
    logging.getLogger("services").info("below")
    logging.getLogger("services").warning("at the level")

    assert [event["event"] for event in objects(capsys)] == ["at the level"]


def test_the_library_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """A handshake that a peer broke off is not logged by the library."""
    configured()
    logging.getLogger("websockets.server").error("opening handshake failed")

    assert not objects(capsys)


def test_configuring_twice_prints_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A second configuration replaces the first one."""
    jsonlogs.configure("server")
    jsonlogs.configure("client")
    logging.getLogger("services").info("once")

    assert [event["service"] for event in objects(capsys)] == ["client"]


def test_a_recurring_event_is_logged_once_a_second() -> None:
    """An event that recurs many times a second is logged once a second, the first time immediately."""
    limit = jsonlogs.RateLimitedLog()
    times = [0.0, 0.1, 0.9, 1.0, 1.5, 1.9, 5.0]

    assert [now for now in times if limit.allow(now)] == [0.0, 1.0, 5.0]


def test_each_kind_of_an_event_has_its_own_interval() -> None:
    """An event of another kind is logged immediately; the number of remembered kinds is bounded."""
    limit = jsonlogs.RateLimitedLog()

    assert [True, True, False] == [limit.allow(0.0, kind) for kind in ("503", "1006", "503")]
    assert all(limit.allow(0.1, str(number)) for number in range(500, 1500) if number != 503)
    assert len(limit._last) <= 100


def test_a_thing_is_logged_once() -> None:
    """An event about a thing is logged once, and not at all beyond the limit."""
    once = jsonlogs.LogOnce(2)

    assert [True, False, True, False] == [once.allow(key) for key in ("a", "a", "b", "c")]


def test_each_error_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A repeated error is not logged again; the same error of another run, or another error, is."""
    errors = jsonlogs.ErrorLog(logging.getLogger("test"))
    for run, number in (("20261122T073000Z", 28), ("20261122T073000Z", 28), ("", 28), ("20261122T073000Z", 5)):
        errors.report("cannot publish", run, OSError(number, "why"))

    assert 3 == errors.count
    assert ["cannot publish"] * 3 == [record.message for record in caplog.records]


def test_a_bug_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """An exception other than an OSError is logged once, with its traceback."""
    errors = jsonlogs.ErrorLog(logging.getLogger("test"))
    for problem in (ValueError("why"), ValueError("again"), KeyError("else")):
        errors.report("cannot read", "20261122T073000Z", problem)

    assert 2 == errors.count
    assert [True, True] == [record.exc_info is not None for record in caplog.records]


def test_on_a_terminal_an_event_is_a_line_of_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where standard output is a terminal the event is text behind the name of the service."""
    log = configured()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    log.info("ready", extra={"page": "http://localhost:1/"})
    assert "client    | ready · page http://localhost:1/\n" == capsys.readouterr().out
