"""Waiting for something to come true: with a description and a deadline, never by sleeping for long enough."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


def poll_until(fn: Callable[[], Value], description: str, timeout: float, interval: float = 0.1) -> Value:
    """Call ``fn`` until it returns something true, and return that.

    Args:
        fn: what is asked, again and again; what it raises is not caught.
        description: what is waited for: "client-2 has subscribed".
        timeout: seconds after which waiting has been in vain.
        interval: seconds between two calls.

    Raises:
        AssertionError: it did not come true in time; the text tells the last value.
    """
    began = time.monotonic()
    while True:
        value = fn()
        if value:
            return value
        waited = time.monotonic() - began
        if waited >= timeout:
            raise AssertionError(f"waited {waited:.1f} s in vain until {description}; last value: {value!r}")
        time.sleep(interval)
