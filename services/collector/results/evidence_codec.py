"""Evidence of some clients as bytes, for what a part of a run holds besides results. Pure.

The bytes are a pickle that is read with a closed list of classes: those of the evidence and of the formats, which hold
data and do nothing. Whatever else bytes name is refused before it is looked up, so reading them runs no code of theirs.
"""

from __future__ import annotations

import io
import pickle
import sys
import zlib
from collections.abc import Callable
from typing import Any, TypeVar

from services.collector.evidence.catch_up import CatchUp
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.evidence.time_sample import TimeSample
from services.collector.evidence.timing import ClientTiming

Evidence = TypeVar("Evidence", RunEvidence, TimeSample)

_PROTOCOL = 4
_FOLDERS = ("services.collector.evidence.", "services.contract.")
"""All classes of these modules may be in evidence: none of them reads or writes a file when it is made."""
_OTHERS = frozenset(
    {
        ("array", "_array_reconstructor"),
        ("array", "array"),
        ("collections", "Counter"),
        ("msgspec._core", "UNSET"),
        ("msgspec._utils", "rebuild"),
        ("services.collector.cpu_yield", "no_yield"),
        ("services.collector.scan", "Source"),
    }
)
_METHODS: tuple[tuple[type, str], ...] = ((CatchUp, "undecided"), (ClientTiming, "_add_late"))
"""The methods to which evidence refers."""


class UnreadableEvidence(ValueError):
    """Bytes are no evidence, or name something that evidence does not have."""


def encode(evidence: RunEvidence | TimeSample) -> bytes:
    """Return evidence as bytes."""
    return zlib.compress(pickle.dumps(evidence, _PROTOCOL))


def decode(data: bytes, kind: type[Evidence]) -> Evidence:
    """Return the evidence of `encode`.

    Raises:
        UnreadableEvidence: it is something else.
    """
    try:
        found = _Reader(io.BytesIO(zlib.decompress(data))).load()
    except UnreadableEvidence:
        raise
    except Exception as error:
        # Bytes that are no pickle raise whatever the step raises that they lead to.
        raise UnreadableEvidence(f"{type(error).__name__}: {error}") from error
    if not isinstance(found, kind):
        raise UnreadableEvidence(f"{type(found).__name__} in place of {kind.__name__}")
    return found


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Return a class that evidence may have.

        Raises:
            UnreadableEvidence: it may not have that.
        """
        if (module, name) == ("builtins", "getattr"):
            return _method
        if (module, name) in _OTHERS:
            return super().find_class(module, name)
        if module.startswith(_FOLDERS) and module in sys.modules:
            # Looked up in the module itself: a name with dots, or one that the module imported, is not its own.
            found = vars(sys.modules[module]).get(name)
            if isinstance(found, type) and found.__module__ == module:
                return found
        raise UnreadableEvidence(f"{module}.{name} is not part of any evidence")


def _method(of: object, name: str) -> Callable[..., object]:
    """Return a method to which evidence refers; no other attribute can be asked for."""
    if any(type(of) is kind and name == known for kind, known in _METHODS):
        method: Callable[..., object] = getattr(of, name)
        return method
    raise UnreadableEvidence(f"{type(of).__name__}.{name} is not part of any evidence")
