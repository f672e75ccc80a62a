"""Waits for a condition with a description and a deadline, instead of sleeping for long enough."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


def poll_until(fn: Callable[[], Value], description: str, timeout: float, interval: float = 0.1) -> Value:
    """Call ``fn`` until it returns a true value, and return that value.

    Args:
        fn: called repeatedly; exceptions are not caught.
        description: the condition as a clause, such as "client-2 has subscribed".
        timeout: seconds to wait at most.
        interval: seconds between two calls.

    Raises:
        AssertionError: the condition was not met in time; the text contains the last value.
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
