"""Tests of the log of a service as people read it on a terminal."""

from __future__ import annotations

import json

from services.runtime.output.terminal_lines import TerminalLines


def _shown(*lines: str | dict[str, object]) -> list[str]:
    shown: list[str] = []
    accept = TerminalLines(shown.append).accept
    for line in lines:
        accept(line if isinstance(line, str) else json.dumps(line))
    return shown


def test_a_client_has_one_line() -> None:
    """The name and block size of a client are in the line of its subscription."""
    name = {"level": "INFO", "event": "client", "service": "client", "client": "client-1", "at": "t", "block_size": 10}
    subscribed = {**name, "event": "subscribed", "session": 1, "first": 1, "again": 0}
    del subscribed["block_size"]
    assert ["subscribed · session 1 · from record 1 · block size 10"] == _shown(name, subscribed)


def test_a_server_has_one_line_at_the_start() -> None:
    """The address of a server and its run are one line; a later run has a line of its own."""
    opened: dict[str, object] = {"level": "INFO", "event": "run opened", "run": "r1", "total": 600, "rate": 200}
    listening: dict[str, object] = {"level": "INFO", "event": "listening", "host": ["::1", "h"], "port": 1, "run": "r1"}
    rate: dict[str, object] = {"level": "INFO", "event": "rate set", "run": "r1", "first": 1, "rate": 200}
    assert [
        "listening on ::1:1, h:1 · run r1",
        "run opened · run r2 · records 600 · records/s 200",
        "rate set · run r2 · from record 7 · records/s 200",
    ] == _shown(opened, listening, rate, {**opened, "run": "r2"}, {**rate, "run": "r2", "first": 7})


def test_the_end_of_a_service_has_no_line() -> None:
    """A service that stops shows nothing more."""
    assert [] == _shown({"level": "INFO", "event": "stopped", "at": "t"})


def test_a_warning_says_so() -> None:
    """A warning begins with its level, and has all its data."""
    assert ["warning: refused · code name_taken"] == _shown(
        {"level": "WARNING", "event": "refused", "client": "c", "code": "name_taken"}
    )


def test_a_traceback_is_shown_line_by_line() -> None:
    """The lines of a traceback follow the event."""
    assert ["error: failed", "  Traceback:", "  ValueError: no"] == _shown(
        {"level": "ERROR", "event": "failed", "exc_info": "Traceback:\nValueError: no"}
    )


def test_text_that_is_not_json_is_shown_unchanged() -> None:
    """Tracebacks, errors of the operator and unknown JSON are shown as they are."""
    lines = ["Traceback (most recent call last):", "error: RATE: no", "{broken", "[1]", '{"event":1}', "{" * 100_000]
    assert lines == _shown(*lines)


def test_no_value_controls_the_terminal() -> None:
    """Control characters in a value are shown as escapes."""
    assert ['warning: refused · detail "\\u001b[2J\\u2028"'] == _shown(
        {"level": "WARNING", "event": "refused", "detail": "\x1b[2J\u2028"}
    )
