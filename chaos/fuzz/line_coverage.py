"""Which steps from line to line of ``services/`` an input takes, by Python's own tracing."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

import services

_ROOT = os.path.dirname(services.__file__) + os.sep
Step = tuple[CodeType, int, int]
"""A step from one line to the next one of a function."""
_Trace = Callable[[FrameType, str, Any], Any]


class LineCoverage:
    """Collects the steps that are taken while it is on.

    Attributes:
        steps: all that were taken since the beginning.
    """

    def __init__(self) -> None:
        self.steps: set[Step] = set()
        self._is_traced: dict[CodeType, bool] = {}

    def run(self, work: Callable[[], None]) -> bool:
        """Do some work; return whether it has taken a step that none has taken before. It may raise an error."""
        before = len(self.steps)
        sys.settrace(self._trace_call)
        try:
            work()
        finally:
            sys.settrace(None)
        return len(self.steps) > before

    def _trace_call(self, frame: FrameType, _event: str, _argument: Any) -> _Trace | None:
        code = frame.f_code
        is_traced = self._is_traced.get(code)
        if is_traced is None:
            is_traced = self._is_traced[code] = code.co_filename.startswith(_ROOT)
        if not is_traced:
            return None
        last = 0

        def trace_line(inner: FrameType, event: str, _argument: Any) -> Any:
            nonlocal last
            if event == "line":
                self.steps.add((code, last, inner.f_lineno))
                last = inner.f_lineno
            return trace_line

        return trace_line
