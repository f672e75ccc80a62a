"""Tests of services/client/block_log.py."""

from __future__ import annotations

import json
import logging

import pytest

from services.client.block_log import DurableHandler, LineFormatter


def test_a_log_is_python_json_logger() -> None:
    """A line is what the formatter makes of a logged mapping: no field is added, none is escaped."""
    formatter = LineFormatter()
    logger = logging.Logger("test")  # noqa: LOG001
    record = logger.makeRecord("test", logging.INFO, "", 0, {"v": 1, "kind": "open", "name": "Zoë"}, (), None)

    line = formatter.line(record)
    content = json.loads(line)

    assert line.decode() == formatter.format(record)
    assert ["crc", "prev", "v", "kind", "name"] == list(content)
    assert ("Zoë", formatter.crc) == (content["name"], content["crc"])


def test_a_handler_needs_a_segment() -> None:
    """A line without an open file is refused aloud, not swallowed."""
    handler = DurableHandler(LineFormatter())

    with pytest.raises(OSError, match="no segment is open"):
        handler.emit(logging.makeLogRecord({"msg": {"v": 1}}))
